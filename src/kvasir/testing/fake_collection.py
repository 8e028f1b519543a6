"""A collection in memory, for tests of its users: no model, no files, no database.

It passes ``CollectionContract`` as ``Collection`` does, with the same methods and arguments. A
chunk is a paragraph; searches compare the words of query and chunk, and an answer is the first
sentence of the best chunk.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from kvasir.answering.answers import Answerer
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
    DocumentVersion,
    SourceState,
    VersionStatus,
    check_metadata,
    chunk_metadata,
)
from kvasir.core.reports import CopyReport, Failed, Findings, IngestReport, Repairs
from kvasir.core.scoring import dense_scores
from kvasir.core.types import (
    Answer,
    Chunk,
    Hit,
    Metadata,
    SearchRequest,
    Source,
    StoreAddress,
    chunk_id,
    document_id,
)
from kvasir.core.wire import to_json
from kvasir.evaluation.calibration import Fitted
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder, FakeGenerator

_EMBEDDER = FakeEmbedder()
_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")


@dataclass
class _Contents:
    """The documents of one collection with their texts, by id."""

    record: CollectionRecord
    documents: dict[str, tuple[DocumentRecord, str]] = field(default_factory=dict)

    def chunks(self) -> list[Chunk]:
        return [
            Chunk(chunk_id(doc.id, *span), doc.id, *span, metadata=doc.metadata)
            for doc, text in list(self.documents.values())
            for found in _PARAGRAPH.finditer(text)
            for span in [(found.group(), *found.span())]
        ]


class FakeCollections:
    """All collections of a test; ``lease`` gives one, as ``App.collection`` does."""

    def __init__(self) -> None:
        self.contents: dict[str, _Contents] = {}

    def lease(self, name: str = "default", filters: Filter | None = None) -> FakeCollection:
        """Lease a collection, which need not exist yet; ``filters`` limit its searches."""
        return FakeCollection(self, name, filters)


class FakeCollection:
    """A lease on a collection in memory; see ``Collection`` for the methods."""

    def __init__(self, collections: FakeCollections, name: str, filters: Filter | None) -> None:
        self.name = name
        self._collections = collections.contents
        self._filters = filters
        self._is_open = True
        self._answerer = Answerer(
            self,
            FakeGenerator(),
            analyzer=FakeAnalyzer(),
            refuse=False,
            find_version=self._version,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._is_open = False

    # Reading

    def search(self, query: str, **limits: Any) -> list[Hit]:
        if not query.strip():
            raise KvasirError("the query is empty")
        return self.retrieve(_request(query, **limits))

    def retrieve(self, request: SearchRequest) -> list[Hit]:
        """Search for ``Answerer``."""
        allowed = all_of(self._filters, request.filters)
        chunks = [
            c for c in self._contents().chunks() if not allowed or matches(allowed, c.metadata)
        ]
        query = _EMBEDDER.embed_queries([request.query])[0]
        scores = dense_scores(_EMBEDDER.embed_documents([c.text for c in chunks]) @ query).tolist()
        hits = [Hit(chunk, score, score) for chunk, score in zip(chunks, scores, strict=True)]
        best = sorted(hits, key=lambda hit: -hit.score)[: max(0, request.top_k)]
        return [hit for hit in best if hit.score >= request.min_score_threshold]

    def ask(self, question: str, **limits: Any) -> Answer:
        return self.stream(question, **limits).answer

    def stream(self, question: str, **limits: Any) -> AnswerStream:
        return self._answerer.stream(_request(question, **limits))

    def record(self) -> CollectionRecord:
        return self._contents().record

    def chunk_count(self) -> int:
        return len(self._contents().chunks())

    def documents(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[DocumentRecord]:
        known = [record for record, _ in list(self._contents().documents.values())]
        chosen = (r for r in known if r.source_uri.startswith(prefix) and r.source_uri > after)
        return sorted(chosen, key=lambda record: record.source_uri)[:limit]

    def document(self, source: str) -> DocumentRecord:
        return self._find(source)[0]

    def text(self, source: str) -> str:
        return self._find(source)[1]

    # Writing

    def ingest(
        self,
        *sources: tuple[Source, bytes],
        metadata: Metadata | None = None,
        on_conflict: str = "replace",
        **ignored: Any,
    ) -> IngestReport:
        self._check_open()
        check_metadata(metadata or {})
        made = (_EMBEDDER.name, _EMBEDDER.dimension, _EMBEDDER.fingerprint, ("en",), None)
        new = _Contents(CollectionRecord(self.name, *made, datetime.now(UTC)))
        contents, report = self._collections.setdefault(self.name, new), IngestReport()
        for source, data in sources:
            outcome = _add(contents, source, data, metadata, on_conflict)
            if isinstance(outcome, Failed):
                report.failed.append(outcome)
            else:
                getattr(report, outcome).append(source.uri)
        return report

    def optimize(self, **ignored: Any) -> None:
        self._check_open()

    def delete(self, *sources: str) -> int:
        ids = {self.document(source).id for source in sources}
        for each in ids:
            self._contents().documents.pop(each, None)
        return len(ids)

    def set_metadata(self, source: str, metadata: Metadata) -> None:
        check_metadata(metadata)
        old, text = self._find(source)
        fields = {"source_uri": old.source_uri, "title": old.title, "language": old.language}
        new = replace(old, given=dict(metadata), metadata=chunk_metadata({}, metadata, **fields))
        self._contents().documents[old.id] = (new, text)

    def drop(self) -> None:
        self._contents()
        del self._collections[self.name]

    # Maintenance

    def copy(self, to: StoreAddress, *, name: str | None = None, **ignored: Any) -> CopyReport:
        """Copy the collection under another name, wherever ``to`` is."""
        mine, number = self._contents(), self.chunk_count()
        name = name or self.name
        if name in self._collections:
            raise NameTakenError(name, " in that store")
        self._collections[name] = _Contents(replace(mine.record, name=name), {**mine.documents})
        return CopyReport(number, number, 0, (), 0, (), number, False, "0", "0", 0.0)

    def inspect(self, **ignored: Any) -> Findings:
        number = self.chunk_count()
        return Findings(self.name, 0, 0, (), (), (), (), (), number, number)

    def repair(self, **ignored: Any) -> Repairs:
        return Repairs(self.inspect())

    def calibrate(
        self,
        answered: Sequence[str] | None = None,
        unanswered: Sequence[str] | None = None,
        *,
        apply: bool | None = None,
        **ignored: Any,
    ) -> Fitted:
        """Return the shipped decision, and keep it if ``apply`` is true."""
        self._contents()
        if answered is not None and len(answered) < 2:
            raise KvasirError(f"{len(answered)} questions are too few")
        if apply:
            self.keep_calibration(DEFAULT_CALIBRATION)
        return Fitted(DEFAULT_CALIBRATION, True, (), bool(apply))

    def keep_calibration(self, calibration: Calibration | None) -> None:
        mine, stored = self._contents(), to_json(calibration) if calibration else None
        mine.record = replace(mine.record, calibration=stored)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ClosedError(f"this lease of collection '{self.name}' is closed")

    def _contents(self) -> _Contents:
        self._check_open()
        if (found := self._collections.get(self.name)) is None:
            raise CollectionNotFoundError(self.name, sorted(self._collections))
        return found

    def _find(self, source: str) -> tuple[DocumentRecord, str]:
        known = self._contents().documents
        if (found := known.get(source) or known.get(document_id(source))) is None:
            raise DocumentNotFoundError(source, self.name)
        return found

    def _version(self, document: str) -> DocumentVersion:
        record, text = self._find(document)
        return DocumentVersion(text, record.state.content_hash)


def _request(
    query: str,
    top_k: int | None = None,
    min_score_threshold: float | None = None,
    filters: str | Mapping[str, Any] | Filter | None = None,
) -> SearchRequest:
    most = 10 if top_k is None else top_k
    return SearchRequest(query, most, min_score_threshold or 0.0, parse_filter(filters))


def _add(
    contents: _Contents, source: Source, data: bytes, given: Metadata | None, on_conflict: str
) -> str | Failed:
    """Add a document, and return the field of ``IngestReport`` that lists it, or its failure."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Failed(source.uri, "malformed", "it is not text")
    if not text.strip():
        return Failed(source.uri, "empty", "it holds no text")
    key, digest = document_id(source.uri), hashlib.sha256(data).hexdigest()
    old = contents.documents[key][0] if key in contents.documents else None
    changed = old is None or old.state.content_hash != digest
    if old is not None and changed and on_conflict == "skip":
        return "skipped"
    if old is not None and changed and on_conflict == "error":
        return Failed(source.uri, "conflict", "it changed")
    if old is not None and not changed and given in (None, old.given):
        return "unchanged"
    kept = (old.given if old else {}) if given is None else given
    title = source.uri.rsplit("/", 1)[-1]
    record = DocumentRecord(
        key,
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
    contents.documents[key] = (record, text)
    return "added" if old is None else "replaced" if changed else "relabelled"
