"""Write settings as a YAML file with every key and its description."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from kvasir.settings.schema import Settings


def template() -> str:
    """Return a settings file with every key at its default, commented out."""
    title = "# Settings of Kvasir. Take the '#' away from what you change and its sections."
    return render(Settings(), title, "#")


def render(settings: Settings, title: str, prefix: str = "") -> str:
    """Return a settings file: a title, then every key, each line with a prefix."""
    lines = (f"{prefix}{line}" for line in _lines(settings, ""))
    return "\n".join([title, "", *lines]) + "\n"


def _lines(section: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:{note}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, str) and value.endswith("\n"):
            yield f"{indent}{name}: |"
            yield from (f"{indent}  {line}".rstrip() for line in value.splitlines())
        else:
            plain = section.model_dump(mode="json", include={name})
            first, *rest = yaml.safe_dump(plain, allow_unicode=True).rstrip().splitlines()
            yield f"{indent}{first}{note if not rest else ''}"
            yield from (f"{indent}{line}" for line in rest)
