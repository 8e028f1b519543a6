"""Find documents by what people type of their names.

A document is known by its source URI and by its id. People type less: the name of its file, the end
of its path, or the beginning of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

_SEPARATORS = "/\\:"
_PARTS = re.compile(r"[/\\:]")
_SHORTEST_ID = 4
"""Fewest characters that are taken for the beginning of an id."""
_MOST_PROPOSALS = 3


def matching(uris: Mapping[str, str], typed: Sequence[str]) -> list[str]:
    """Return the ids of the documents that something typed means, ordered by source URI.

    Those whose file name, or the end of whose path, was typed; if there are none, those whose URI,
    id, file name, or path from some folder on begins with it.

    Args:
        uris: Source URIs by document id.
        typed: Spellings of the same name, such as a relative path and the absolute one.
    """
    spellings = [each for each in typed if each]
    for fits in (_is_end_of, _begins):
        found = [
            (uri, each) for each, uri in uris.items() if any(fits(s, uri, each) for s in spellings)
        ]
        if found:
            return [each for _, each in sorted(found)]
    return []


def nearest(uris: Mapping[str, str], typed: str) -> list[str]:
    """Return the source URIs whose file names are spelled most like that of what was typed."""
    by_name: dict[str, list[str]] = {}
    for uri in sorted(uris.values()):
        by_name.setdefault(_last_part(uri).casefold(), []).append(uri)
    close = get_close_matches(_last_part(typed).casefold(), by_name, n=_MOST_PROPOSALS)
    return [uri for name in close for uri in by_name[name]][:_MOST_PROPOSALS]


def _is_end_of(typed: str, uri: str, _: str) -> bool:
    return uri == typed or (uri.endswith(typed) and uri[-len(typed) - 1] in _SEPARATORS)


def _begins(typed: str, uri: str, document_id: str) -> bool:
    if uri.startswith(typed) or (
        len(typed) >= _SHORTEST_ID and document_id.startswith(typed.lower())
    ):
        return True
    if _PARTS.search(typed):
        return any(f"{separator}{typed}" in uri for separator in _SEPARATORS)
    return _last_part(uri).startswith(typed)


def _last_part(uri: str) -> str:
    return _PARTS.split(uri.rstrip(_SEPARATORS))[-1]
