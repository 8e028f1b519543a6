"""A collection in memory, for tests of what uses one: no model, no files, no database.

It keeps ``CollectionContract`` as the real one does. A chunk is a paragraph; a question finds the
chunks by the words that they share, and is answered with the first sentence of the best one.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from kvasir.answering.answers import check_question
from kvasir.answering.refusal import DEFAULT_CALIBRATION, Calibration
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.errors import (
    ClosedError,
    CollectionNotFoundError,
    DocumentNotFoundError,
    KvasirError,
    NameTakenError,
)
from kvasir.core.filters import Filter, all_of, matches, parse_filter
from kvasir.core.ledger import (
    CollectionRecord,
    DocumentRecord,
    SourceState,
    VersionStatus,
    check_metadata,
    chunk_metadata,
)
from kvasir.core.reports import CopyReport, Failed, Findings, IngestReport, Repairs
from kvasir.core.types import (
    Answer,
    AnswerEvent,
    Chunk,
    Citation,
    Finished,
    Hit,
    Metadata,
    Retrieved,
    Source,
    StoreAddress,
    Text,
    chunk_id,
    document_id,
)
from kvasir.core.wire import to_json
from kvasir.evaluation.calibration import Fitted
from kvasir.testing.fakes import FakeEmbedder

_EMBEDDER = FakeEmbedder()
_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")
_SENTENCE = re.compile(r"[^.!?]+[.!?]?")


@dataclass
class _Contents:
    """The documents of one collection and their texts, by id."""

    record: CollectionRecord
    documents: dict[str, DocumentRecord] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def chunks(self) -> Iterator[Chunk]:
        for each in self.documents.values():
            for found in _PARAGRAPH.finditer(self.texts[each.id]):
                start, end, text = found.start(), found.end(), found.group()
                name = chunk_id(each.id, text, start, end)
                yield Chunk(name, each.id, text, start, end, metadata=each.metadata)


class FakeCollections:
    """All collections of a test; ``lease`` gives one, as ``App.collection`` does."""

    def __init__(self) -> None:
        """Make a place without collections."""
        self.contents: dict[str, _Contents] = {}
        self.lock = threading.RLock()

    def lease(self, name: str = "default", filters: Filter | None = None) -> FakeCollection:
        """Lease a collection; it need not exist yet. ``filters`` limit its searches."""
        return FakeCollection(self, name, filters)


class FakeCollection:
    """A lease on a collection in memory; the methods are those of ``Collection``."""

    def __init__(
        self, collections: FakeCollections, name: str, filters: Filter | None = None
    ) -> None:
        """Args: where the collection is, its name, and what every search is limited to."""
        self.name = name
        self._all = collections
        self._filters = filters
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the lease."""
        self._is_open = False

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: str | Mapping[str, Any] | Filter | None = None,
    ) -> list[Hit]:
        """Return the chunks that share words with the query first."""
        if not query.strip():
            raise KvasirError("the query is empty")
        allowed = all_of(self._filters, parse_filter(filters))
        with self._all.lock:
            chunks = list(self._contents().chunks())
        if allowed is not None:
            chunks = [chunk for chunk in chunks if matches(allowed, chunk.metadata)]
        vectors = _EMBEDDER.embed_documents([chunk.text for chunk in chunks])
        cosines = vectors @ _EMBEDDER.embed_queries([query])[0] if chunks else []
        scores = [min(1.0, max(0.0, (1 + float(cosine)) / 2)) for cosine in cosines]
        hits = [Hit(chunk, score, score) for chunk, score in zip(chunks, scores, strict=True)]
        best = sorted(hits, key=lambda hit: -hit.score)[: 10 if top_k is None else max(0, top_k)]
        return [hit for hit in best if hit.score >= (min_score_threshold or 0.0)]

    def ask(self, question: str, **limits: Any) -> Answer:
        """Answer with the first sentence of the best chunk; arguments as ``search``."""
        return self.stream(question, **limits).answer

    def stream(self, question: str, **limits: Any) -> AnswerStream:
        """Answer as ``ask`` does, in events."""
        check_question(question)
        parse_filter(limits.get("filters"))
        return AnswerStream(self._events(question, limits))

    def _events(
        self, question: str, limits: Mapping[str, Any]
    ) -> Generator[AnswerEvent, None, None]:
        hits = tuple(self.search(question, **limits))
        yield Retrieved(hits)
        if not hits:
            text = "The documents do not hold the answer."
            yield Text(text)
            yield Finished(Answer(text, refused=True, confidence=0.0))
            return
        chunk = hits[0].chunk
        found = _SENTENCE.search(chunk.text)
        quote = found.group() if found else chunk.text
        for piece in (quote, " [1]"):
            yield Text(piece)
        document, start = self.document(chunk.document_id), chunk.start + chunk.text.index(quote)
        citation = Citation(
            1,
            document.id,
            document.source_uri,
            None,
            quote,
            start,
            start + len(quote),
            document.state.content_hash,
        )
        yield Finished(Answer(f"{quote} [1]", (citation,), hits))

    def record(self) -> CollectionRecord:
        """Return what is known of the collection."""
        return self._contents().record

    def chunk_count(self) -> int:
        """Return how many chunks there are."""
        with self._all.lock:
            return len(list(self._contents().chunks()))

    def documents(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[DocumentRecord]:
        """Return documents, ordered by source URI."""
        with self._all.lock:
            known = sorted(self._contents().documents.values(), key=lambda each: each.source_uri)
        uris = [each for each in known if each.source_uri.startswith(prefix)]
        return [each for each in uris if each.source_uri > after][:limit]

    def document(self, source: str) -> DocumentRecord:
        """Return a document by its id or its source URI."""
        known = self._contents().documents
        found = known.get(source) or known.get(document_id(source))
        if found is None:
            raise DocumentNotFoundError(source, self.name)
        return found

    def text(self, source: str) -> str:
        """Return the text of a document."""
        return self._contents().texts[self.document(source).id]

    def ingest(
        self,
        *sources: tuple[Source, bytes],
        metadata: Metadata | None = None,
        on_conflict: str = "replace",
        on_event: Callable[[Any], None] = lambda _: None,
        **ignored: Any,
    ) -> IngestReport:
        """Read uploads of plain text; the collection is made if it is new."""
        self._check_open()
        check_metadata(metadata or {})
        report = IngestReport()
        with self._all.lock:
            if self.name not in self._all.contents:
                made = (_EMBEDDER.name, _EMBEDDER.dimension, _EMBEDDER.fingerprint, ("en",), None)
                record = CollectionRecord(self.name, *made, datetime.now(UTC))
                self._all.contents[self.name] = _Contents(record)
            for source, data in sources:
                outcome = self._add(source, data, metadata, on_conflict)
                if isinstance(outcome, Failed):
                    report.failed.append(outcome)
                    on_event(outcome)
                else:
                    getattr(report, outcome).append(source.uri)
        return report

    def _add(
        self, source: Source, data: bytes, given: Metadata | None, on_conflict: str
    ) -> str | Failed:
        contents, name = self._contents(), document_id(source.uri)
        old = contents.documents.get(name)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return Failed(source.uri, "malformed", "it is not text")
        if not text.strip():
            return Failed(source.uri, "empty", "it holds no text")
        digest = hashlib.sha256(data).hexdigest()
        changed = old is None or old.state.content_hash != digest
        if old is not None and changed and on_conflict == "skip":
            return "skipped"
        if old is not None and changed and on_conflict == "error":
            return Failed(source.uri, "conflict", "it changed")
        if old is not None and not changed and given in (None, old.given):
            return "unchanged"
        kept = (old.given if old else {}) if given is None else given
        title = source.uri.rsplit("/", 1)[-1]
        contents.texts[name] = text
        contents.documents[name] = DocumentRecord(
            name,
            source.uri,
            VersionStatus.LIVE,
            SourceState(source.uri, source.media_type, digest, len(data), None, ""),
            title,
            "en",
            len(_PARAGRAPH.findall(text)),
            kept,
            chunk_metadata({}, kept, source_uri=source.uri, title=title, language="en"),
            datetime.now(UTC),
        )
        return "added" if old is None else "replaced" if changed else "relabelled"

    def optimize(self, *, wait: bool = False) -> None:
        """Do nothing: there is no search graph."""
        self._check_open()

    def delete(self, *sources: str) -> int:
        """Delete documents, by id or source URI; return how many."""
        with self._all.lock:
            names = {self.document(source).id for source in sources}
            for name in names:
                del self._contents().documents[name], self._contents().texts[name]
        return len(names)

    def set_metadata(self, source: str, metadata: Metadata) -> None:
        """Replace the metadata given for a document."""
        check_metadata(metadata)
        with self._all.lock:
            old = self.document(source)
            carried = chunk_metadata(
                {}, metadata, source_uri=old.source_uri, title=old.title, language=old.language
            )
            new = replace(old, given=dict(metadata), metadata=carried)
            self._contents().documents[old.id] = new

    def drop(self) -> None:
        """Delete the collection."""
        with self._all.lock:
            self._contents()
            del self._all.contents[self.name]

    def copy(self, to: StoreAddress, *, name: str | None = None, **ignored: Any) -> CopyReport:
        """Copy the collection under another name, wherever ``to`` is."""
        with self._all.lock:
            mine, number = self._contents(), self.chunk_count()
            if name in (None, self.name) or name in self._all.contents:
                raise NameTakenError(name or self.name, " in that store")
            record = replace(mine.record, name=name)
            self._all.contents[name] = _Contents(record, {**mine.documents}, {**mine.texts})
        same = "0"
        return CopyReport(number, number, 0, (), 0, (), number, False, same, same, 0.0)

    def inspect(self, **ignored: Any) -> Findings:
        """Return that all is well."""
        number = self.chunk_count()
        return Findings(self.name, 0, 0, (), (), (), (), (), number, number)

    def repair(self, **ignored: Any) -> Repairs:
        """Return that nothing was to be done."""
        return Repairs(self.inspect())

    def calibrate(
        self,
        answered: Sequence[str] | None = None,
        unanswered: Sequence[str] | None = None,
        *,
        apply: bool | None = None,
        **ignored: Any,
    ) -> Fitted:
        """Return the shipped decision, which is kept where ``apply`` says so."""
        self._contents()
        if answered is not None and len(answered) < 2:
            raise KvasirError(f"{len(answered)} questions are too few")
        if apply:
            self.keep_calibration(DEFAULT_CALIBRATION)
        return Fitted(DEFAULT_CALIBRATION, True, (), bool(apply))

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Keep a decision to refuse with the collection."""
        with self._all.lock:
            mine = self._contents()
            stored = to_json(calibration) if calibration else None
            mine.record = replace(mine.record, calibration=stored)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClosedError(f"this lease of collection '{self.name}' is closed")

    def _contents(self) -> _Contents:
        self._check_open()
        found = self._all.contents.get(self.name)
        if found is None:
            raise CollectionNotFoundError(self.name, sorted(self._all.contents))
        return found
