"""The first frame of every message between client, broker and worker.

A message is ``[envelope, header, array, ...]``, and a ROUTER socket has the peer's identity before
it. The broker reads the envelope and hands on the rest unread. Its fields, in network order:

    magic    3 bytes  ``KVZ``
    version  1 byte
    kind     1 byte   one of the constants below
    flags    1 byte   of a request: ``IDEMPOTENT``
    number   4 bytes  milliseconds left (request), position (chunk), pieces wanted (more),
                      ``OPEN`` or 0 (a worker's welcome)
    session  8 bytes  made by the broker for each connection
    id       8 bytes  of the request; rises with every request of a connection
    service  the rest, UTF-8, of a request

A frame that was recorded from another connection has another session, and one that is sent twice
has an id that does not rise: a broker executes neither.
"""

from __future__ import annotations

import struct

MAGIC = b"KVZ"
VERSION = 1

HELLO = 1
"""Opens a session; a worker's has a header with its services."""
WELCOME = 2
RESET = 3
"""The broker does not know the session; with an id, that request was not accepted. Without a
session, the broker ends: the request waits for the next one."""
PING = 4
PONG = 5
REQUEST = 6
REPLY = 7
"""The last message of a call that succeeded; after chunks it is empty."""
CHUNK = 8
ERROR = 9
"""The last message of a call that failed: code, message and fields."""
CANCEL = 10
MORE = 11
"""The reader of a stream wants further pieces."""
BYE = 12
"""A worker takes no more requests, which the broker confirms; or a client leaves."""
STATISTICS = 13

OPEN = 1
"""Number of a welcome: every user of the machine may connect to the broker, which has no keys."""

IDEMPOTENT = 1
"""Flag: the request may be executed again if its worker dies."""

WINDOW = 16
"""Pieces of a stream that a worker may send before its reader wants more."""

NO_SESSION = bytes(8)

_FIELDS = struct.Struct("!3sBBBI8sQ")
SIZE = _FIELDS.size
read = _FIELDS.unpack_from
"""Return magic, version, kind, flags, number, session and id; raise ``struct.error``."""
_pack = _FIELDS.pack
MOST_MILLISECONDS = 2**32 - 1


def write(
    kind: int, session: bytes, id_: int = 0, number: int = 0, flags: int = 0, service: bytes = b""
) -> bytes:
    """Return an envelope."""
    return _pack(MAGIC, VERSION, kind, flags, number, session, id_) + service
