"""What collections need of the process that they are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from kvasir.core.ledger import Catalog, CollectionRecord, EmbeddingModel
from kvasir.core.protocols import Embedder, Generator, Reranker, TextAnalyzer, VectorStore
from kvasir.core.run import Run
from kvasir.core.types import StoreAddress

if TYPE_CHECKING:
    from kvasir.answering.chat import Conversation
    from kvasir.ingesting.pipeline import IngestPipeline
    from kvasir.ingesting.web_pages import WebPages


class Components(Protocol):
    """The components of the process that collections use."""

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog exists; false while nothing was ever ingested."""

    @property
    def catalog(self) -> Catalog:
        """The ledger of what is indexed."""

    @property
    def embedder(self) -> Embedder:
        """The embedder of new collections."""

    @property
    def shares_stores(self) -> bool:
        """Whether several processes can have the store of a collection open."""

    def embedder_of(self, record: CollectionRecord | None) -> Embedder:
        """Return the embedder of a collection; that of new ones where none was chosen."""

    def choose_model(self, name: str, kind: str | None) -> EmbeddingModel:
        """Return the model of a name; ``kind`` is its embedder, by default the settings'."""

    def load_model(self, model: EmbeddingModel, run: Run) -> Embedder:
        """Return the embedder of a model; fetch the model if it is not on this machine."""

    @property
    def analyzer(self) -> TextAnalyzer:
        """The analyzer of keyword search."""

    @property
    def reranker(self) -> Reranker | None:
        """The reranker, if any."""

    @property
    def generator(self) -> Generator:
        """The generator of answers."""

    def conversation(
        self, lease: Callable[[], Any], *, generator: Generator | None = None
    ) -> Conversation:
        """Return a conversation about the collection that ``lease`` gives."""

    def open_store(self, collection: str, embedded_by: Embedder | CollectionRecord) -> VectorStore:
        """Open the store of a collection."""

    def open_copy(self, to: StoreAddress, name: str, record: CollectionRecord) -> VectorStore:
        """Open the store to which a collection is copied; refuse the collection's own."""

    def make_pipeline(
        self,
        store: VectorStore,
        collection: str,
        embedder: Embedder,
        *,
        re_split: bool = False,
        **options: Any,
    ) -> IngestPipeline:
        """Make the ingest pipeline of a collection."""

    def make_web_pages(self) -> WebPages:
        """Make what searches the web and fetches pages."""
