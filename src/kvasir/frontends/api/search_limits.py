"""The fields of a search in requests; the refusal of a limit says what is allowed."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from kvasir.settings.schema import MOST_TOP_K


def _check_top_k(value: int) -> int:
    if not 1 <= value <= MOST_TOP_K:
        raise ValueError(f"must be from 1 to {MOST_TOP_K}")
    return value


def _check_threshold(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError("must be from 0 to 1")
    return value


# Pydantic's own bounds name only the one that was missed.
_TOP_K = Field(json_schema_extra={"minimum": 1, "maximum": MOST_TOP_K})
_THRESHOLD = Field(json_schema_extra={"minimum": 0, "maximum": 1})
EXPLAIN = Field(False, description="say in `explanation` how the answer was decided and found")
TopK = Annotated[int, AfterValidator(_check_top_k), _TOP_K]
Threshold = Annotated[float, AfterValidator(_check_threshold), _THRESHOLD]
