"""Kvasir's embedders, retriever, answers and ingesting as Haystack 3 components.

    from haystack import Pipeline
    from kvasir.integrations.haystack import KvasirRetriever

    pipeline = Pipeline()
    pipeline.add_component("retriever", KvasirRetriever(config="kvasir.yaml", top_k=5))

Every component takes a settings file and settings over it by dotted key, and is written to a
pipeline file as just these; one with secrets among its settings cannot be written, so keep secrets
in the environment or in the settings file. Components of one process with the same settings share
one application, so a writer and a retriever can work on one embedded index.

Source: https://docs.haystack.deepset.ai/docs/custom-components (haystack-ai 3).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.serialization import allow_deserialization_module
from haystack.dataclasses import ByteStream, GeneratedAnswer

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.errors import RequestError
from kvasir.core.filters import Filter, parse_filter
from kvasir.core.ledger import RESERVED_METADATA
from kvasir.core.media_types import detect
from kvasir.core.text import has_scheme
from kvasir.core.types import Hit, LocalFile, Metadata, MetadataValue, Source
from kvasir.core.wire import to_json
from kvasir.ingesting.sources import Input
from kvasir.settings.loading import load_settings
from kvasir.settings.masking import hidden_keys

_LOG = logging.getLogger(__name__)

# So that pipeline files with these components load where this module is imported.
allow_deserialization_module(__name__)


@dataclass(slots=True)
class _Shared:
    app: App
    collection: Collection
    users: int = 0


_APPS: dict[str, _Shared] = {}
_APPS_LOCK = threading.Lock()


class _Connection:
    """A component's part in an application that components with the same settings share."""

    def __init__(self, config: str | None, settings: Mapping[str, Any] | None) -> None:
        self.config = config
        self.settings = dict(settings or {})
        self._key = json.dumps(
            [str(Path(config).absolute()) if config else str(Path.cwd()), self.settings],
            sort_keys=True,
        )
        self._joined = False

    def open(self) -> Collection:
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

    def app(self) -> App:
        """Return the application of the collection."""
        self.open()
        return _APPS[self._key].app

    def close(self) -> None:
        """Leave; the last user closes the application."""
        with _APPS_LOCK:
            if not self._joined:
                return
            self._joined = False
            shared = _APPS[self._key]
            shared.users -= 1
            if shared.users == 0:
                del _APPS[self._key]
                shared.collection.close()


class _KvasirComponent:
    """What all components have in common: settings, opening and closing.

    Haystack makes each component's class anew, so ``super()`` would not find it.
    """

    def __init__(self, config: str | None, settings: dict[str, Any] | None) -> None:
        self._connection = _Connection(config, settings)

    def _parameters(self) -> dict[str, Any]:
        return {"config": self._connection.config, "settings": self._connection.settings}

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a pipeline file holds it.

        Raises:
            RequestError: Its settings hold a secret, which anybody could read in the file.
        """
        secrets = sorted(hidden_keys(self._connection.settings))
        if secrets:
            variables = [f"KVASIR__{key.upper().replace('.', '__')}" for key in secrets]
            raise RequestError(
                f"a pipeline file would show {', '.join(secrets)} to everybody: leave it out of "
                "the component's settings, and give it in the settings file or by the "
                f"environment, as {', '.join(variables)}"
            )
        return default_to_dict(self, **self._parameters())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """Return the component that a pipeline file describes."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Open the application."""
        self._connection.open()

    def close(self) -> None:
        """Release the index and child processes, unless another component uses them."""
        self._connection.close()


@component
class KvasirTextEmbedder(_KvasirComponent):
    """Embeds a query with the embedding model of the settings."""

    def __init__(self, config: str | None = None, settings: dict[str, Any] | None = None) -> None:
        """Args: a settings file, and settings over it by dotted key."""
        _KvasirComponent.__init__(self, config, settings)

    def warm_up(self) -> None:
        """Load the model."""
        _ = self._connection.app().embedder

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, Any]:
        """Return the text's vector, of unit length."""
        (vector,) = self._connection.app().embedder.embed_queries([text])
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
        """Set what is embedded.

        Args:
            config: A settings file.
            settings: Settings over it by dotted key.
            meta_fields_to_embed: Metadata put before the content, such as ``title``.
            embedding_separator: Put between them.
        """
        _KvasirComponent.__init__(self, config, settings)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator

    def _parameters(self) -> dict[str, Any]:
        return _KvasirComponent._parameters(self) | {
            "meta_fields_to_embed": self.meta_fields_to_embed,
            "embedding_separator": self.embedding_separator,
        }

    def warm_up(self) -> None:
        """Load the model."""
        _ = self._connection.app().embedder

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Return the documents with their vectors, of unit length."""
        if not documents:
            return {"documents": []}
        vectors = self._connection.app().embedder.embed_documents([*map(self._text, documents)])
        return {
            "documents": [
                replace(document, embedding=vector.tolist())
                for document, vector in zip(documents, vectors, strict=True)
            ]
        }

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
        """Set what is retrieved; None means what the settings say.

        Args:
            config: A settings file.
            settings: Settings over it by dotted key.
            top_k: Most documents.
            filters: A filter in Haystack's syntax.
            min_score_threshold: Leave out passages whose (1 + cosine) / 2 is below.
        """
        _KvasirComponent.__init__(self, config, settings)
        self.top_k = top_k
        self.filters = filters
        self.min_score_threshold = min_score_threshold

    def _parameters(self) -> dict[str, Any]:
        return _KvasirComponent._parameters(self) | {
            "top_k": self.top_k,
            "filters": self.filters,
            "min_score_threshold": self.min_score_threshold,
        }

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """Return the passages that belong to a query, best first.

        Args:
            query: The question or keywords.
            filters: In place of the component's own.
            top_k: In place of the component's own.
        """
        hits = self._connection.open().search(
            query,
            top_k=top_k or self.top_k,
            filters=_filter(filters or self.filters),
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
        """Set what answers are made from; see ``KvasirRetriever``."""
        _KvasirComponent.__init__(self, config, settings)
        self.top_k = top_k
        self.filters = filters

    def _parameters(self) -> dict[str, Any]:
        return _KvasirComponent._parameters(self) | {"top_k": self.top_k, "filters": self.filters}

    @component.output_types(answers=list[GeneratedAnswer])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, Any]:
        """Return one answer, with ``refused``, ``confidence`` and ``citations`` in its meta."""
        answer = self._connection.open().ask(
            query, top_k=top_k or self.top_k, filters=_filter(filters or self.filters)
        )
        meta = {
            "refused": answer.refused,
            "confidence": answer.confidence,
            "citations": to_json(answer.citations),
        }
        documents = [to_document(hit) for hit in answer.hits]
        return {"answers": [GeneratedAnswer(answer.text, query, documents, meta)]}


@component
class KvasirWriter(_KvasirComponent):
    """Ingests files, bytes and documents into a collection as ``kvasir ingest`` does."""

    def __init__(self, config: str | None = None, settings: dict[str, Any] | None = None) -> None:
        """Args: a settings file, and settings over it by dotted key."""
        _KvasirComponent.__init__(self, config, settings)

    @component.output_types(documents_written=int, failed=list[dict[str, str]])
    def run(
        self,
        sources: list[str | Path | ByteStream] | None = None,
        documents: list[Document] | None = None,
    ) -> dict[str, Any]:
        """Read, splits and embeds; what has not changed since last time is left alone.

        Args:
            sources: Paths, folders, addresses, or bytes with ``file_path`` or ``file_name`` in
                their metadata.
            documents: Texts, as Haystack's converters make them: not yet split or embedded.
                ``file_path`` of their metadata, else their id, is what they are called.

        The other metadata of bytes and documents go into the collection, for filters. What is
        neither text, a number nor true or false cannot be kept there, and is left out with a
        warning.

        Returns:
            ``documents_written``: how many documents are new or replaced. ``failed``: source,
            reason and message of what could not be read.
        """
        named: list[tuple[Input, Metadata]] = []
        for source in sources or []:
            named.append(
                _upload(source) if isinstance(source, ByteStream) else (_local(source), {})
            )
        for document in documents or []:
            uri = str(document.meta.get("file_path") or document.id)
            text = (document.content or "").encode()
            named.append(((Source(uri, "text/plain"), text), _metadata(uri, document.meta)))
        collection = self._connection.open()
        reports = [collection.ingest(*inputs, metadata=given) for inputs, given in _grouped(named)]
        return {
            "documents_written": sum(len(each.added) + len(each.replaced) for each in reports),
            "failed": [to_json(each) for report in reports for each in report.failed],
        }


def to_document(hit: Hit) -> Document:
    """Return a hit as a Haystack document; its metadata say where the passage stands."""
    chunk = hit.chunk
    place = {
        "document_id": chunk.document_id,
        "page": chunk.page,
        "headings": list(chunk.headings),
        "start": chunk.start,
        "end": chunk.end,
        "dense_score": hit.dense_score,
        "lexical_score": hit.lexical_score,
    }
    return Document(chunk.id, chunk.text, meta=dict(chunk.metadata) | place, score=hit.score)


def _filter(filters: dict[str, Any] | None) -> Filter | None:
    return parse_filter(filters)


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
    """Return what a collection can keep of metadata; say what it cannot."""
    kept: dict[str, MetadataValue] = {}
    for name, value in meta.items():
        if name in ("file_path", "file_name") and str(value) == uri:
            continue  # Kept as source_uri.
        if name in RESERVED_METADATA:
            _LOG.warning("%s: metadata '%s' is left out: Kvasir fills it itself", uri, name)
        elif not name or not isinstance(value, (str, int, float, bool)):
            _LOG.warning(
                "%s: metadata '%s' is left out: it is no text, number or true/false", uri, name
            )
        else:
            kept[name] = value
    return kept


def _grouped(
    named: Iterable[tuple[Input, Metadata]],
) -> list[tuple[list[Input], Metadata | None]]:
    """Put together what has the same metadata; without any, a document keeps what it has."""
    groups: dict[str, tuple[list[Input], Metadata | None]] = {}
    for each, metadata in named:
        inputs, _ = groups.setdefault(json.dumps(metadata, sort_keys=True), ([], metadata or None))
        inputs.append(each)
    return list(groups.values())
