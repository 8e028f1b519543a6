"""Files of adapters: those of Hugging Face ``peft``, and of RWKV-PEFT's LoRA and PiSSA.

- ``peft``: a folder with ``adapter_config.json`` and ``adapter_model.safetensors``, keys such as
  ``base_model.model.blocks.0.att.key.lora_A.weight``. PiSSA's is converted to one that needs no
  changed weights when it is written.
- RWKV-PEFT: a ``.pth`` file, keys such as ``blocks.0.att.key.lora_A``; of PiSSA the start stands in
  a second file, ``init_pissa.pth``, with ``.init_lora_A``.

Kvasir's own files name the base that they belong to.
Source: https://github.com/JL-er/RWKV-PEFT, https://huggingface.co/docs/peft
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.core.replaced_files import replace_file, replace_text
from kvasir.rwkv.adapters import Adapter, LowRank, linear_modules
from kvasir.rwkv.weights import check_finite, read_tensors

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PISSA_START = "init_pissa.pth"
_UNSUPPORTED = ("alpha_pattern", "lora_bias", "rank_pattern", "use_dora")
"""Keys of peft's by which an adapter is more than two matrices and one scale."""
_CHANGED_BASES = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of peft's ``init_lora_weights`` that change the weights of the base."""
_NAME = re.compile(
    r"(?:base_model\.model\.)?(blocks\.\d+\.\w+\.\w+)\.(init_)?lora_([AB])(?:\.(?!bias)\w+)*"
)


def load_adapter(path: Path, model: nn.Module, fingerprint: str = "") -> Adapter:
    """Read the adapter of a model.

    Args:
        path: A folder of ``peft``'s, its safetensors file, or a ``.pth`` file of RWKV-PEFT's.
        model: The base.
        fingerprint: That of the base; an adapter that names another one is refused.

    Raises:
        SettingsError: It belongs to another base, or is no adapter.
        ModelNotFoundError: There is no such file.
        ComponentError: It is damaged.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / TENSORS if path.is_dir() else path
    if not file.is_file():
        raise ModelNotFoundError(f"{file}: there is no such file")
    config = _config(folder)
    named = str(config.get("kvasir_base", ""))
    if fingerprint and named and named != fingerprint:
        raise SettingsError(f"{path} belongs to another model than the one that is loaded")
    tensors = read_tensors(file)
    start = folder / PISSA_START
    if file.suffix == ".pth" and start.is_file() and file != start:
        tensors |= read_tensors(start)
    return _adapter(tensors, config, model, path)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{folder / CONFIG} is not valid JSON") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{folder / CONFIG} is no configuration of an adapter")
    if other := sorted(key for key in _UNSUPPORTED if found.get(key)):
        raise SettingsError(f"{folder / CONFIG} has {other[0]}, which is not supported")
    start = str(found.get("init_lora_weights")).lower()
    if start.startswith(_CHANGED_BASES):
        raise SettingsError(
            f"{folder / CONFIG} has init_lora_weights {start}, an adapter of weights that it has "
            "changed: write it with peft's save_pretrained and its argument "
            "path_initial_model_for_weight_conversion, which converts it for the unchanged base"
        )
    return found


def _adapter(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], model: nn.Module, path: Path
) -> Adapter:
    linear = linear_modules(model)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _NAME.fullmatch(key)
        if match is None:
            raise SettingsError(f"{path} is no adapter: it has {key}")
        if match[1] not in linear:
            raise SettingsError(f"{path} is an adapter of another model: it has {key}")
        found.setdefault(match[1], {})[f"{match[2] or ''}{match[3]}"] = tensor
    if not found:
        raise SettingsError(f"{path} holds no adapter")
    seen = hashlib.sha256()
    parts = {}
    for name, pair in sorted(found.items()):
        parts[name] = _part(name, pair, config, linear[name], path)
        seen.update(name.encode() + parts[name].delta().numpy().tobytes())
    return Adapter(parts, seen.hexdigest()[:32])


def _part(
    name: str,
    pair: Mapping[str, Tensor],
    config: Mapping[str, Any],
    module: nn.Linear,
    path: Path,
) -> LowRank:
    if "A" not in pair or "B" not in pair:
        raise SettingsError(f"{path} is incomplete: {name} has only one of its two matrices")
    wanted = (module.out_features, module.in_features)
    a, b = _matrices(name, pair["A"], pair["B"], wanted, path)
    scale = _scale(config, a.shape[0], path)
    if "init_A" in pair or "init_B" in pair:  # PiSSA took its start out of the weights.
        if "init_A" not in pair or "init_B" not in pair:
            raise SettingsError(f"{path} is incomplete: {name} has only one matrix of its start")
        first, second = _matrices(name, pair["init_A"], pair["init_B"], wanted, path)
        a, b, scale = torch.cat([a, -first]), torch.cat([b, second], 1), 1.0
    return LowRank(a, b, scale)


def _matrices(
    name: str, a: Tensor, b: Tensor, wanted: tuple[int, int], path: Path
) -> tuple[Tensor, Tensor]:
    """Return [r, in] and [out, r] in float32; ``wanted`` is out and in."""
    if a.ndim != 2 or b.ndim != 2 or not a.shape[0] or a.shape[0] != b.shape[1]:
        raise SettingsError(
            f"{path} is no adapter: {name} has matrices of {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if (b.shape[0], a.shape[1]) != wanted:
        raise SettingsError(
            f"{path} is an adapter of another model: {name} is {b.shape[0]} x {a.shape[1]} instead "
            f"of {wanted[0]} x {wanted[1]}"
        )
    check_finite({f"{name}.lora_A": a, f"{name}.lora_B": b}, path)
    return a.float(), b.float()


def _scale(config: Mapping[str, Any], rank: int, path: Path) -> float:
    """Return what the product of the matrices is multiplied by: alpha / r, or alpha / sqrt(r)."""
    values = (config.get("lora_alpha", rank), config.get("r", rank))
    try:
        alpha, r = map(float, values)
        scale = alpha / (math.sqrt(r) if config.get("use_rslora") else r)
    except (TypeError, ValueError, ArithmeticError):
        scale = math.nan
    if not math.isfinite(scale):
        raise SettingsError(
            f"{path} has a configuration whose lora_alpha and r are no numbers: {values[0]!r} and "
            f"{values[1]!r}"
        )
    return scale


def save_adapter(adapter: Adapter, folder: Path, base: str = "") -> None:
    """Write an adapter as ``peft`` does, each file in one step.

    ``base`` is the fingerprint of its model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors, ranks = {}, set()
    for name, part in adapter.parts.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = part.a.contiguous().clone()
        # Scales of one adapter may differ between sources; the written one is 1.
        tensors[f"base_model.model.{name}.lora_B.weight"] = (part.b * part.scale).contiguous()
        ranks.add(part.a.shape[0])
    if len(ranks) > 1:
        raise ValueError(f"an adapter of peft has one rank, not {sorted(ranks)}")
    config = {
        "peft_type": "LORA",
        "r": ranks.pop(),
        "target_modules": sorted(adapter.parts),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "base_model_name_or_path": None,
        "kvasir_base": base,
    }
    config["lora_alpha"] = config["r"]
    # First: an adapter without its configuration would be taken for one of any model.
    described = json.dumps(config, indent=2) + "\n"
    replace_text(folder / CONFIG, described)
    content = save(tensors, metadata={"format": "pt"})
    replace_file(folder / TENSORS, lambda stream: stream.write(content))


def save_rwkv_peft(adapter: Adapter, file: Path) -> None:
    """Write an adapter as RWKV-PEFT's LoRA does, in a ``.pth`` file whose scale is 1."""
    tensors = {}
    for name, part in adapter.parts.items():
        tensors[f"{name}.lora_A"] = part.a.contiguous().clone()
        tensors[f"{name}.lora_B"] = (part.b * part.scale).contiguous()
    replace_file(file, lambda stream: torch.save(tensors, stream))


def save_rwkv_peft_pissa(adapter: Adapter, file: Path) -> None:
    """Write an adapter as RWKV-PEFT's PiSSA does: a ``.pth`` file, and its start beside it.

    The adapter is one for the unchanged base, as it was trained or read: ``[A; -A0]``, ``[B, B0]``.

    Raises:
        ValueError: A rank is odd, so that it has no two such halves.
    """
    tensors, start = {}, {}
    for name, part in adapter.parts.items():
        rank, odd = divmod(part.a.shape[0], 2)
        if odd:
            raise ValueError(f"an adapter of PiSSA has an even rank, not {part.a.shape[0]}")
        b = part.b * part.scale
        tensors[f"{name}.lora_A"] = part.a[:rank].clone()
        tensors[f"{name}.lora_B"] = b[:, :rank].clone()
        start[f"{name}.init_lora_A"] = -part.a[rank:]
        start[f"{name}.init_lora_B"] = b[:, rank:].clone()
    # First: an adapter without its start would be taken for one of LoRA.
    replace_file(file.with_name(PISSA_START), lambda stream: torch.save(start, stream))
    replace_file(file, lambda stream: torch.save(tensors, stream))


def merge(tensors: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Return the tensors of a base with an adapter added to its weights."""
    merged = dict(tensors)
    for name, part in adapter.parts.items():
        key = f"{name}.weight"
        merged[key] = (merged[key].float() + part.delta().to(merged[key].device)).to(
            merged[key].dtype
        )
    return merged
