"""Arrays of the core, apart from its other types: numpy takes a while to import."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
"""Vectors: float32 array [n, dimension], one row for each text, unit length."""


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term weights of one text: parallel arrays, term ids uint32 and weights float32."""

    indices: NDArray[np.uint32]
    values: NDArray[np.float32]
