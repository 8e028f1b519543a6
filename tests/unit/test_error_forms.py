"""Errors cross a process and keep class, code, message and attributes."""

from __future__ import annotations

import json

import pytest

from kvasir.core.error_forms import error_from, fields_of
from kvasir.core.errors import (
    AmbiguousDocumentError,
    CollectionNotFoundError,
    ComponentError,
    DamagedError,
    DeadlineExceededError,
    DocumentNotFoundError,
    KvasirError,
    MissingExtraError,
    RateLimitedError,
    RequestError,
    StoppedError,
    StoreIncompleteError,
)


@pytest.mark.parametrize(
    "error",
    [
        RequestError("the query is empty"),
        CollectionNotFoundError("moon", ["sun", "tea"]),
        DocumentNotFoundError("a.txt", "moon", ["b.txt"]),
        AmbiguousDocumentError("a", "moon", ["a.txt", "aa.txt"]),
        MissingExtraError("store 'milvus'", "milvus"),
        RateLimitedError("slowly", 2.5),
        StoreIncompleteError("moon", 3, 1),
        StoppedError(),
        ComponentError("store", "searching", "no route", kind="busy"),
        DamagedError("store", "reading", OSError("no"), "/data/store"),
        DeadlineExceededError("searching"),
    ],
    ids=lambda error: error.code,
)
def test_an_error_is_the_same_afterwards(error: KvasirError) -> None:
    sent = json.loads(json.dumps([error.code, str(error), fields_of(error)]))
    again = error_from(*sent)
    assert type(again) is type(error)
    assert (again.code, str(again)) == (error.code, str(error))
    assert fields_of(again) == fields_of(again) | fields_of(error)


def test_an_unknown_code_and_missing_attributes_make_an_error_all_the_same() -> None:
    assert error_from("method_not_allowed", "no").code == "method_not_allowed"
    missing = error_from("collection_not_found", "there is none")
    assert isinstance(missing, CollectionNotFoundError)
    assert (missing.name, missing.known) == ("", ())


def test_a_server_cannot_replace_what_every_error_has() -> None:
    error = error_from("forbidden", "no", {"args": ["yes"], "with_traceback": 1, "_x": 2})
    assert str(error) == "no"
    assert callable(error.with_traceback)


def test_no_password_of_an_address_crosses() -> None:
    cause = OSError("redis://me:hush@host refuses")
    fields = fields_of(ComponentError("queue", "connecting", cause))
    assert "hush" not in json.dumps(fields)
