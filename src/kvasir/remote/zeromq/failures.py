"""Errors in messages: code, message and fields, never a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvasir.core.error_forms import error_from, fields_of
from kvasir.core.errors import ComponentError, KvasirError, WireError
from kvasir.core.wire import from_json
from kvasir.remote.zeromq.packing import pack, unpack


def pack_error(error: KvasirError) -> list[bytes]:
    """Return the header of an error; what a message cannot hold of its fields is left out."""
    form = [error.code, str(error), fields_of(error)]
    try:
        return pack(form)
    except WireError:
        return pack([error.code, str(error), {}])


def unpack_error(frames: Sequence[bytes]) -> KvasirError:
    """Return the error of a header; one of ``ComponentError`` if it is malformed."""
    try:
        code, message, fields = unpack(frames)
        known = from_json(dict[str, Any], fields)
        return error_from(from_json(str, code), from_json(str, message), known)
    except (WireError, ValueError, TypeError, KeyError) as error:
        return ComponentError("a service", "failing", f"its error cannot be read: {error}")
