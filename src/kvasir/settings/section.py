"""The base of every section of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """An immutable part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
