"""A base with the state and the adapter that one user of it has chosen.

Generator, embedder and reranker load their model here; the base is shared, see ``bases``.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.models.rwkv_files import find_rwkv
from kvasir.rwkv.adapter_files import load_adapter
from kvasir.rwkv.adapters import Adapter, accept_adapters, applied
from kvasir.rwkv.bases import AUTO, Base, shared_base
from kvasir.rwkv.state import State
from kvasir.rwkv.state_cache import PRECISIONS, StateCache

_FOLDER = "rwkv-states"
"""Of the kept states, in the data folder; each user of a cache has a folder there."""


@dataclass(frozen=True, slots=True)
class TunedBase:
    """A base as one of its users has it.

    Attributes:
        base: The weights, which others may use as well.
        state: That of one row before any text.
        adapter: Changes the linear modules, for calls in ``applied``.
        file: The adapter's file, else that of the state; None of a plain base.
        fingerprint: Of base, state and adapter.
    """

    base: Base
    state: State
    adapter: Adapter | None
    file: Path | None
    fingerprint: str

    @property
    def identity(self) -> str:
        """All that a kept state depends on beside the tokens."""
        base = self.base
        return f"{self.fingerprint} {base.model.emb.weight.dtype} {base.device.type}"

    def applied(self) -> AbstractContextManager[None]:
        """Apply the adapter to the calls of the block, in this thread."""
        return applied(self.adapter)


def load_tuned(
    name: str,
    data_dir: Path | str | None = None,
    *,
    state: str | None = None,
    adapter: str | None = None,
    device: str | None = None,
    precision: str = AUTO,
) -> TunedBase:
    """Load a base, or take the one that is loaded, with a state and an adapter.

    Args:
        name: A ``.pth`` or safetensors file, a folder with one, or ``OWNER/NAME/FILE``.
        data_dir: The folder below which downloaded models are.
        state: A tuned state of the model.
        adapter: A LoRA or PiSSA adapter of the model.
        device: ``cpu``, ``cuda``, ...; by default CUDA where there is one.
        precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.

    Raises:
        ModelNotFoundError: There is no such file.
        SettingsError: A file is unusable or of another model, or an option is unusable.
        ComponentError: A file is damaged, the tokenizer is that of a larger vocabulary, or there is
            too little memory.
    """
    base = shared_base(find_rwkv(name, data_dir), device, precision)
    if base.tokenizer.size > base.model.config.vocabulary:
        raise ComponentError(
            "rwkv",
            "loading the model",
            f"{base.path} has {base.model.config.vocabulary} tokens, fewer than its tokenizer "
            f"({base.tokenizer.size}): put its vocabulary rwkv_vocab*.txt into its folder",
        )
    state_file = find_rwkv(state, data_dir) if state else None
    initial = base.initial_state(state_file)
    adapter_file = find_rwkv(adapter, data_dir) if adapter else None
    found: Adapter | None = None
    if adapter_file is not None:
        loaded = load_adapter(adapter_file, base.model, base.fingerprint)
        found = loaded.to(base.device, base.model.emb.weight.dtype)
        accept_adapters(base.model)
    seen = hashlib.sha256(initial.wkv.float().cpu().numpy().tobytes())
    seen.update(f"{base.fingerprint} {found.fingerprint if found else ''}".encode())
    file = adapter_file or state_file
    return TunedBase(base, initial, found, file, seen.hexdigest()[:32])


def cache_of(data_dir: Path | str | None, user: str, megabytes: int, precision: str) -> StateCache:
    """Return the cache of a user's states in a data folder.

    Args:
        data_dir: The data folder; None to keep none.
        user: ``generator`` or ``reranker``, each of which has a budget of its own.
        megabytes: The budget; 0 to keep none.
        precision: That of the kept states.

    Raises:
        SettingsError: The precision is unknown, or the budget below 0.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"cache_precision must be {', '.join(PRECISIONS)}")
    if megabytes < 0:
        raise SettingsError(f"cache_mb must be at least 0, not {megabytes}")
    folder = None if data_dir is None else Path(data_dir) / _FOLDER
    if folder is not None:
        _remove_shared(folder)
    return StateCache(folder and folder / user, megabytes << 20, precision)


def _remove_shared(folder: Path) -> None:
    """Remove the states of versions in which all users shared the folder: nothing reads them."""
    for old in folder.glob("[0-9a-f][0-9a-f]"):
        shutil.rmtree(old, ignore_errors=True)
