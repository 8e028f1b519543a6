"""The process: settings, and the components that all collections share.

Each component is made once, when it is first needed. Methods import what only some commands
need, because a search must start within 1.5 seconds.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kvasir.catalog.sql import SqlCatalog
from kvasir.collection import Collection
from kvasir.collection_index import CollectionOptions, Index, make_answerer
from kvasir.collection_settings import fetcher, make_pool, make_web_pages, options_of
from kvasir.core.errors import ClosedError, NameTakenError
from kvasir.core.leases import Lazy, OwnerProcess
from kvasir.core.ledger import CollectionRecord, EmbeddingModel
from kvasir.core.ocr import has_ocr
from kvasir.core.protocols import Embedder, Generator, Reranker, Splitter, TextAnalyzer, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import SearchRequest, StoreAddress
from kvasir.embedding_models import EmbeddingModels
from kvasir.settings import components
from kvasir.settings.component_schema import GeneratorSettings, reveal
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings
from kvasir.settings.splitting import check_splitting, splitting_of
from kvasir.settings.store_uris import is_same_store
from kvasir.sharing import IndexSharing, check_jobs, is_embedded

if TYPE_CHECKING:
    from kvasir.answering.answers import Answerer
    from kvasir.answering.chat import Conversation as Conversation
    from kvasir.answering.citations import FindVersion
    from kvasir.answering.retrieval import Retriever
    from kvasir.core.reports import ConversionReport
    from kvasir.evaluation.answers import AnswersResult as AnswersResult
    from kvasir.evaluation.compare import Measured as Measured
    from kvasir.evaluation.compare import MetricComparison as MetricComparison
    from kvasir.evaluation.judges import Judge
    from kvasir.evaluation.judges import Judgement as Judgement
    from kvasir.evaluation.runner import EvaluationRunner
    from kvasir.ingesting.pipeline import IngestPipeline
    from kvasir.ingesting.sources import Input
    from kvasir.ingesting.web_pages import WebPages
    from kvasir.models.local import ModelFolder
    from kvasir.services import Services

T = TypeVar("T")

CLOSED = "the application is closed"


def open_collection(config: Path | str | None = None, **overrides: Any) -> Collection:
    """Open the collection that the settings name, as ``kvasir.open``.

    Closing it closes everything that was opened for it.

    Args:
        config: A settings file; default ``kvasir.yaml`` in the working directory, if any.
        overrides: Settings, with two underscores for each dot: ``rag__language="es"``.

    Raises:
        SettingsError: A key is unknown or a value unusable.
    """
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    app = App(load_settings(config, dotted))
    return app.collection(on_close=app.close)


class App:
    """Settings and the components of one process; close it, or use it in a ``with``.

    Safe to use from several threads. A closed one raises ``ClosedError``. In a process forked from
    the one that made it, every use is refused and closing does nothing.
    """

    def __init__(self, settings: Settings, *, run: Run | None = None) -> None:
        """Load and open nothing yet; ``run`` stops and reports the download of models."""
        self.settings = settings
        self._run = run or Run()
        self._process = OwnerProcess()
        self._lock = threading.Lock()
        self._is_open, self._is_closing = True, False
        self._indexes: dict[str, Index] = {}
        self._kept: OrderedDict[str, Collection] = OrderedDict()
        self._most_kept = 0
        self._opened = ExitStack()
        self._catalog = Lazy(lambda: self._closing(SqlCatalog(settings.catalog_url)))
        self._embedder = Lazy(lambda: components.make_embedder(settings, self._run))
        self._models = EmbeddingModels(settings, self._run, lambda: self.embedder)
        self._analyzer = Lazy(components.make_analyzer)
        self._splitter = Lazy(
            lambda: components.make_splitter(splitting_of(settings), self.embedder)
        )
        self._reranker = Lazy(lambda: components.make_reranker(settings, self._run))
        self._judge: Lazy[Judge | None] = Lazy(
            lambda: components.make_judge(settings, lambda: self.embedder)
        )
        self._generator = Lazy(lambda: self._closing(self.make_generator(settings.generator)))
        self._pool = Lazy(lambda: self._closing(make_pool(settings)))
        self._options = Lazy(lambda: options_of(settings))
        self._services = Lazy(self._make_services)
        self._sharing = IndexSharing(self)
        self.ingest_embedder: Callable[[Embedder, str], Embedder] = lambda embedder, _: embedder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every collection and component, after the calls in other threads ended."""
        if not self._process.is_this:
            return
        self._sharing.close()
        with self._lock:
            was_closing, self._is_closing = self._is_closing, True
            indexes, self._indexes = self._indexes, {}
        if not was_closing:
            with ExitStack() as closing:
                closing.callback(self._close_components)  # Last: calls in progress use them.
                for index in indexes.values():
                    closing.callback(index.leases.close)

    def _close_components(self) -> None:
        with self._lock:
            self._is_open = False
            opened = self._opened.pop_all()
        opened.close()

    def collection(
        self, name: str | None = None, *, on_close: Callable[[], None] = lambda: None
    ) -> Collection:
        """Lease a collection, by default the one that the settings name; it need not exist yet.

        ``on_close`` is called once, after the lease has ended.
        """
        name = name or self.settings.collection
        options = self._use(self._options)
        with self._lock:
            if self._is_closing:
                raise ClosedError(CLOSED)
            if name not in self._indexes:
                # Forget those that are not in use: a service may lease any number of names.
                used = {n: i for n, i in self._indexes.items() if not i.leases.end_if_unused()}
                self._indexes = used | {name: self._make_index(name, options)}
            leased = Collection(self._indexes[name], on_close=on_close)
            unused = self._keep(name)
        for collection in unused:
            collection.close()
        return leased

    def keep_open(self, most: int = 32) -> None:
        """Keep the collections that were used last open between two leases, as a server does."""
        self._most_kept = most

    def _make_index(self, name: str, options: CollectionOptions) -> Index:
        return Index(name, self, options)

    def _keep(self, name: str) -> list[Collection]:
        """Keep a lease of a collection; return those that are kept no longer."""
        if self._most_kept and name not in self._kept:
            self._kept[name] = Collection(self._indexes[name])
        if name in self._kept:
            self._kept.move_to_end(name)
        over = max(0, len(self._kept) - self._most_kept)
        return [self._kept.popitem(last=False)[1] for _ in range(over)]

    def collections(self) -> list[CollectionRecord]:
        """Return the records of all collections."""
        return self.catalog.collections() if self.has_catalog else []

    def conversation(
        self,
        lease: Callable[[], Collection],
        model: str | None = None,
        *,
        generator: Generator | None = None,
    ) -> Conversation:
        """Return a conversation, which the caller closes.

        ``lease`` is called for the collection when a question needs it; ``model`` takes the place
        of ``generator.model``. A ``generator`` is shared with others, and not closed.

        Raises:
            RequestError: A setting of the generator or of the refinement is missing or unusable.
        """
        from kvasir.answering.chat import Conversation

        chosen = self.settings.generator
        if model is not None:
            chosen = chosen.model_copy(update={"model": model})
        with ExitStack() as opened:
            generator = generator or self._closing(self.make_generator(chosen), opened)
            return Conversation(
                generator,
                lambda: lease().index.answerer(generator),
                search=self._use(self._options).request(),
                refiner=components.make_refiner(
                    self.settings,
                    generator,
                    lambda it: self._closing(self.make_generator(it), opened),
                ),
                close=opened.pop_all().close,
            )

    def evaluation(self) -> EvaluationRunner:
        """Return the runner of evaluations with these settings.

        Raises:
            SettingsError: The settings limit searches by a filter.
        """
        from kvasir.evaluation.retrieval import RetrievalOptions
        from kvasir.evaluation.runner import EvaluationRunner

        chosen = self.settings.chat.rag.retriever
        options = RetrievalOptions(
            language=self.settings.rag.language,
            alpha=chosen.alpha,
            candidates=chosen.candidates,
            reranker=self.reranker,
            rerank_candidates=chosen.rerank_candidates,
            search=SearchRequest("", chosen.top_k, chosen.min_score_threshold),
        )
        return EvaluationRunner(self, options, has_filters=bool(chosen.filters))

    def convert(
        self,
        sources: Iterable[Input],
        to: Path,
        *,
        converter: str = "docling",
        models: Path | None = None,
        run: Run | None = None,
    ) -> ConversionReport:
        """Convert local files, folders and addresses to docling JSON in the folder ``to``.

        It is an absolute path; ``models`` is the converter's folder, by default in the data folder.
        """
        from kvasir.ingesting.conversion import convert

        made = components.make_converter(self.settings, converter, models)
        max_bytes = self.settings.rag.ingest.max_file_mb << 20
        return convert(
            sources, to, made, fetch=fetcher(self.settings), max_bytes=max_bytes, run=run
        )

    def models(self) -> list[ModelFolder]:
        """Return the embedding and language models on this machine."""
        from kvasir.models.language_models import list_models

        return list(list_models(self.settings.data_folder))

    def pull_model(self, name: str | None = None, *, run: Run | None = None) -> ModelFolder:
        """Fetch a model from the hub into the data folder; by default the settings' embedder.

        After a stop, what has arrived is kept for the next time.
        """
        from kvasir.models.hub import pull

        chosen, folder = self.settings.rag.embedding_model, self.settings.data_folder
        return pull(name or chosen.name, reveal(chosen.token), folder, run or self._run)

    @property
    def holds_index(self) -> bool:
        """Whether the store of a collection is open."""
        with self._lock:
            return any(index.is_open for index in self._indexes.values())

    def check_components(self) -> None:
        """Check that every chosen component can be made, without making it, and the service's keys.

        Raises:
            SettingsError: An option is unknown or of another type, no store can be at the URI, or
                the signing key or a rate limit is unusable.
            UnknownComponentError: There is no component of that name.
            MissingExtraError: A component's library is not installed.
        """
        for family, name, options in components.chosen_components(self.settings):
            components.check(family, name, options)
        self.settings.store_address  # noqa: B018 - the URI is checked when it is read
        check_jobs(self.settings)
        self.services.check()

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog exists."""
        return self.settings.has_catalog

    @property
    def catalog(self) -> SqlCatalog:
        """The ledger of what is indexed."""
        return self._use(self._catalog)

    @property
    def embedder(self) -> Embedder:
        """The embedder that the settings choose."""
        return self._use(self._embedder)

    def embedder_of(self, record: CollectionRecord | None) -> Embedder:
        """Return the embedder of a collection; that of the settings where none was chosen."""
        return self._models.of(record)

    def choose_model(self, name: str, kind: str | None = None) -> EmbeddingModel:
        """Return the embedding model of a name, as ``EmbeddingModels.choose``."""
        return self._models.choose(name, kind)

    def load_model(self, model: EmbeddingModel, run: Run | None = None) -> Embedder:
        """Return the embedder of a model, as ``EmbeddingModels.load``."""
        return self._models.load(model, run)

    @property
    def shares_stores(self) -> bool:
        """Whether several processes can have the store of a collection open."""
        return not is_embedded(self.settings)

    @property
    def analyzer(self) -> TextAnalyzer:
        """The analyzer of keyword search."""
        return self._use(self._analyzer)

    @property
    def splitter(self) -> Splitter:
        """The splitter that the settings choose."""
        return self._use(self._splitter)

    @property
    def generator(self) -> Generator:
        """The generator that the settings choose."""
        return self._use(self._generator)

    @property
    def reranker(self) -> Reranker | None:
        """The reranker that the settings choose, if any."""
        return self._use(self._reranker)

    @property
    def judge(self) -> Judge | None:
        """The judge of answers that the settings choose, if any."""
        return self._use(self._judge)

    @property
    def services(self) -> Services:
        """Accounts, jobs, questions, mail and the log of answers."""
        return self._use(self._services)

    def make_generator(self, chosen: GeneratorSettings) -> Generator:
        """Make a generator, which the caller closes; only one that takes an embedder loads it."""
        shared = {"embedder": lambda: self.embedder, "analyzer": lambda: self.analyzer}
        return components.make_generator(self.settings, chosen, self._run, shared)

    def make_answerer(self, retriever: Retriever, find_version: FindVersion) -> Answerer:
        """Put the chosen generator behind the retriever of an evaluation."""
        return make_answerer(self, self._options.get(), retriever, find_version, self.embedder)

    def open_store(self, collection: str, embedded_by: Embedder | CollectionRecord) -> VectorStore:
        """Open the store of a collection where the settings have it."""
        to, options = self.settings.store_address, self.settings.store_options
        store = components.open_store(to, collection, embedded_by, self.analyzer, options)
        self._sharing.note_open()
        return store

    def open_copy(self, to: StoreAddress, name: str, record: CollectionRecord) -> VectorStore:
        """Open the store to which a collection is copied; refuse the collection's own."""
        if name == record.name and is_same_store(self.settings.store_address, to):
            raise NameTakenError(name, " in that store")
        there = record.store_name if name == record.name else name
        return components.open_store(to, there, record, self.analyzer)

    def make_pipeline(
        self,
        store: VectorStore,
        collection: str,
        embedder: Embedder,
        *,
        re_split: bool = False,
        **options: Any,
    ) -> IngestPipeline:
        """Make the ingest pipeline of a collection, which gives the rest of the options.

        The collection's documents are split as it remembers, or, ``re_split``, as the settings say.

        Raises:
            SplitConflictError: The settings name another value than it remembers.
        """
        from kvasir.ingesting.pipeline import IngestPipeline

        record = self.catalog.collection(collection)
        splitting = None if record is None or re_split else record.splitting
        if splitting is None:
            splitting = splitting_of(self.settings)
        else:
            check_splitting(self.settings, collection, splitting)
        return IngestPipeline(
            self._use(self._pool),
            components.make_splitter(splitting, embedder),
            self.ingest_embedder(embedder, collection),
            store,
            self.catalog,
            collection,
            chunk_settings=json.dumps([splitting.splitter, splitting.arguments], sort_keys=True),
            splitting=splitting,
            language=splitting.language,
            recognizes_text=self.settings.rag.ingest.ocr == "auto" and has_ocr(),
            fetch=fetcher(self.settings),
            left_out=self.settings.own_paths,
            max_file_mb=self.settings.rag.ingest.max_file_mb,
            file_timeout=self.settings.rag.ingest.timeout,
            **options,
        )

    def make_web_pages(self) -> WebPages:
        """Make what searches the web and fetches pages, with the search engine of the settings."""
        return make_web_pages(self.settings)

    def temporary_stores(self) -> AbstractContextManager[Callable[[], VectorStore]]:
        """Return a context with a function that opens temporary, empty collections."""
        return components.temporary_stores(self.settings, self.embedder, self.analyzer)

    def _make_services(self) -> Services:
        from kvasir.services import Services

        return self._closing(Services(self.settings))

    def _use(self, component: Lazy[T]) -> T:
        self._process.check()
        if not self._is_open:
            raise ClosedError(CLOSED)
        return component.get()

    def _closing(self, component: T, opened: ExitStack | None = None) -> T:
        """Close a component with its owner, by default the application."""
        close = getattr(component, "close", None)
        if close is not None:
            with self._lock:
                is_open = self._is_open
                if is_open:
                    (opened or self._opened).callback(close)
            if not is_open:
                close()
                raise ClosedError(CLOSED)
        return component
