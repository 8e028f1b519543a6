"""An application with other settings for one request or job, over the stores of another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kvasir.app import App
from kvasir.collection_index import CollectionOptions, Index
from kvasir.core.errors import RequestError
from kvasir.core.leases import Lazy
from kvasir.core.ledger import CollectionRecord
from kvasir.core.protocols import VectorStore
from kvasir.embedding_models import EmbeddingModels
from kvasir.open_index import OpenIndex
from kvasir.settings import components
from kvasir.settings.loading import DERIVABLE, derive_settings
from kvasir.settings.schema import Settings


@contextmanager
def with_settings(app: App, overrides: Mapping[str, Any]) -> Iterator[App]:
    """Give an application with settings by dotted key over those of another one.

    For administrators only: settings name servers and models.

    Raises:
        RequestError: A key may not be set by a request, or a value names a class to import.
        SettingsError: A key is unknown or a value unusable.
    """
    if not overrides:
        yield app
        return
    with DerivedApp(app, check_overrides(app, overrides)) as derived:
        yield derived


def check_overrides(app: App, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of an application with others by dotted key over them.

    Raises:
        RequestError: A key may not be set by a request, or a value names a class to import.
        SettingsError: A key is unknown or a value unusable.
        UnknownComponentError: A value names a component that does not exist.
        MissingExtraError: The library of a component is not installed.
    """
    for key, value in overrides.items():
        if not key.startswith(DERIVABLE):
            raise RequestError(f"a request cannot set '{key}'")
        if _names_a_class(key, value):
            raise RequestError(f"a request cannot name a class to import, as '{key}' does")
    settings = derive_settings(app.settings, overrides)
    same = components.chosen_components(app.settings)
    for chosen in components.chosen_components(settings):
        if chosen not in same:
            components.check(*chosen)
    return settings


class DerivedApp(App):
    """Uses the stores, the catalog and the services of another application.

    Components whose settings are the same are shared, too.
    """

    def __init__(self, parent: App, settings: Settings) -> None:
        """Share what is the same; close it before the parent."""
        super().__init__(settings)
        self._parent = parent
        former = parent.settings
        self._catalog = Lazy(lambda: parent.catalog)
        self._analyzer = Lazy(lambda: parent.analyzer)
        self._services = Lazy(lambda: parent.services)
        if settings.rag.ingest == former.rag.ingest:
            self._pool = parent._pool
        if settings.rag.embedding_model == former.rag.embedding_model:
            self._embedder = Lazy(lambda: parent.embedder)
            self.ingest_embedder = parent.ingest_embedder
        self._models = EmbeddingModels(
            settings, self._run, lambda: self.embedder, shared=parent._models
        )
        if settings.chat.rag.retriever.reranker == former.chat.rag.retriever.reranker:
            self._reranker = Lazy(lambda: parent.reranker)
        if settings.generator == former.generator:
            self._generator = Lazy(lambda: parent.generator)

    def _make_index(self, name: str, options: CollectionOptions) -> Index:
        lease = self._parent.collection(name)
        self._opened.callback(lease.close)
        return _SharedIndex(name, self, options, lease.index)


class _SharedIndex(Index):
    """The index of a collection whose store another application keeps open."""

    def __init__(
        self, name: str, components: App, options: CollectionOptions, owner: Index
    ) -> None:
        super().__init__(name, components, options)
        self._owner = owner
        self.writing, self._fields = owner.writing, owner._fields
        self.changing_model = owner.changing_model
        self.deleting_unused = owner.deleting_unused

    def find_record(self) -> CollectionRecord | None:
        """Return the record as the other application knows it."""
        return self._owner.find_record()

    def forget_record(self) -> None:
        """Read the record again, also for the other application."""
        self._owner.forget_record()

    def _open(self, record: CollectionRecord | None, store: VectorStore | None = None) -> OpenIndex:
        """Open nothing: the other application opens and closes the store."""
        owner = self._owner.opened()
        return OpenIndex(
            owner.record,
            lambda: owner.store,
            lambda: self.components.embedder_of(owner.record),
            self._make_retriever,
            closes=False,
        )


def _names_a_class(key: str, value: Any) -> bool:
    """Return True if a value is, or has within it, a component of the form ``module:Class``."""
    if isinstance(value, Mapping):
        return any(_names_a_class(str(inner), each) for inner, each in value.items())
    return key.rpartition(".")[2] == "type" and ":" in str(value)
