"""Any Haystack document store as a vector store.

A document store writes, deletes and filters. The retriever in the settings searches by vector;
without one, every vector is compared. Scores are computed here, so they are the same in each store.

Filters use extra fields: a digest of type and value for each metadata field with one value, a mark
for each other tag (``tagged_rows``: items of lists, dates, folders), and numbers and points in time
for ranges. So text, numbers and truth values stay apart, no field name clashes with the store's,
and no text is parsed as a date. Collections share a document store. One more document for each
holds its fingerprint, dimension and the stamp of the keyword index in memory.

Source: https://docs.haystack.deepset.ai/docs/document-store (haystack-ai 3).
"""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from haystack import Document
from haystack.document_stores.types import DuplicatePolicy

from kvasir.components.stores import index_terms, tagged_rows
from kvasir.components.stores.database_store import Scores
from kvasir.components.stores.hybrid import KeywordsInMemory, similarities
from kvasir.components.stores.keyword_index import IndexCache, Postings, pack, unpack
from kvasir.core.batches import batches
from kvasir.core.errors import SettingsError
from kvasir.core.filters import UNDER, Comparison, Filter, matches, values_of
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Chunk, Matrix, Metadata, MetadataScalar
from kvasir.integrations.haystack_classes import make

T = TypeVar("T")

_NAMESPACE = uuid.UUID("0d6e8f9c-3b1f-5a57-8a0e-7a2a54ce4b0d")
_IDS_AT_ONCE = 100
_SCAN_SHARE = 5
"""All chunks are read for a request of more than a fifth of them by id."""
_ORDERINGS = (">", ">=", "<", "<=")
_NOTHING = "-"
"""Equal to no digest: some stores refuse an empty list for ``in``."""


class HaystackStore(KeywordsInMemory):
    """Keeps a collection in a Haystack document store."""

    name = "haystack"
    _errors = (Exception,)  # document stores raise different errors

    def __init__(
        self,
        collection: str,
        dimension: int,
        analyzer: TextAnalyzer,
        fingerprint: str = "",
        document_store: str = "",
        init_parameters: Mapping[str, Any] | None = None,
        retriever: str | None = None,
        retriever_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        """Open a collection, or create it; an empty fingerprint accepts any embedder.

        ``document_store`` is a class, ``package.module:Class``, and ``init_parameters`` are its
        parameters as in a Haystack pipeline file; it must return embeddings with documents. Without
        ``retriever``, the class of its embedding retriever, every vector is compared;
        ``retriever_parameters`` are the retriever's own, without ``document_store``.

        Raises:
            SettingsError: A class or its parameters are unusable.
            WrongEmbedderError: It was made with another dimension or by another embedder.
            ComponentError: The document store failed.
        """
        if not document_store:
            raise SettingsError(
                "store 'haystack' needs rag.vectordb.options.document_store, such as "
                "haystack.document_stores.in_memory:InMemoryDocumentStore"
            )
        super().__init__(collection, dimension, analyzer)
        self._key = tagged_rows.text_digest(collection)
        self._lock = threading.RLock()
        self._index = IndexCache(
            read_stamp=self._stamp, put_stamp=self._put_stamp, load=lambda stamp: self._read_index()
        )
        documents = make("document_store", document_store, init_parameters or {})
        self._documents = documents
        self._retriever: Any = None
        if retriever is not None:
            parameters = retriever_parameters or {}
            self._retriever = make("retriever", retriever, parameters, document_store=documents)
        self._check(fingerprint)

    def _upsert(self, chunks: Sequence[Chunk], vectors: Matrix) -> None:
        terms = self._terms(chunks)
        documents = [
            Document(
                self._document_id(chunk.id),
                chunk.text,
                meta=_meta(self._key, chunk, base64.b85encode(pack(sparse)).decode()),
                embedding=[float(value) for value in vector],
            )
            for chunk, vector, sparse in zip(chunks, vectors, terms, strict=True)
        ]
        with self._index.writing() as changed:
            self._write(documents)
            changed([chunk.id for chunk in chunks], terms)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks by id; unknown ids are no error."""
        known = [document.id for document in self._by_id(ids)]
        if not known:
            return
        with self._index.writing() as changed:
            self._call("deleting", self._documents.delete_documents, known)
            changed(ids, None)

    def count(self, filters: Filter | None = None) -> int:
        """Return how many chunks there are."""
        condition = self._where(filters)
        counting = getattr(self._documents, "count_documents_by_filter", None)
        if counting is not None:
            return int(self._call("counting", counting, condition))
        return len(self._read(condition))

    def fetch(self, ids: Sequence[str]) -> list[tuple[Chunk, Matrix]]:
        """Return chunks and their vectors [dimension]; unknown ids are left out."""
        return [(_chunk(document), _vector(document)) for document in self._by_id(ids)]

    def scroll(
        self, filters: Filter | None = None, batch_size: int = 1000
    ) -> Iterator[list[tuple[Chunk, Matrix]]]:
        """Yield every chunk with its vector; Haystack reads all at once."""
        for batch in batches(self._read(self._where(filters)), batch_size):
            yield [(_chunk(document), _vector(document)) for document in batch]

    def fetch_chunks(self, ids: Sequence[str]) -> list[Chunk]:
        """Return chunks without their vectors; unknown ids are left out."""
        return [_chunk(document) for document in self._by_id(ids)]

    def _search(self, vectors: Matrix, top_k: int, filters: Filter | None) -> list[Scores]:
        condition = self._where(filters)
        if self._retriever is None:
            known = _vectors(self._read(condition))
            return [_nearest(known, vector, top_k) for vector in vectors]
        return [
            _nearest(_vectors(self._retrieve(vector, top_k, condition)), vector, top_k)
            for vector in vectors
        ]

    def set_metadata(self, ids: Sequence[str], metadata: Metadata) -> None:
        """Replace the metadata of chunks without touching text or vectors."""
        with self._lock:
            documents = []
            for document in self._by_id(ids):
                chunk = replace(_chunk(document), metadata=dict(metadata))
                meta = _meta(self._key, chunk, document.meta["kvasir_terms"])
                documents.append(replace(document, meta=meta))
            if documents:
                self._write(documents)

    def _drop(self) -> None:
        ids = [document.id for document in self._read(self._where(None))]
        self._call("deleting", self._documents.delete_documents, [*ids, self._document_id("")])

    def _disconnect(self) -> None:
        with self._lock:
            for name in ("close", "shutdown"):
                if hasattr(self._documents, name):
                    getattr(self._documents, name)()

    def _check(self, fingerprint: str) -> None:
        if about := self._about():
            stored_dimension = int(about["kvasir_dimension"])
            self._check_maker(about["kvasir_fingerprint"], stored_dimension, fingerprint)
        else:
            self._put_about(fingerprint, uuid.uuid4().hex)

    def _about(self) -> dict[str, Any]:
        found = self._read({"field": "id", "operator": "==", "value": self._document_id("")})
        return found[0].meta if found else {}

    def _put_about(self, fingerprint: str, stamp: str) -> None:
        vector = [1.0] + [0.0] * (self.dimension - 1)  # Some stores take no document without one.
        meta = {
            "kvasir_collection": f"about {self._key}",
            "kvasir_title": self._title,
            "kvasir_dimension": self.dimension,
            "kvasir_fingerprint": fingerprint,
            "kvasir_stamp": stamp,
        }
        self._write([Document(self._document_id(""), "", meta=meta, embedding=vector)])

    def _put_stamp(self, stamp: str) -> None:
        self._put_about(str(self._about().get("kvasir_fingerprint", "")), stamp)

    def _stamp(self) -> str:
        return str(self._about().get("kvasir_stamp", ""))

    def _read_index(self) -> Postings:
        metas = [document.meta for document in self._read(self._where(None))]
        return Postings(
            {
                str(meta["kvasir_chunk"]): unpack(base64.b85decode(meta["kvasir_terms"]))
                for meta in metas
            }
        )

    def _document_id(self, chunk_id: str) -> str:
        """Return a document id that differs by collection."""
        return str(uuid.uuid5(_NAMESPACE, f"{self._key}/{chunk_id}"))

    def _write(self, documents: list[Document]) -> None:
        self._call(
            "writing", self._documents.write_documents, documents, policy=DuplicatePolicy.OVERWRITE
        )

    def _read(self, condition: dict[str, Any]) -> list[Document]:
        return list(self._call("reading", self._documents.filter_documents, condition))

    def _by_id(self, ids: Sequence[str]) -> list[Document]:
        wanted = dict.fromkeys(self._document_id(chunk_id) for chunk_id in ids)
        if len(wanted) > _IDS_AT_ONCE and len(wanted) * _SCAN_SHARE > self.count():
            return [d for d in self._read(self._where(None)) if d.id in wanted]
        return [
            document
            for part in batches(list(wanted), _IDS_AT_ONCE)
            for document in self._read({"field": "id", "operator": "in", "value": part})
        ]

    def _retrieve(self, vector: Matrix, top_k: int, condition: dict[str, Any]) -> list[Document]:
        query = [float(value) for value in vector]
        found: list[Document] = self._call(
            "searching", self._retriever.run, query_embedding=query, filters=condition, top_k=top_k
        )["documents"]
        if all(document.embedding is not None for document in found):
            return found
        return self._by_id([str(document.meta["kvasir_chunk"]) for document in found])

    def _scores(self, query: Matrix, ids: Sequence[str], filters: Filter | None) -> Scores:
        found = self._by_id(ids)
        if filters is not None:
            found = [each for each in found if matches(filters, _chunk(each).metadata)]
        return similarities(query, _vectors(found))

    def _where(self, filters: Filter | None) -> dict[str, Any]:
        own = {"field": "meta.kvasir_collection", "operator": "==", "value": self._key}
        if filters is None:
            return own
        return {"operator": "AND", "conditions": [own, _condition(filters)]}

    def _call(self, doing: str, method: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call the document store, one thread at a time: few are made for several."""
        with self._lock:
            return super()._call(doing, method, *args, **options)


def _meta(key: str, chunk: Chunk, terms: str) -> dict[str, Any]:
    """Return a document's metadata: readable fields, and those that Kvasir reads."""
    meta: dict[str, Any] = {
        name: chunk.metadata[name]
        for name in ("source_uri", "title", "language")
        if isinstance(chunk.metadata.get(name), str)
    }
    for field, value in chunk.metadata.items():
        tags = tagged_rows.entry_tags(field, value)
        if not isinstance(value, tuple):
            meta[f"equals_{tagged_rows.text_digest(field)}"] = _value(value)
            del tags[0]
        meta |= {f"has_{tag}": 1 for tag in tags}
        for kind, number in tagged_rows.range_numbers(value):
            meta[f"{kind}_{tagged_rows.text_digest(field)}"] = number
    return meta | {
        "kvasir_collection": key,
        "kvasir_chunk": chunk.id,
        "kvasir_record": tagged_rows.record(chunk),
        "kvasir_terms": terms,
    }


def _chunk(document: Document) -> Chunk:
    meta = document.meta
    return tagged_rows.chunk(meta["kvasir_chunk"], document.content or "", meta["kvasir_record"])


def _vector(document: Document) -> Matrix:
    if document.embedding is None:
        raise SettingsError(
            "the document store does not return embeddings: switch them on in "
            "rag.vectordb.options.init_parameters (return_embedding: true)"
        )
    return np.asarray(document.embedding, dtype=np.float32)


def _vectors(documents: Sequence[Document]) -> dict[str, Matrix]:
    return {str(document.meta["kvasir_chunk"]): _vector(document) for document in documents}


def _nearest(vectors: Mapping[str, Matrix], query: Matrix, top_k: int) -> Scores:
    scores = similarities(query, vectors)
    best = sorted(scores, key=scores.__getitem__, reverse=True)[:top_k]
    return {chunk_id: scores[chunk_id] for chunk_id in best}


def _condition(filters: Filter) -> dict[str, Any]:
    """Return a filter in Haystack's syntax, over the fields of ``_meta``."""
    if not isinstance(filters, Comparison):
        conditions = [_condition(item) for item in filters.conditions]
        return {"operator": filters.operator, "conditions": conditions}
    field = tagged_rows.text_digest(filters.field)
    if filters.operator in _ORDERINGS:
        return _range(field, filters)
    is_wanted = filters.operator not in ("!=", "not in")
    equals, among = ("==", "in") if is_wanted else ("!=", "not in")
    parts: list[dict[str, Any]] = [
        {"field": f"meta.has_{tag}", "operator": equals, "value": 1}
        for tag in tagged_rows.wanted_tags(filters)
    ]
    if filters.operator != UNDER:
        name = f"meta.equals_{field}"
        values = [_value(item) for item in values_of(filters)] or [_NOTHING]
        if len(values) == 1:
            parts.append({"field": name, "operator": equals, "value": values[0]})
        else:
            parts.append({"field": name, "operator": among, "value": values})
    if len(parts) == 1:
        return parts[0]
    return {"operator": "OR" if is_wanted else "AND", "conditions": parts}


def _range(field: str, filters: Comparison) -> dict[str, Any]:
    found = index_terms.limit(filters.operator, filters.value)
    if found is None:
        return {"field": f"meta.equals_{field}", "operator": "==", "value": _NOTHING}
    operator, number = found
    kind = "time" if isinstance(filters.value, str) else "number"
    kinds = (kind, f"least_{kind}") if operator in ("<", "<=") else (kind,)
    conditions = [
        {"field": f"meta.{each}_{field}", "operator": operator, "value": number} for each in kinds
    ]
    return conditions[0] if len(conditions) == 1 else {"operator": "OR", "conditions": conditions}


def _value(value: MetadataScalar) -> str:
    """Return a digest, equal for values that ``core.filters`` calls equal."""
    return tagged_rows.text_digest(":".join(tagged_rows.typed(value)))
