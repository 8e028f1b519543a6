"""Load models of the ``transformers`` family without progress bars."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.utils import logging

from kvasir.core.errors import ComponentError
from kvasir.core.types import Matrix
from kvasir.models.local import ModelFolder

_lock = threading.Lock()
_loading = 0
_enabled = False


class SharedModel:
    """A model of sentence-transformers that serves one thread after the other.

    Its tokenizer is reconfigured on every call and is not thread-safe: take the lock.
    """

    def __init__(
        self, component: str, make: Callable[..., Any], folder: ModelFolder, **options: Any
    ) -> None:
        """Load the model with a class of sentence-transformers; ``component`` is for errors.

        Raises:
            ComponentError: sentence-transformers cannot load the model.
        """
        self._component = component
        self.lock = threading.Lock()
        try:
            with without_progress_bars():
                self.encoder = make(str(folder.path), local_files_only=True, **options)
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise ComponentError(component, "loading", error) from error

    def compute(self, method: Callable[..., Any], inputs: Sequence[Any], **options: Any) -> Matrix:
        """Return what a method of the encoder computes, as float32."""
        try:
            with self.lock:
                found = method(inputs, show_progress_bar=False, convert_to_tensor=True, **options)
        except RuntimeError as error:
            raise ComponentError(self._component, "inference", error) from error
        values: Matrix = found.to(torch.float32).cpu().numpy()
        return values


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """Turn the libraries' progress bars off while a model is loaded.

    The switch is global: the first of several threads turns it off, the last one restores it.
    """
    global _loading, _enabled
    with _lock:
        if not _loading:
            _enabled = logging.is_progress_bar_enabled()
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        _loading += 1
    try:
        yield
    finally:
        with _lock:
            _loading -= 1
            if not _loading and _enabled:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]
