"""The base of every section of the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(le=31 * 86_400)]
"""A month at most: threads cannot wait for any time, nor for one without an end."""
Minutes = Annotated[int, Field(le=10 * 366 * 1_440)]
Days = Annotated[float, Field(le=36_600)]
Mebibytes = Annotated[int, Field(le=1 << 20)]


class Section(BaseModel):
    """An immutable part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
