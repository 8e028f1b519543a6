"""Kvasir's embedders, retriever, answers and ingesting as Haystack 3 components.

    from haystack import Pipeline
    from kvasir.integrations.haystack import KvasirRetriever

    pipeline = Pipeline()
    pipeline.add_component("retriever", KvasirRetriever(config="kvasir.yaml", top_k=5))

Every component takes a settings file and settings over it by dotted key; a pipeline file holds just
these. A component with secrets in its settings cannot be written to a file: keep secrets in the
environment or in the settings file. Components of one process with the same settings share one
application, so a writer and a retriever can work on one embedded index.

Source: https://docs.haystack.deepset.ai/docs/custom-components (haystack-ai 3).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.serialization import allow_deserialization_module
from haystack.dataclasses import ByteStream, GeneratedAnswer

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.document_metadata import RESERVED_METADATA, check_metadata
from kvasir.core.errors import RequestError
from kvasir.core.filters import parse_filter
from kvasir.core.media_types import detect
from kvasir.core.protocols import Embedder
from kvasir.core.text import has_scheme
from kvasir.core.types import Hit, LocalFile, Metadata, MetadataValue, Source
from kvasir.core.wire import to_json
from kvasir.ingesting.sources import Input
from kvasir.settings.loading import load_settings
from kvasir.settings.masking import hidden_keys

_LOG = logging.getLogger(__name__)

# Haystack loads pipeline files only with components of modules that are allowed.
allow_deserialization_module(__name__)


@dataclass(slots=True)
class _Shared:
    app: App
    collection: Collection
    users: int = 0


_APPS: dict[str, _Shared] = {}
_APPS_LOCK = threading.Lock()


class _KvasirComponent:
    """Common base: settings, and an application shared by components with the same settings.

    Haystack makes each component's class again, so ``super()`` would not find it.
    """

    def __init__(self, config: str | None = None, settings: dict[str, Any] | None = None) -> None:
        self.config = config
        self.settings = dict(settings or {})
        self._key = json.dumps(
            [str(Path(config).absolute()) if config else str(Path.cwd()), self.settings],
            sort_keys=True,
        )
        self._joined = False

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a pipeline file holds it.

        Raises:
            RequestError: Its settings hold a secret, which anybody could read in the file.
        """
        secrets = sorted(hidden_keys(self.settings))
        if secrets:
            variables = [f"KVASIR__{key.upper().replace('.', '__')}" for key in secrets]
            raise RequestError(
                f"a pipeline file would show {', '.join(secrets)} to everybody: leave it out of "
                "the component's settings, and give it in the settings file or by the "
                f"environment, as {', '.join(variables)}"
            )
        _, *names = signature(type(self).__init__).parameters
        return default_to_dict(self, **{name: getattr(self, name) for name in names})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """Return the component that a pipeline file describes."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Open the application."""
        self._open()

    def close(self) -> None:
        """Release the index and child processes, unless another component uses them."""
        with _APPS_LOCK:
            if not self._joined:
                return
            self._joined = False
            shared = _APPS[self._key]
            shared.users -= 1
            if shared.users == 0:
                del _APPS[self._key]
                shared.collection.close()

    def _open(self) -> Collection:
        """Return the collection, opened if this is its first user."""
        with _APPS_LOCK:
            shared = _APPS.get(self._key)
            if shared is None:
                app = App(load_settings(self.config, self.settings))
                shared = _Shared(app, app.collection(on_close=app.close))
                _APPS[self._key] = shared
            if not self._joined:
                shared.users += 1
                self._joined = True
            return shared.collection

    def _embedder(self) -> Embedder:
        self._open()
        return _APPS[self._key].app.embedder


@component
class KvasirTextEmbedder(_KvasirComponent):
    """Embeds a query with the embedding model of the settings."""

    def warm_up(self) -> None:
        """Load the model."""
        self._embedder()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the text's vector, of unit length."""
        (vector,) = self._embedder().embed_queries([text])
        return {"embedding": vector.tolist()}


@component
class KvasirDocumentEmbedder(_KvasirComponent):
    """Embeds documents with the embedding model of the settings."""

    def __init__(
        self,
        config: str | None = None,
        settings: dict[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
    ) -> None:
        """Choose the metadata put before the content, such as ``title``, and what separates it."""
        _KvasirComponent.__init__(self, config, settings)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def warm_up(self) -> None:
        """Load the model."""
        self._embedder()

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return the documents with their vectors, of unit length."""
        if not documents:
            return {"documents": []}
        vectors = self._embedder().embed_documents([*map(self._text, documents)]).tolist()
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

    def _text(self, document: Document) -> str:
        fields = (document.meta.get(name) for name in self.meta_fields_to_embed)
        parts = [str(value) for value in fields if value is not None]
        return self.embedding_separator.join([*parts, document.content or ""])


@component
class KvasirRetriever(_KvasirComponent):
    """Finds passages in a collection as ``kvasir search`` does: hybrid, in any language."""

    def __init__(
        self,
        config: str | None = None,
        settings: dict[str, Any] | None = None,
        top_k: int | None = None,
        filters: dict[str, Any] | None = None,
        min_score_threshold: float | None = None,
    ) -> None:
        """Set the search; None takes the value of the settings.

        Filters are in Haystack's syntax; the score of the threshold is (1 + cosine) / 2.
        """
        _KvasirComponent.__init__(self, config, settings)
        self.top_k = top_k
        self.filters = filters
        self.min_score_threshold = min_score_threshold

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """Return passages, best first; filters and ``top_k`` replace the component's own."""
        hits = self._open().search(
            query,
            top_k=top_k or self.top_k,
            filters=parse_filter(filters or self.filters),
            min_score_threshold=self.min_score_threshold,
        )
        return {"documents": [to_document(hit) for hit in hits]}


@component
class KvasirAnswerer(_KvasirComponent):
    """Answers from a collection as ``kvasir ask`` does: checked citations, or a refusal."""

    def __init__(
        self,
        config: str | None = None,
        settings: dict[str, Any] | None = None,
        top_k: int | None = None,
        filters: dict[str, Any] | None = None,
    ) -> None:
        """Set the search; see ``KvasirRetriever``."""
        _KvasirComponent.__init__(self, config, settings)
        self.top_k = top_k
        self.filters = filters

    @component.output_types(answers=list[GeneratedAnswer])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """Return one answer; its meta has ``refused``, ``certainty`` and ``citations``."""
        answer = self._open().ask(
            query, top_k=top_k or self.top_k, filters=parse_filter(filters or self.filters)
        )
        citations = to_json(answer.citations)
        meta = {
            "refused": answer.refused,
            "certainty": answer.certainty.value,
            "confidence": answer.confidence,
            "citations": citations,
        }
        documents = [to_document(hit) for hit in answer.hits]
        return {"answers": [GeneratedAnswer(answer.text, query, documents, meta)]}


@component
class KvasirWriter(_KvasirComponent):
    """Ingests files, bytes and documents into a collection as ``kvasir ingest`` does."""

    @component.output_types(documents_written=int, failed=list[dict[str, str]])
    def run(
        self,
        sources: list[str | Path | ByteStream] | None = None,
        documents: list[Document] | None = None,
    ) -> dict[str, Any]:
        """Ingest sources and texts; unchanged ones are not embedded again.

        Sources are paths, folders, addresses, or bytes with ``file_path`` or ``file_name`` in their
        metadata. Documents are texts as Haystack's converters make them, not yet split or
        embedded; their name is ``file_path`` of their metadata, or else their id. Other metadata
        go into the collection, for filters; values that are not text, a number, true/false, a
        date or a list of these are left out with a warning.

        ``documents_written`` is the number of new or replaced documents; ``failed`` has source,
        reason and message of each failure.
        """
        named = [
            _upload(source) if isinstance(source, ByteStream) else (_local(source), {})
            for source in sources or []
        ]
        for document in documents or []:
            uri = str(document.meta.get("file_path") or document.id)
            text = (document.content or "").encode()
            named.append(((Source(uri, "text/plain"), text), _metadata(uri, document.meta)))
        collection = self._open()
        reports = [collection.ingest(*inputs, metadata=given) for inputs, given in _grouped(named)]
        return {
            "documents_written": sum(len(each.added) + len(each.replaced) for each in reports),
            "failed": [to_json(each) for report in reports for each in report.failed],
        }


def to_document(hit: Hit) -> Document:
    """Return a hit as a Haystack document, with the passage's location in its metadata."""
    chunk = hit.chunk
    location = {
        "document_id": chunk.document_id,
        "page": chunk.page,
        "headings": list(chunk.headings),
        "start": chunk.start,
        "end": chunk.end,
        "dense_score": hit.dense_score,
        "lexical_score": hit.lexical_score,
        "copies": list(hit.copies),
    }
    return Document(chunk.id, chunk.text, meta=to_json(chunk.metadata) | location, score=hit.score)


def _local(source: str | Path) -> Input:
    text = str(source)
    return text if has_scheme(text) else LocalFile(str(Path(text).expanduser().absolute()))


def _upload(stream: ByteStream) -> tuple[Input, Metadata]:
    name = str(stream.meta.get("file_path") or stream.meta.get("file_name") or "")
    if not name:
        raise ValueError("a ByteStream needs 'file_path' or 'file_name' in its meta")
    source = Source(name, stream.mime_type or detect(name, stream.data))
    return (source, stream.data), _metadata(name, stream.meta)


def _metadata(uri: str, meta: Mapping[str, Any]) -> Metadata:
    """Return the metadata that a collection can keep; warn about the others."""
    kept: dict[str, MetadataValue] = {}
    for name, value in meta.items():
        if name in ("file_path", "file_name") and str(value) == uri:
            continue  # Kept as source_uri.
        if name in RESERVED_METADATA:
            _LOG.warning("%s: metadata '%s' is left out: Kvasir fills it itself", uri, name)
            continue
        try:
            kept |= check_metadata({name: value})
        except RequestError as error:
            _LOG.warning("%s: metadata '%s' is left out: %s", uri, name, error)
    return kept


def _grouped(named: Iterable[tuple[Input, Metadata]]) -> list[tuple[list[Input], Metadata | None]]:
    """Group inputs of the same metadata; None, for no metadata, keeps those of a document."""
    groups: dict[str, tuple[list[Input], Metadata | None]] = {}
    for each, metadata in named:
        inputs, _ = groups.setdefault(json.dumps(metadata, sort_keys=True), ([], metadata or None))
        inputs.append(each)
    return list(groups.values())
