"""Linear modules for a processor, whose weights have the layout that oneDNN multiplies fastest.

PyTorch's own product of one to sixteen rows with a matrix in row-major order reads the weights from
memory at a third to a half of the speed on an AMD EPYC, by MKL in float32 and by oneDNN, which
packs them each time, in bfloat16. The packed weights take the place of the others, so that the
memory is the same; no gradient can pass through them.
Source: https://uxlfoundation.github.io/oneDNN/dev_guide_inner_product.html
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

_PROCESSORS = ("x86_64", "amd64")
_OPERATIONS = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
"""Of PyTorch, which does not promise to keep them."""


class PackedLinear(nn.Linear):
    """A linear module without bias that only computes; ``weight`` is opaque."""

    def __init__(self, linear: nn.Linear) -> None:
        """Pack the weights of a module."""
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self.weight = nn.Parameter(packed, requires_grad=False)
        self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:
        """Return [..., out] for [..., in]."""
        found: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, None, "none", [], "")
        return found


def rows_of(linear: nn.Linear, numbers: Sequence[int]) -> Tensor:
    """Return some rows of a module's weights, packed or not."""
    weight = linear.weight.to_dense() if linear.weight.is_mkldnn else linear.weight
    return weight[list(numbers)]


def pack(model: nn.Module) -> None:
    """Replace the linear modules of a model, if oneDNN can compute them in their precision.

    At most one matrix is in memory twice, beside the file from which the weights may be mapped.
    """
    found = [n for n, m in model.named_modules() if type(m) is nn.Linear and _can_pack(m)]
    for name in found:
        # No name is given to a plain module, which would keep it.
        model.set_submodule(name, PackedLinear(cast("nn.Linear", model.get_submodule(name))))
    if not found:
        return
    # The others may be mapped from the file, all of which would stay in memory with them.
    for parameter in model.parameters():
        if parameter.is_cpu and not parameter.is_mkldnn:
            parameter.data = parameter.data.clone()


def _can_pack(linear: nn.Linear) -> bool:
    weight = linear.weight
    is_here = weight.is_cpu and platform.machine().casefold() in _PROCESSORS
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_operations = all(hasattr(torch.ops.mkldnn, name) for name in _OPERATIONS)
    if not (is_here and has_onednn and has_operations) or linear.bias is not None:
        return False
    if weight.dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype is torch.float32
