"""Loaded base models: a process has one copy of a model's weights, whoever uses it.

Generator, embedder and reranker ask for a base by its path; as long as one of them holds it, the
others get the same. States and adapters belong to their users, not to the base.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.machine import available_memory
from kvasir.models.devices import usable_device
from kvasir.rwkv.packing import pack
from kvasir.rwkv.state import State
from kvasir.rwkv.state_files import initial_state, load_time_state
from kvasir.rwkv.tokenizer import WorldTokenizer, tokenizer_of
from kvasir.rwkv.weights import Rwkv, Weights, fingerprint, make_model, read_weights

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
AUTO = "auto"
_WORKING = 256 << 20
"""Bytes beside the weights, for states and what is computed of a prompt's part."""


class Base:
    """A model in memory with its tokenizer."""

    def __init__(self, path: Path, weights: Weights, device: str, dtype: torch.dtype) -> None:
        """Load a model; use ``shared_base`` to have one copy of each.

        Raises:
            SettingsError: The file is not usable, see ``make_model``.
            ComponentError: There is too little memory.
        """
        check_memory(path, weights, device, dtype)
        self.path = path
        self.model: Rwkv = make_model(weights, path, device=device, dtype=dtype)
        pack(self.model)
        self.fingerprint = fingerprint(weights.tensors)
        self.heads_fingerprint = fingerprint(weights.heads) if weights.heads else ""
        # Copies: one tensor of a mapped file keeps all of it in memory.
        self.heads = {
            key: value.to(device=device, dtype=dtype, copy=True)
            for key, value in weights.heads.items()
        }
        self.tokenizer: WorldTokenizer = tokenizer_of(path)
        self._time_state = {key: value.clone() for key, value in weights.time_state.items()}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.emb.weight.device

    def initial_state(self, file: Path | None = None) -> State:
        """Return the state before any text: that of a tuned file, of the model's own, or zeros.

        Raises:
            SettingsError: The file belongs to another model.
            ModelNotFoundError: There is no such file.
        """
        if file is not None:
            return load_time_state(file, self.model, self.fingerprint)
        if self._time_state:
            return initial_state(self._time_state, self.model, self.path)
        return self.model.zero_state()


_lock = threading.Lock()
_loading: dict[tuple[object, ...], threading.Lock] = {}
_loaded: WeakValueDictionary[tuple[object, ...], Base] = WeakValueDictionary()


def shared_base(path: Path, device: str | None = None, precision: str = AUTO) -> Base:
    """Return a base model; load it if nobody in this process has loaded it.

    Args:
        path: A ``.pth`` or safetensors file, or a folder with one; absolute.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default CUDA where there is one.
        precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.

    Raises:
        ModelNotFoundError: There is no such file.
        SettingsError: The file is no usable model, or an option is unusable.
        ComponentError: The file is damaged, or there is too little memory.
    """
    device = usable_device(device)
    dtype = _dtype(precision, device)
    changed = path.stat().st_mtime_ns if path.exists() else 0
    key = (path, changed, device, dtype)
    return _shared(key, lambda: Base(path, read_weights(path), device, dtype))


def _shared(key: tuple[object, ...], make: Callable[[], Base]) -> Base:
    with _lock:
        loading = _loading.setdefault(key, threading.Lock())
    with loading:
        found = _loaded.get(key)
        if found is None:
            found = _loaded[key] = make()
        return found


def _dtype(precision: str, device: str) -> torch.dtype:
    if precision == AUTO:
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    if precision not in DTYPES:
        raise SettingsError(f"precision must be auto, {', '.join(DTYPES)}: '{precision}'")
    return DTYPES[precision]


def memory_of(weights: Weights, dtype: torch.dtype) -> int:
    """Return the bytes that a model needs in memory, about.

    The pages of the file, which are in memory as well while it is loaded, do not count: the system
    takes them back when others need them.
    """
    numbers = [tensor.numel() for tensor in (*weights.tensors.values(), *weights.heads.values())]
    # While it is loaded, the matrix that is packed is in memory twice; work begins afterwards.
    beside = max(_WORKING, max(numbers, default=0) * dtype.itemsize)
    return sum(numbers) * dtype.itemsize + beside


def check_memory(path: Path, weights: Weights, device: str, dtype: torch.dtype) -> None:
    """Raise ``ComponentError``, with the figures, if a model does not fit into the free memory."""
    needed = memory_of(weights, dtype)
    if device.startswith("cuda"):
        free: int | None = torch.cuda.mem_get_info(device)[0]
    else:
        free = available_memory()
    if free is not None and needed > free:
        raise ComponentError(
            "rwkv",
            "loading the model",
            f"{path} needs about {needed >> 20:,} MB of memory on {device}, of which "
            f"{free >> 20:,} MB are free: use a smaller model, precision bf16, or end another "
            "program",
        )
