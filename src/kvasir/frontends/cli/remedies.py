"""What a user of the command line can do about an error, by the error's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.core.errors import KvasirError

_MAKE_COLLECTION = "'kvasir ingest FOLDER' makes a collection"


def _collection_not_found(error: Any) -> str:
    if error.known:
        return f"{_MAKE_COLLECTION}, and --collection names another one"
    return (
        f"{_MAKE_COLLECTION}; if you ingested in another folder, go there or name its data "
        "folder, --set data_dir=FOLDER/kvasir-data"
    )


_REMEDIES: Mapping[str, str | Callable[[Any], str]] = {
    "collection_not_found": _collection_not_found,
    "document_not_found": "'kvasir documents list' shows what there is",
    "name_taken": "name another place, another kind of store, or another collection to copy it to",
    "store_incomplete": "'kvasir doctor --repair' fills it from the catalog",
    "unfinished": "'kvasir doctor --repair' puts that right",
}


def explain(error: KvasirError) -> str:
    """Return an error's message, and what to do about it where that is known."""
    remedy = _REMEDIES.get(error.code, "")
    advice = remedy if isinstance(remedy, str) else remedy(error)
    return f"{error}: {advice}" if advice else str(error)
