"""The state of an RWKV model: all that it keeps of the tokens it has read.

Source: https://github.com/BlinkDL/RWKV-LM
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


@dataclass(slots=True)
class State:
    """The states of B texts, one a row. Models return new states and never change one in place.

    Attributes:
        shift: [layers, 2, B, C], in the type of the model: the last inputs of time mixing (0) and
            channel mixing (1).
        wkv: [layers, B, H, N, N], float32: a matrix a head, rows are values, columns keys. RWKV-6
            has the same orientation here, unlike in its reference. More rows than N get no values,
            but change as the others do.
    """

    shift: Tensor
    wkv: Tensor

    @property
    def rows(self) -> int:
        """The number of texts."""
        return self.wkv.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors."""
        return self.shift.nbytes + self.wkv.nbytes

    def take(self, rows: Sequence[int]) -> State:
        """Return a copy of some rows, in the given order; a row may come several times."""
        index = torch.tensor(rows, dtype=torch.long, device=self.wkv.device)
        return State(self.shift.index_select(2, index), self.wkv.index_select(1, index))

    def moved(self, like: State) -> State:
        """Return the state on the device and in the precision of another one."""
        return State(self.shift.to(like.shift), self.wkv.to(like.wkv))

    def expand(self, rows: int) -> State:
        """Return the state of one text for several rows, without a copy.

        Raises:
            ValueError: It has more than one row.
        """
        if self.rows != 1:
            raise ValueError(f"a state of {self.rows} rows cannot be expanded")
        return State(self.shift.expand(-1, -1, rows, -1), self.wkv.expand(-1, rows, -1, -1, -1))


def join(states: Sequence[State]) -> State:
    """Return the rows of several states as one state, in order."""
    if len(states) == 1:
        return states[0]
    return State(
        torch.cat([state.shift for state in states], 2),
        torch.cat([state.wkv for state in states], 1),
    )


def to_reference(state: State, *, transposed: bool) -> list[Tensor]:
    """Return one text's state as the package ``rwkv`` has it: three tensors a layer.

    They are shift of time mixing [C], wkv [H, N, N] and shift of channel mixing [C]; ``transposed``
    for RWKV-6, whose matrices have keys as rows there.

    Raises:
        ValueError: The state has more than one row.
    """
    if state.rows != 1:
        raise ValueError(f"the state has {state.rows} rows")
    found: list[Tensor] = []
    for shift, wkv in zip(state.shift, state.wkv, strict=True):
        matrix = wkv[0].transpose(1, 2) if transposed else wkv[0]
        found += [shift[0, 0].clone(), matrix.contiguous().clone(), shift[1, 0].clone()]
    return found


def from_reference(tensors: Sequence[Tensor], *, transposed: bool) -> State:
    """Return the state of one text from the form of ``to_reference``."""
    shift = torch.stack([torch.stack([tensors[i], tensors[i + 2]]) for i in _firsts(tensors)])
    wkv = torch.stack([tensors[i + 1].float() for i in _firsts(tensors)])
    if transposed:
        wkv = wkv.transpose(2, 3)
    return State(shift.unsqueeze(2).clone(), wkv.unsqueeze(1).contiguous())


def _firsts(tensors: Sequence[Tensor]) -> range:
    if len(tensors) % 3:
        raise ValueError(f"{len(tensors)} tensors are not three a layer")
    return range(0, len(tensors), 3)


def shifted(x: Tensor, last: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the inputs one position later, and the last input of each row.

    Args:
        x: [B, T, C].
        last: [B, C], the input before the first.
        lengths: [B], the inputs of each row that count; None: all.

    Returns:
        [B, T, C] and [B, C].
    """
    if lengths is None and x.shape[1] == 1:
        return last.unsqueeze(1), x[:, 0]
    with_last = torch.cat([last.unsqueeze(1), x], 1)
    if lengths is None:
        return with_last[:, :-1], x[:, -1]
    rows = torch.arange(x.shape[0], device=x.device)
    return with_last[:, :-1], with_last[rows, lengths]


def with_rows(values: Tensor, state: Tensor) -> Tensor:
    """Return values [B, T, H, N] with zeros for the rows that a state [B, H, R, N] has beyond N."""
    more = state.shape[2] - values.shape[3]
    return functional.pad(values, (0, more)) if more else values


def counted(lengths: Tensor | None, positions: int) -> Tensor | None:
    """Return [B, T, 1], 1 where a position counts and 0 where it fills the row; None for all."""
    if lengths is None:
        return None
    return (torch.arange(positions, device=lengths.device) < lengths[:, None]).unsqueeze(2)


def called(module: Callable[..., Any], *inputs: Any) -> Any:
    """Return what a module computes."""
    return module(*inputs)


def recomputed(module: Callable[..., Any], *inputs: Any) -> Any:
    """Return what a module computes, which is computed again for its gradients."""
    return checkpoint(module, *inputs, use_reentrant=False)
