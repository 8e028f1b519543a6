"""Explain which setting is wrong, where it was given, and which key is nearest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kvasir.core.registry import suggestion
from kvasir.settings.masking import names_a_secret
from kvasir.settings.schema import Settings


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of the tree."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    """Return the errors of all settings; ``origins`` says where each key was given."""
    return "; ".join(_explain_one(detail, origins) for detail in error.errors())


def merge_origins(*layers: Mapping[str, str]) -> dict[str, str]:
    """Return where each key was given last; a section replaces the keys given in it before."""
    origins: dict[str, str] = {}
    for layer in layers:
        for dotted, origin in layer.items():
            hidden = [key for key in origins if key.startswith(f"{dotted}.")]
            for key in hidden:
                del origins[key]
            origins[dotted] = origin
    return origins


def _explain_one(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    dotted = ".".join(str(part) for part in detail["loc"])
    where = _find_origin(origins, dotted)
    if detail["type"] == "extra_forbidden":
        return f"unknown setting '{dotted}'{where}{_nearest(dotted)}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch":
        message = "must be of letters, digits, '_', '-' and '.' alone"
    given = detail.get("input")
    hidden = isinstance(given, (dict, list)) or names_a_secret(detail["loc"][-1])
    shown = "" if hidden else f", not {given!r}"
    return f"setting '{dotted}'{where}: {message[0].lower()}{message[1:]}{shown}"


def _find_origin(origins: Mapping[str, str], dotted: str) -> str:
    """Return where a key was given; for a section, where each of its keys was."""
    around = [key for key in origins if f"{dotted}.".startswith(f"{key}.")]
    if around:
        return origins[max(around, key=len)]
    inside = (origin for key, origin in origins.items() if key.startswith(f"{dotted}."))
    return " and".join(dict.fromkeys(filter(None, inside)))


def _nearest(dotted: str) -> str:
    """Suggest a key with a similar spelling, or with the same last part in another section."""
    known = list(keys())
    last = dotted.rsplit(".", 1)[-1]
    alike = get_close_matches(dotted, known, n=1, cutoff=0.85)
    near = alike or [key for key in known if key.rsplit(".", 1)[-1] == last]
    return f" (did you mean '{near[0]}'?)" if near else suggestion(dotted, known)
