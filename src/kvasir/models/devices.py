"""The device on which PyTorch computes."""

from __future__ import annotations

import torch

from kvasir.core.errors import SettingsError


def usable_device(device: str | None) -> str:
    """Return the device to compute on, by default CUDA where there is one.

    Raises:
        SettingsError: There is no such device here.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"device '{device}': no CUDA device is usable here; set device to cpu")
    try:
        is_usable = torch.ones(1, device=device).item() == 1
    except (RuntimeError, AssertionError, ImportError, AttributeError):
        is_usable = False
    if not is_usable:
        raise SettingsError(f"device '{device}' cannot be used here: set device to cpu")
    return device
