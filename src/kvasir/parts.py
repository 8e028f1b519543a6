"""Makes the components that the settings choose, by name through the registry.

Each is made once, when it is first needed, also where several threads need it at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from inspect import signature
from itertools import count
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast
from uuid import uuid4

from kvasir.answering.answers import Answerer
from kvasir.answering.refusal import Calibration
from kvasir.answering.retrieval import Languages, Retriever
from kvasir.catalog.sql import SqlCatalog
from kvasir.core.errors import SettingsError
from kvasir.core.ledger import CollectionRecord
from kvasir.core.protocols import (
    Connected,
    Droppable,
    Embedder,
    Generator,
    Reranker,
    Splitter,
    TextAnalyzer,
    VectorStore,
)
from kvasir.core.registry import build, load
from kvasir.core.types import Progress, SearchRequest
from kvasir.settings.schema import GeneratorSettings, Settings, VectorDbSettings, reveal

if TYPE_CHECKING:
    from kvasir.evaluation.judges import Judge
    from kvasir.evaluation.retrieval import RetrievalOptions

    once = cached_property
else:

    class once(cached_property):  # noqa: N801 - used as a decorator
        """A ``cached_property`` that is computed once, whichever threads ask for it.

        That of the standard library has no lock from Python 3.12 on.
        """

        def __get__(self, instance, owner=None):  # noqa: ANN001, ANN204
            if instance is None:
                return self
            with instance.lock:
                return super().__get__(instance, owner)


def _unheard(stage: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


class Parts:
    """The components of one application; close it, or use it in a ``with``.

    Attributes:
        settings: What chooses them.
        lock: Held while one is made.
        writing: Held while something is written to the collection.
        opened: What must be closed in the end.
    """

    def __init__(self, settings: Settings, *, on_progress: Progress = _unheard) -> None:
        """Keeps what is needed to make components; nothing is loaded yet.

        Args:
            settings: The settings.
            on_progress: Told while a model is fetched: what is done, bytes done, bytes in all.
        """
        self.settings = settings
        self._on_progress = on_progress
        self.lock = threading.RLock()
        self.writing = threading.Lock()
        self.opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the index, the catalog and child processes; a second call does nothing."""
        self.opened.close()

    @once
    def embedder(self) -> Embedder:
        """The embedder that the settings choose."""
        chosen = self.settings.rag.embedding_model
        provided = {
            "name": chosen.name,
            "token": reveal(chosen.token),
            "data_dir": self.settings.data_dir,
            "on_progress": self._on_progress,
        }
        return cast(Embedder, build("embedders", chosen.type, chosen.options, provided))

    @once
    def analyzer(self) -> TextAnalyzer:
        """Makes the terms of keyword search."""
        return cast(TextAnalyzer, build("analyzers", "bm25", {}))

    @once
    def splitter(self) -> Splitter:
        """The splitter that the settings choose."""
        chosen = self.settings.rag.splitter
        provided = {"embedder": self.embedder}
        return cast(Splitter, build("splitters", chosen.chosen, chosen.arguments, provided))

    @once
    def catalog(self) -> SqlCatalog:
        """The ledger of what is indexed."""
        return self.opened.enter_context(closing(SqlCatalog(self.settings.catalog_url)))

    @once
    def generator(self) -> Generator:
        """The generator that the settings choose."""
        return self.make_generator(self.settings.generator)

    def make_generator(self, chosen: GeneratorSettings) -> Generator:
        """Makes a generator; the embedding model is loaded only for one that takes it."""
        taken = signature(load("generators", chosen.type)).parameters
        provided = {name: getattr(self, name) for name in ("embedder", "analyzer") if name in taken}
        provided["on_progress"] = self._on_progress
        made = cast(Generator, build("generators", chosen.type, chosen.arguments, provided))
        if isinstance(made, Connected):
            self.opened.callback(made.close)
        return made

    @once
    def reranker(self) -> Reranker | None:
        """The reranker that the settings choose, if any."""
        chosen = self.settings.chat.rag.retriever.reranker
        if chosen.type is None:
            return None
        provided = {
            "name": chosen.name,
            "token": reveal(chosen.token),
            "data_dir": self.settings.data_dir,
            "on_progress": self._on_progress,
        }
        return cast(Reranker, build("rerankers", chosen.type, chosen.options, provided))

    def make_answerer(
        self,
        retriever: Retriever,
        document_text: Callable[[str], str | None],
        calibration: Calibration | None = None,
        *,
        generator: Generator | None = None,
        languages: Languages = (),
    ) -> Answerer:
        """Put a generator, by default the chosen one, behind a retriever.

        An evaluation brings a retriever of its own.
        """
        return Answerer(
            retriever,
            generator or self.generator,
            languages=languages,
            analyzer=self.analyzer,
            embedder=self.embedder,
            template=self.settings.chat.rag.prompt,
            calibration=calibration,
            refuse=self.settings.answer.refuse,
            document_text=document_text,
        )

    def evaluation_options(self) -> RetrievalOptions:
        """Returns how an evaluation searches: as a search with these settings does.

        Raises:
            SettingsError: The settings have filters.
        """
        # A search, which must start fast, has no use for it.
        from kvasir.evaluation.retrieval import RetrievalOptions  # noqa: PLC0415

        refuse_filters(self.settings)
        chosen = self.settings.chat.rag.retriever
        return RetrievalOptions(
            language=self.settings.rag.language,
            alpha=chosen.alpha,
            candidates=chosen.candidates,
            reranker=self.reranker,
            rerank_candidates=chosen.rerank_candidates,
            search=SearchRequest("", chosen.top_k, chosen.min_score_threshold),
        )

    @once
    def judge(self) -> Judge | None:
        """The judge of answers that the settings choose, if any."""
        chosen = self.settings.evaluation.judge.type
        if chosen is None:
            return None
        load("judges", chosen)  # Says what is missing before a model is loaded.
        provided = {"embedder": self.embedder}
        return cast("Judge", build("judges", chosen, self.settings.judge_arguments, provided))

    def make_store(self, uri: str, collection: str) -> VectorStore:
        """Opens a collection of the chosen kind of store at another place."""
        return self.open_store(self.settings.rag.vectordb, uri, collection, self.embedder)

    def open_store(
        self,
        chosen: VectorDbSettings,
        uri: str,
        collection: str,
        made_by: Embedder | CollectionRecord,
    ) -> VectorStore:
        """Opens a collection anywhere.

        Args:
            chosen: The kind of store, and access to it.
            uri: Its folder, file or address.
            collection: The collection's name.
            made_by: What knows the dimension and the fingerprint of the vectors.
        """
        provided = {
            "uri": uri,
            "collection": collection,
            "dimension": made_by.dimension,
            "analyzer": self.analyzer,
            "fingerprint": made_by.fingerprint,
            "token": reveal(chosen.token),
            "username": chosen.username,
            "password": reveal(chosen.password),
        }
        return cast(VectorStore, build("stores", chosen.type, chosen.options, provided))

    @contextmanager
    def temporary_stores(self) -> Iterator[Callable[[], VectorStore]]:
        """Gives a function that opens empty collections, which are gone afterwards.

        On a server they have names of their own; what cannot drop them leaves them empty.
        """
        chosen, numbers, run = self.settings.rag.vectordb, count(), uuid4().hex[:12]
        lies_in_a_folder = "uri" in signature(load("stores", chosen.type)).parameters
        lies_in_a_folder = lies_in_a_folder and "://" not in self.settings.store_uri
        elsewhere: list[str] = []
        with TemporaryDirectory(prefix="kvasir-") as folder:

            def make() -> VectorStore:
                number = next(numbers)
                if lies_in_a_folder:
                    return self.make_store(f"{folder}/{number}", "evaluation")
                elsewhere.append(f"evaluation-{run}-{number}")
                return self.make_store(self.settings.store_uri, elsewhere[-1])

            try:
                yield make
            finally:
                for name in elsewhere:
                    with closing(self.make_store(self.settings.store_uri, name)) as store:
                        _clear(store)


def refuse_filters(settings: Settings) -> None:
    """Checks that settings can be measured on a data set.

    Raises:
        SettingsError: They have filters, which would find nothing there.
    """
    if settings.chat.rag.retriever.filters:
        raise SettingsError(
            "chat.rag.retriever.filters cannot be measured, for the documents of a data set lack "
            "your metadata: leave them out with --set chat.rag.retriever.filters=null"
        )


def _clear(store: VectorStore) -> None:
    if isinstance(store, Droppable):
        store.drop()
    else:
        store.delete([chunk.id for batch in store.scroll() for chunk, _ in batch])
