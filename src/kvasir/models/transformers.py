"""Load models of the ``transformers`` family: on which device, and without progress bars."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging

from kvasir.core.errors import SettingsError

_lock = threading.Lock()
_loading = 0
_enabled = False


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


def usable_device(device: str | None) -> str:
    """Return the device to compute on.

    Raises:
        SettingsError: There is no such device here.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"device '{device}': no CUDA device is usable here; set device to cpu")
    return device
