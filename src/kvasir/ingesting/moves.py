"""Recognises a document whose file was moved or renamed, and perhaps changed at once.

As in git, two texts are of the same document if they share at least half of what they say, by the
number of characters. They are compared by lines and sentences.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from kvasir.core.ledger import Catalog, DocumentRecord, VersionStatus, passage_hash
from kvasir.ingesting.preparing import Prepared

_LEAST_SHARED = 0.5
_END = re.compile(r"[\n.!?;。！？]+")
_MOST_ALIKE = 20
"""A piece of text in more documents than this tells nothing."""

_Likeness = tuple[bool, float, bool]


@dataclass
class MoveFinder:
    """Finds the former documents of new files; each is found once.

    Attributes:
        is_gone: True for the URI of a document whose file does not exist any more.
        candidates: Gives the documents to look at first, those of the given folders.
    """

    catalog: Catalog
    collection: str
    is_gone: Callable[[str], bool] = lambda _: False
    candidates: Callable[[], Iterable[DocumentRecord]] = tuple
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._gone: dict[str, tuple[DocumentRecord, int]] = {}
        self._pieces: dict[str, list[str]] = defaultdict(list)
        self._has_looked = False

    def former(self, new: Prepared, *, shares_passages: bool) -> DocumentRecord | None:
        """Return the document that a new file was, or None; the most similar one is chosen."""
        if not self._has_looked:
            self._has_looked = True
            for record in self.candidates():
                self._add(record)
        if shares_passages:
            hashes = {passage_hash(chunk.passage) for chunk in new.draft.chunks}
            for name in self.catalog.documents_sharing(self.collection, hashes):
                if name not in self._gone:
                    self._add(self.catalog.document(self.collection, name))
        found = {name: self._likeness(new, name, share) for name, share in self._shares(new)}
        likely = [name for name, (_, share, _) in found.items() if share >= _LEAST_SHARED]
        if not likely:
            return None
        best = max(likely, key=lambda name: found[name])
        self._taken.add(best)
        return self._gone[best][0]

    def _add(self, record: DocumentRecord | None) -> None:
        """Note the pieces of a document, if its file is gone."""
        if record is None or record.id in self._gone:
            return
        if record.status is not VersionStatus.LIVE or not self.is_gone(record.source_uri):
            return
        pieces = _pieces(self.catalog.text(self.collection, record.id) or "")
        self._gone[record.id] = record, _length(pieces)
        for piece in pieces:
            self._pieces[piece].append(record.id)

    def _shares(self, new: Prepared) -> Iterable[tuple[str, float]]:
        """Yield the documents that share something with a new one, and how much of it."""
        if not self._gone:
            return
        pieces = _pieces(new.draft.document.text)
        length, common = _length(pieces), Counter[str]()
        for piece in pieces:
            holders = self._pieces.get(piece, ())
            if len(holders) <= _MOST_ALIKE:
                common.update(dict.fromkeys(holders, len(piece)))
        for name, shared in common.items():
            if name not in self._taken:
                yield name, shared / max(length, self._gone[name][1])

    def _likeness(self, new: Prepared, name: str, share: float) -> _Likeness:
        old, state = self._gone[name][0], new.draft.state
        same_name = PurePath(old.source_uri).name == PurePath(state.uri).name
        is_same = old.state.content_hash == state.content_hash
        return is_same, 1.0 if is_same else share, same_name


def _pieces(text: str) -> set[str]:
    return {piece for part in _END.split(text) if (piece := part.strip())}


def _length(pieces: Iterable[str]) -> int:
    return sum(map(len, pieces))
