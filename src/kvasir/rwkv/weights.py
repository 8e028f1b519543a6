"""Read and write the weights of RWKV models, and convert between the layouts of their files.

- ``pth``: BlinkDL's files; pickled, but read by PyTorch's ``weights_only`` loader, which makes
  tensors and nothing else.
- ``fla``: a folder with safetensors as flash-linear-attention and Transformers have them.
- ``embedding``: a ``.pth`` file of EmbeddingRWKV, a base with heads for embedding.

Inside Kvasir tensors have BlinkDL's names and shapes. Every key is checked.
Source: https://github.com/BlinkDL/RWKV-LM, https://github.com/fla-org/flash-linear-attention,
https://github.com/howard-hou/EmbeddingRWKV
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError, StorageError
from kvasir.core.replaced_files import replace_file, replace_text
from kvasir.rwkv import fla_rwkv6
from kvasir.rwkv.v6 import Rwkv6, Rwkv6Config
from kvasir.rwkv.v7 import Rwkv7, Rwkv7Config

Rwkv = Rwkv6 | Rwkv7
Tensors = dict[str, Tensor]

PTH, FLA, EMBEDDING = "pth", "fla", "embedding"
DAMAGE = (
    OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    AssertionError, ArithmeticError, SafetensorError,
)  # fmt: skip
"""What the libraries raise for files that were cut or changed."""
SAMPLES = 16
"""Numbers of each tensor that count for the fingerprint of a model."""
_NAMED = 6
"""Keys that a message names at most."""

_LAYER = re.compile(r"blocks\.(\d{1,4})\.(.+)", re.ASCII)
_UNUSED = re.compile(r"blocks\.0\.att\.v[012]")
"""Some files have a value residual for the first layer, which has nothing to add."""
_TIME_STATE = re.compile(r"blocks\.\d+\.att\.time_state")
_DEEP_EMBED = re.compile(r"blocks\.\d+\.ffn\.s(?:_emb(?:_x)?\.weight|[012])|.*(?:q|k|v)_emb.*")

_FLA_TOP = {"emb": "model.embeddings", "ln_out": "model.norm", "head": "lm_head"}
_FLA_PARTS = {"ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm", "ffn": "ffn"}
_FLA_ATT = {
    "receptance": "r_proj",
    "key": "k_proj",
    "value": "v_proj",
    "output": "o_proj",
    "ln_x": "g_norm",
}
_LOW_RANK = re.compile(r"att\.([wvag])([012])")
_FLA_LOW_RANK = re.compile(r"attn\.([wvag])_lora\.lora\.(?:(0|2)\.weight|2\.(bias))")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a model, under BlinkDL's names."""

    tensors: Tensors
    layout: str
    heads: Tensors
    """Of an embedding model, such as ``retr_head.fc1.weight``."""
    time_state: Tensors
    """The initial state that was tuned into the file, by ``blocks.{i}.att.time_state``."""

    def named_as_pth(self) -> Tensors:
        """Return all tensors under the names that they have in a ``.pth`` file."""
        found = self.tensors | self.time_state
        if self.layout != EMBEDDING:
            return found
        base = {f"rwkv.{key}": value for key, value in found.items()}
        return base | {f"head.{key}": value for key, value in self.heads.items()}


def read_weights(path: Path) -> Weights:
    """Read a ``.pth`` file, or a safetensors file or a folder of them, in any of the layouts.

    Raises:
        ModelNotFoundError: There is no such file, or no weights in the folder.
        SettingsError: It is no RWKV-6 or RWKV-7 model.
        ComponentError: The file is damaged.
    """
    tensors = read_tensors(path)
    layout = PTH
    heads: Tensors = {}
    if any(key.startswith("rwkv.") for key in tensors):
        layout = EMBEDDING
        heads = _below("head", tensors)
        tensors = _below("rwkv", tensors)
    elif "model.embeddings.weight" in tensors:
        layout = FLA
        tensors = from_fla(tensors, path)
    _refuse_other_kinds(tensors, path)
    state = {key: value for key, value in tensors.items() if _TIME_STATE.fullmatch(key)}
    kept = {
        key: value
        for key, value in tensors.items()
        if key not in state and not _UNUSED.fullmatch(key)
    }
    return Weights(kept, layout, heads, state)


def _below(name: str, tensors: Tensors) -> Tensors:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a file, or of all files of a folder; errors as ``read_weights``."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.pth"))[:1]
        if not files:
            raise ModelNotFoundError(f"{path} has no .pth and no .safetensors file")
    elif path.is_file():
        files = [path]
    else:
        raise ModelNotFoundError(f"{path}: there is no such file")
    found: Tensors = {}
    for file in files:
        found |= _read_file(file)
    return found


def _read_file(file: Path) -> Tensors:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ComponentError("rwkv", "reading the model", f"{file}: {error.strerror}") from error
    try:
        found = load_file(file) if file.suffix == ".safetensors" else _unpickled(file)
    except pickle.UnpicklingError as error:
        raise SettingsError(
            f"{file} holds something else than tensors and is not loaded, because it could run "
            "programs"
        ) from error
    except DAMAGE as error:
        why = f"{file} is damaged: copy or download it again ({error})"
        raise ComponentError("rwkv", "reading the model", why) from error
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items()
    ):
        raise SettingsError(f"{file} holds no tensors by name")
    if unusable := [key for key, value in found.items() if not _has_numbers(value)]:
        raise SettingsError(
            f"{file} has tensors that are no floating-point numbers: {_some(unusable)}"
        )
    return dict(found)


def _unpickled(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
    # Files of before PyTorch 1.6 cannot be mapped.
    return torch.load(file, map_location="cpu", weights_only=True)


def _has_numbers(tensor: Tensor) -> bool:
    """Return True if a tensor is dense and holds floating-point numbers."""
    is_plain = tensor.layout is torch.strided and not tensor.is_meta
    return is_plain and tensor.is_floating_point()


def check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise ``SettingsError`` if a tensor has a number that is not finite."""
    if broken := [key for key, value in tensors.items() if not value.float().isfinite().all()]:
        raise SettingsError(
            f"{path} has numbers that are not finite, in {_some(broken)}: it is damaged, or its "
            "tuning diverged"
        )


def _refuse_other_kinds(tensors: Mapping[str, Tensor], path: Path) -> None:
    deep = [key for key in tensors if _DEEP_EMBED.fullmatch(key)]
    if deep:
        raise SettingsError(
            f"{path} is an rwkv7a or rwkv7b model (it has {deep[0]}), whose DeepEmbed is not "
            "supported: use a file whose name begins with rwkv7-"
        )
    if "blocks.0.att.r_k" in tensors or "blocks.0.att.time_maa_x" in tensors:
        return
    older = "blocks.0.att.time_decay" in tensors
    what = "an older RWKV model" if older else "no RWKV model"
    raise SettingsError(f"{path} is {what}; RWKV-6 and RWKV-7 are supported")


def make_model(
    weights: Weights,
    path: Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Rwkv:
    """Make a model of weights, ready to read texts; names missing and unknown tensors.

    Raises:
        SettingsError: Tensors are missing, unknown, or of the wrong shape.
    """
    tensors = weights.tensors
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    layers = _layers(tensors)
    model: Rwkv
    try:
        with torch.device("meta"):
            if "blocks.0.att.r_k" in tensors:
                model = Rwkv7(Rwkv7Config.from_shapes(shapes, layers))
            else:
                model = Rwkv6(Rwkv6Config.from_shapes(shapes, layers))
        if model.config.width % model.config.head_size:
            raise ValueError(f"{model.config.width} is no multiple of {model.config.head_size}")
    except KeyError as error:
        raise SettingsError(f"{path} is incomplete: {error} is missing") from error
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise SettingsError(f"{path} has tensors whose shapes make no model: {error}") from error
    if weights.layout == EMBEDDING and "head.weight" not in tensors:
        model.head = nn.Identity()  # type: ignore[assignment]
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if missing := expected.keys() - shapes.keys():
        raise SettingsError(f"{path} is incomplete: it lacks {_some(missing)}")
    if unknown := shapes.keys() - expected.keys():
        raise SettingsError(f"{path} has tensors that are not known: {_some(unknown)}")
    wrong = [
        f"{key} is {shapes[key]} instead of {expected[key]}"
        for key in expected
        if _numbers(shapes[key]) != _numbers(expected[key])
    ]
    if wrong:
        raise SettingsError(f"{path} has tensors of another shape: {_some(wrong)}")
    converted = {
        key: value.reshape(expected[key]).to(device=device, dtype=dtype)
        for key, value in tensors.items()
    }
    model.load_state_dict(converted, assign=True)
    return model.eval().requires_grad_(False)


def _layers(tensors: Mapping[str, Tensor]) -> int:
    return len({int(found[1]) for key in tensors if (found := _LAYER.match(key))})


def _numbers(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without lengths of 1, which the layouts do not agree on."""
    return tuple(length for length in shape if length != 1)


def _some(keys: Iterable[str]) -> str:
    ordered = sorted(keys)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of a model: of the names and shapes of its tensors, and of samples of them.

    It is the same for every layout of file, but not for another precision.
    """
    seen = hashlib.sha256()
    for key in sorted(tensors):
        flat = tensors[key].reshape(-1)
        step = max(1, flat.numel() // SAMPLES)
        shape = _numbers(tuple(tensors[key].shape))
        seen.update(f"{key} {shape}".encode())
        seen.update(flat[::step].float().contiguous().numpy().tobytes())
    return seen.hexdigest()[:32]


def save_pth(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as a ``.pth`` file, in one step."""
    content = {key: value.contiguous().clone() for key, value in tensors.items()}
    replace_file(path, lambda stream: torch.save(content, stream))


def to_fla(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors of a model under the names and in the shapes of ``fla``."""
    if "blocks.0.att.r_k" in tensors:
        return dict(_to_fla(key, value) for key, value in tensors.items())
    top = {key: value for key, value in tensors.items() if _LAYER.fullmatch(key) is None}
    return fla_rwkv6.to_fla(tensors) | dict(_to_fla(key, value) for key, value in top.items())


def _to_fla(key: str, value: Tensor) -> tuple[str, Tensor]:
    in_layer = _LAYER.fullmatch(key)
    if in_layer is None:
        name, _, kind = key.partition(".")
        return f"{_FLA_TOP[name]}.{kind}", value
    layer, rest = f"model.layers.{in_layer[1]}", in_layer[2]
    part, _, name = rest.partition(".")
    if part != "att":
        squeezed = value.reshape(-1) if name == "x_k" else value
        return f"{layer}.{_FLA_PARTS[part]}.{name}", squeezed
    if low_rank := _LOW_RANK.fullmatch(rest):
        kind, number = low_rank[1], low_rank[2]
        start = f"{layer}.attn.{kind}_lora.lora"
        if number == "0":
            return f"{start}.2.bias", value.reshape(-1)
        return f"{start}.{'0' if number == '1' else '2'}.weight", value.t().contiguous()
    module, _, kind = name.partition(".")
    if module in _FLA_ATT:
        return f"{layer}.attn.{_FLA_ATT[module]}.{kind}", value
    squeezed = value.reshape(-1) if name in ("k_k", "k_a") else value
    return f"{layer}.attn.{name}", squeezed


def from_fla(tensors: Mapping[str, Tensor], path: Path) -> Tensors:
    """Return the tensors of the layout ``fla`` under BlinkDL's names and in his shapes.

    Raises:
        SettingsError: A tensor's name is not known.
    """
    parts = {value: key for key, value in _FLA_PARTS.items()}
    top = {value: key for key, value in _FLA_TOP.items()}
    attention = {value: key for key, value in _FLA_ATT.items()}
    found: Tensors = {}
    unknown: list[str] = []
    is_rwkv6 = fla_rwkv6.is_rwkv6(tensors)
    if is_rwkv6:
        found, unknown = fla_rwkv6.from_fla(tensors)
    for key, value in tensors.items():
        in_layer = re.fullmatch(r"model\.layers\.(\d+)\.(\w+)\.(.+)", key)
        if in_layer is None:
            start, _, kind = key.rpartition(".")
            if start in top:
                found[f"{top[start]}.{kind}"] = value
            else:
                unknown.append(key)
            continue
        if is_rwkv6:
            continue
        block, part, name = f"blocks.{in_layer[1]}", in_layer[2], in_layer[3]
        if low_rank := _FLA_LOW_RANK.fullmatch(f"{part}.{name}"):
            number = "0" if low_rank[3] else "1" if low_rank[2] == "0" else "2"
            turned = value.reshape(1, 1, -1) if number == "0" else value.t().contiguous()
            found[f"{block}.att.{low_rank[1]}{number}"] = turned
        elif part == "attn":
            module, _, kind = name.partition(".")
            renamed = f"{attention[module]}.{kind}" if module in attention else name
            vector = name.startswith(("x_", "k_")) and not kind
            found[f"{block}.att.{renamed}"] = value.reshape(1, 1, -1) if vector else value
        elif part in parts:
            shaped = value.reshape(1, 1, -1) if name == "x_k" else value
            found[f"{block}.{parts[part]}.{name}"] = shaped
        else:
            unknown.append(key)
    if unknown:
        raise SettingsError(f"{path} has tensors that are not known: {_some(unknown)}")
    return found


def save_fla(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as a folder with ``config.json`` and ``model.safetensors``, in one step."""
    converted = {key: value.contiguous().clone() for key, value in to_fla(tensors).items()}
    layers = _layers(tensors)
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    config: Rwkv6Config | Rwkv7Config
    if "blocks.0.att.r_k" in tensors:
        config = Rwkv7Config.from_shapes(shapes, layers)
        own: dict[str, Any] = {
            "architectures": ["RWKV7ForCausalLM"],
            "model_type": "rwkv7",
            "head_dim": config.head_size,
            "decay_low_rank_dim": config.rank_w,
            "a_low_rank_dim": config.rank_a,
            "v_low_rank_dim": config.rank_v,
            "gate_low_rank_dim": config.rank_g,
        }
    else:
        config = Rwkv6Config.from_shapes(shapes, layers)
        own = fla_rwkv6.described(config)
    described = {
        **own,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_heads": config.heads,
        "intermediate_size": config.hidden,
        "hidden_act": "sqrelu",
        "norm_eps": 1e-5,
        "norm_first": True,
        "vocab_size": config.vocabulary,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "tie_word_embeddings": False,
        "torch_dtype": str(tensors["emb.weight"].dtype).removeprefix("torch."),
    }
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        save_file(converted, partial / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:
        raise StorageError(f"'{partial}' cannot be written: {error}") from error
    content = json.dumps(described, indent=2) + "\n"
    replace_text(partial / "config.json", content)
    partial.rename(folder)
