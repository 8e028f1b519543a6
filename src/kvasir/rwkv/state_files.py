"""Files of states: what a model keeps of texts that it read, and states that were tuned.

A tuned state (State-Tune) has one matrix a layer, ``blocks.{i}.att.time_state`` [H, N, N] with
values as rows, in a ``.pth`` or safetensors file. A state of a text has the token shifts as well,
and is a safetensors file of Kvasir's own. Files that Kvasir writes name the model they belong to.
Source: https://github.com/JL-er/RWKV-PEFT, docs of State-Tune
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError
from kvasir.core.replaced_files import replace_file, replace_text
from kvasir.rwkv.state import State
from kvasir.rwkv.weights import Rwkv, check_finite, read_tensors

_FORMAT = "kvasir-rwkv-state"


def save_state(state: State, path: Path, model: str) -> None:
    """Write the states of texts; ``model`` is the fingerprint of the model that read them."""
    tensors = {"shift": state.shift.contiguous().cpu(), "wkv": state.wkv.contiguous().cpu()}
    save_file(tensors, path, metadata={"format": _FORMAT, "model": model})


def load_state(path: Path, model: str, *, device: str = "cpu") -> State:
    """Read the states that ``save_state`` wrote.

    Raises:
        SettingsError: The file is of another model, or of another kind.
        ComponentError: It is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("format") != _FORMAT:
                raise SettingsError(f"{path} holds no states of texts")
            _check_model(path, about.get("model", ""), model)
            shift, wkv = file.get_tensor("shift"), file.get_tensor("wkv")
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: there is no such file") from error
    except (SafetensorError, OSError) as error:
        raise ComponentError("rwkv", "reading a state", f"{path} is damaged: {error}") from error
    return State(shift.to(device), wkv.to(device))


def save_time_state(tensors: Mapping[str, Tensor], path: Path, model: str = "") -> None:
    """Write a tuned state as RWKV-PEFT does, with the model's fingerprint in a file beside it.

    Each file is replaced in one step.
    """
    content = {key: value.detach().clone().cpu() for key, value in tensors.items()}
    if model:  # First: a state without its note would be taken for one of any model.
        note = json.dumps({"model": model}) + "\n"
        replace_text(_beside(path), note)
    replace_file(path, lambda stream: torch.save(content, stream))


def load_time_state(path: Path, model: Rwkv, fingerprint: str = "") -> State:
    """Read a tuned state as the state of one text before its first token.

    Raises:
        SettingsError: It belongs to another model, by its note or by its shapes.
        ModelNotFoundError: There is no such file.
        ComponentError: It is damaged.
    """
    note = _beside(path)
    if fingerprint and note.is_file():
        _check_model(path, _noted_model(note), fingerprint)
    return initial_state(read_tensors(path), model, path)


def initial_state(tensors: Mapping[str, Tensor], model: Rwkv, path: Path) -> State:
    """Return the state of one text that ``blocks.{i}.att.time_state`` of every layer give.

    Raises:
        SettingsError: A layer is missing or has another shape, there are other tensors, or a number
            is not finite.
    """
    state = model.zero_state()
    matrices = []
    for layer in range(model.config.layers):
        key = f"blocks.{layer}.att.time_state"
        if key not in tensors:
            raise SettingsError(f"{path} is no tuned state of this model: it lacks {key}")
        matrix = tensors[key]
        if tuple(matrix.shape) != tuple(state.wkv.shape[2:]):
            raise SettingsError(
                f"{path} is a tuned state of another model: {key} is {tuple(matrix.shape)} instead "
                f"of {tuple(state.wkv.shape[2:])}"
            )
        matrices.append(matrix.to(device=state.wkv.device, dtype=torch.float32))
    if len(tensors) > len(matrices):
        raise SettingsError(
            f"{path} is a tuned state of another model: it has {len(tensors)} layers instead of "
            f"{len(matrices)}"
        )
    check_finite(tensors, path)
    return State(state.shift, torch.stack(matrices).unsqueeze(1))


def time_state(state: State) -> dict[str, Tensor]:
    """Return the matrices of one text's state by the names that a tuned state has."""
    return {
        f"blocks.{layer}.att.time_state": matrix[0].detach().clone()
        for layer, matrix in enumerate(state.wkv)
    }


def _noted_model(note: Path) -> str:
    try:
        return str(json.loads(note.read_text("utf-8"))["model"])
    except (ValueError, TypeError, KeyError) as error:
        why = f"{note} is damaged: delete it if the state beside it is one of this model"
        raise ComponentError("rwkv", "reading a state", why) from error


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _check_model(path: Path, found: str, wanted: str) -> None:
    if found != wanted:
        raise SettingsError(f"{path} belongs to another model than the one that is loaded")
