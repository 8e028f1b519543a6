"""Advice for users of the command line, by an error's code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kvasir.core.errors import KvasirError
from kvasir.core.registry import how_to_install
from kvasir.core.types import ASKED_BEFORE, KNOWS_ENGLISH_ONLY

_MAKE_COLLECTION = "'kvasir ingest FOLDER' makes a collection"
_REPAIR = "'kvasir doctor --repair' puts that right"


def _collection_not_found(error: Any) -> str:
    if error.known:
        return f"{_MAKE_COLLECTION}, and --collection names another one"
    there = "go there or name its data folder with --data-dir"
    return f"{_MAKE_COLLECTION}; if you ingested in another folder, {there}"


def _model_not_found(error: Any) -> str:
    fetch = f"run 'kvasir models pull {error.name}' where there is a network and copy the folder"
    return f"give the path of a model folder, or {fetch}" if error.name else ""


def _delete_folder(error: Any) -> str:
    advice = f"delete the folder '{error.folder}', and 'kvasir doctor --repair' makes it again"
    return advice if error.folder else ""


_REMEDIES: Mapping[str, str | Callable[[Any], str]] = {
    "ambiguous_document": "type more of the name, or the id; --all of 'kvasir documents delete' "
    "deletes them all",
    "ambiguous_store": "say which with --to-type",
    "chunks_left": _REPAIR,
    "collection_not_found": _collection_not_found,
    "damaged": _delete_folder,
    "document_not_found": "'kvasir documents list' shows what there is",
    "incompatible_version": _delete_folder,
    "missing_extra": lambda error: how_to_install(error.extra),
    "model_not_found": _model_not_found,
    "not_authenticated": "'kvasir login URL' logs in",
    "name_taken": "name another place, another kind of store, or another collection to copy it to",
    "outdated_metadata": "'kvasir doctor --repair' adds them, without embedding anything",
    "settings_file_not_found": "'kvasir config init' writes one",
    "store_incomplete": "'kvasir doctor --repair' fills it from the catalog",
    "split_conflict": "leave it out to go on as before, name --re-split to split the documents so "
    "from now on, or ingest into a new --collection",
    "too_few_questions": "give questions that the collection answers (--questions FILE) and some "
    "that it does not (--off-topic FILE)",
    "unfinished": _REPAIR,
    "wrong_embedder": "or embed the collection again with 'kvasir models use NAME', or ingest into "
    "another --collection",
}

_WITHOUT_COLLECTION = frozenset(
    {
        "collection_not_found",
        "damaged",
        "incompatible_version",
        "locked",
        "storage_unusable",
        "store_incomplete",
        "unfinished",
        "wrong_embedder",
    }
)
"""Codes of errors that a chat without RAG does not have."""

_FAILED_SOURCES: Mapping[str, str] = {
    "conflict": "'--on-conflict replace' ingests it again",
    "image_only": f"for text recognition {how_to_install('ocr')} and ingest it again",
    "ocr_off": "'--ocr auto' recognizes its text",
}


def explain(error: KvasirError) -> str:
    """Return an error's message, with advice if there is any."""
    remedy = _REMEDIES.get(error.code, "")
    advice = remedy if isinstance(remedy, str) else remedy(error)
    joint = ", " if advice.startswith("or ") else ": "
    return f"{error}{joint}{advice}" if advice else str(error)


def explain_in_chat(error: KvasirError, *, has_model: bool) -> str:
    """Return an error's message and advice in a chat, which needs a model to go on without RAG."""
    said = explain(error)
    avoidable = has_model and error.code in _WITHOUT_COLLECTION
    return f"{said}; /r turns RAG off" if avoidable else said


def explain_note(note: str) -> str:
    """Return a note about an answer, with advice if there is any."""
    if KNOWS_ENGLISH_ONLY in note:
        return f"{note}: 'kvasir models use multilingual' embeds the collection again with one"
    if note.endswith(ASKED_BEFORE):
        return f"{note}: 'kvasir ask --fresh' makes a new answer"
    return note


def explain_source(reason: str, message: str) -> str:
    """Return why a source failed, with advice if there is any."""
    advice = _FAILED_SOURCES.get(reason, "")
    return f"{message}; {advice}" if advice else message
