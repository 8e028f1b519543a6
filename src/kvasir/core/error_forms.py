"""Errors as plain data and back, and what may be said of them to a caller of a service.

What is wrong with the installation is for its administrators: addresses, paths and settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from kvasir.core.errors import (
    KINDS,
    CollectionNotFoundError,
    ComponentError,
    KvasirError,
    OperatorError,
    RequestError,
)
from kvasir.core.text import hide_passwords

_PLAIN = (str, int, float, bool, type(None))

_FAULT = "the service has a fault, which its administrator finds in the log"
_PUBLIC: Mapping[str, str] = {
    "component_busy": "a part of the service is busy",
    "component_unreachable": "a part of the service cannot be reached",
    "component_timeout": "a part of the service did not answer in time",
    "deadline_exceeded": "the time allowed for it is over",
    "rejected_data": "a value is out of range",
    "closed": "the server is stopping",
}
"""What callers are told of the installation's errors, by code."""


def public_message(error: Exception) -> str:
    """Return what a caller who is no administrator may know of an error."""
    if isinstance(error, CollectionNotFoundError):
        # Its message lists every collection.
        return f"there is no collection '{error.name}' that you may read, or nothing is in it yet"
    is_known = isinstance(error, KvasirError) and type(error) is not KvasirError
    if is_known and (isinstance(error, RequestError) or not isinstance(error, OperatorError)):
        return str(error)
    return _PUBLIC.get(getattr(error, "code", ""), _FAULT)


def fields_of(error: KvasirError) -> dict[str, Any]:
    """Return the attributes of an error as plain data, without its code and its message."""
    return {
        name: _plain(value)
        for name, value in vars(error).items()
        if not name.startswith("_") and name != "code"
    }


def error_from(code: str, message: str, fields: Mapping[str, Any] | None = None) -> KvasirError:
    """Return the error of a code with the attributes that ``fields_of`` returned.

    An unknown code makes a ``KvasirError`` that has it; a missing attribute has its default.
    """
    cls = _classes().get(code, KvasirError)
    error = cls.__new__(cls)
    error.args = (message,)
    given = dict(fields or {})
    if cls.__init__ is not Exception.__init__:
        for name, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
            default = "" if parameter.default is parameter.empty else parameter.default
            given.setdefault(name, default)
    if cls is ComponentError:
        given["kind"] = {each: kind for kind, each in KINDS.items()}[code]
    for name, value in given.items():
        if name.isidentifier() and not name.startswith("_") and not hasattr(KvasirError, name):
            setattr(error, name, tuple(value) if isinstance(value, list) else value)
    if error.code != code:
        error.code = code
    return error


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    if isinstance(value, str) or not isinstance(value, _PLAIN):
        return hide_passwords(str(value))
    return value


@cache
def _classes() -> Mapping[str, type[KvasirError]]:
    found = {each.code: each for each in _tree(KvasirError)}
    return found | dict.fromkeys(KINDS.values(), ComponentError)


def _tree(base: type[KvasirError]) -> Iterator[type[KvasirError]]:
    yield base
    for child in base.__subclasses__():
        yield from _tree(child)
