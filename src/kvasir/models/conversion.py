"""Weights that PyTorch pickled, written once as safetensors.

Reading a pickle can run code. PyTorch's ``weights_only`` takes tensors and plain containers alone.

Source: https://docs.pytorch.org/docs/stable/generated/torch.load.html
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kvasir.core.errors import ModelNotFoundError, StorageError
from kvasir.core.replaced_files import replace_text
from kvasir.core.run import Run
from kvasir.core.wire import dumps

_PICKLED = (".bin", ".pth", ".pt", ".ckpt")
_INDEX, _NEW_INDEX = "pytorch_model.bin.index.json", "model.safetensors.index.json"
_INNER = ("state_dict", "model")
"""Keys under which training programs keep the weights."""


def convert(path: Path, run: Run | None = None) -> list[Path]:
    """Write the pickled weights of a model as safetensors, and return the new files.

    The pickled files stay. What is there already as safetensors is left as it is.

    Args:
        path: A folder with ``pytorch_model*.bin``, or a file such as ``model.pth``.
        run: Stops between two files, and hears of each.

    Raises:
        ModelNotFoundError: There are no such weights, or a file is broken or holds more than
            weights.
        StorageError: The new file cannot be written.
        StoppedError: The run was stopped.
    """
    run = run or Run()
    files = [path] if path.is_file() else sorted(path.glob("pytorch_model*.bin"))
    files = [file for file in files if file.suffix in _PICKLED]
    if not files:
        raise ModelNotFoundError(
            f"'{path}' has no pickled weights: neither pytorch_model.bin nor a file .pth"
        )
    made = []
    for number, file in enumerate(files):
        run.step("converting", number, len(files), "files")
        target = file.with_name(_name(file))
        if not target.exists():
            _write(_read(file), target)
            made.append(target)
    run.report("converting", len(files), len(files), "files")
    index = path / _NEW_INDEX
    if path.is_dir() and (path / _INDEX).is_file() and (made or not index.is_file()):
        _write_index(index, [file.with_name(_name(file)) for file in files])
        made.append(index)
    return made


def _name(file: Path) -> str:
    """Return the name of the file of safetensors, as transformers looks for it."""
    stem = file.stem
    if stem.startswith("pytorch_model"):
        stem = "model" + stem.removeprefix("pytorch_model")
    return f"{stem}.safetensors"


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        found = _load(file)
    except pickle.UnpicklingError as error:
        raise ModelNotFoundError(
            f"'{file}' holds more than weights, or is broken; it could run code and is not read"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise ModelNotFoundError(f"'{file}' is broken ({error}); fetch the model again") from error
    for key in _INNER:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise ModelNotFoundError(f"'{file}' holds no weights by name")
    strange = [name for name, each in found.items() if not isinstance(each, torch.Tensor)]
    if strange:
        raise ModelNotFoundError(f"'{file}' holds '{strange[0]}', which is no tensor")
    # Tensors that share memory are written each.
    seen: set[int] = set()
    weights = {}
    for name, each in found.items():
        storage = each.untyped_storage().data_ptr()
        whole = each.contiguous()
        weights[str(name)] = whole.clone() if storage in seen else whole
        seen.add(storage)
    return weights


def _load(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError):
        # Files of old versions are no archives, and cannot be mapped.
        return torch.load(file, map_location="cpu", weights_only=True)


def _write(weights: dict[str, torch.Tensor], target: Path) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        # Transformers reads only files that say what they were made of.
        save_file(weights, draft, metadata={"format": "pt"})
        draft.replace(target)
    except OSError as error:
        raise StorageError(f"'{target}' cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _write_index(index: Path, shards: Sequence[Path]) -> None:
    files: dict[str, str] = {}
    size = 0
    for shard in shards:
        tensors = _tensors(shard)
        files |= dict.fromkeys(tensors, shard.name)
        size += sum(tensors.values())
    tree = {"metadata": {"total_size": size}, "weight_map": dict(sorted(files.items()))}
    replace_text(index, dumps(tree, indent=2))


def _tensors(shard: Path) -> dict[str, int]:
    """Return the tensors of a file of safetensors with their bytes."""
    try:
        with safe_open(shard, "pt") as file:
            return {name: file.get_tensor(name).nbytes for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelNotFoundError(
            f"'{shard}' is broken ({error}); delete it and convert again"
        ) from error
