"""Items of docling's JSON in both schemas: references, page numbers and errors."""

from __future__ import annotations

from typing import Any

from kvasir.core.errors import ExtractionError


def broken(detail: str) -> ExtractionError:
    """Return the error for a document that breaks its schema."""
    return ExtractionError(
        "malformed", f"it is broken docling JSON: {detail}; convert the document again"
    )


def resolve(values: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return the item that a reference such as ``#/texts/3`` leads to.

    Raises:
        ExtractionError: It leads nowhere, or to no item.
    """
    found: Any = values
    try:
        for part in reference.removeprefix("#/").split("/"):
            found = found[int(part)] if isinstance(found, list) else found[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise broken(f"reference '{reference}' leads nowhere") from error
    if not isinstance(found, dict):
        raise broken(f"reference '{reference}' leads to no item")
    return found


def page_number(item: dict[str, Any], key: str) -> int | None:
    """Return the first page number of an item's provenance."""
    for origin in item.get("prov") or ():
        if isinstance(origin, dict) and isinstance(origin.get(key), int):
            return int(origin[key])
    return None
