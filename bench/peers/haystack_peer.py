"""Haystack: its in-memory store, both retrievers, joined by reciprocal ranks, in a pipeline."""

from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import (
    InMemoryBM25Retriever,
    InMemoryEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)


class Peer:
    """Index and search."""

    note = "InMemoryDocumentStore, DocumentJoiner"

    def __init__(self, model: str, folder: str) -> None:
        self._model = model

    def load(self) -> None:
        """Load the models: one for documents, one for questions."""
        self._store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        self._embedder = SentenceTransformersDocumentEmbedder(model=self._model, progress_bar=False)
        self._embedder.warm_up()
        pipeline = Pipeline()
        pipeline.add_component(
            "text", SentenceTransformersTextEmbedder(model=self._model, progress_bar=False)
        )
        pipeline.add_component("near", InMemoryEmbeddingRetriever(self._store, top_k=10))
        pipeline.add_component("words", InMemoryBM25Retriever(self._store, top_k=10))
        pipeline.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=10))
        pipeline.connect("text.embedding", "near.query_embedding")
        pipeline.connect("near", "join")
        pipeline.connect("words", "join")
        pipeline.warm_up()
        self._pipeline = pipeline

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        documents = [Document(id=number, content=text) for number, text in passages.items()]
        self._store.write_documents(self._embedder.run(documents)["documents"])

    def search(self, question: str) -> list[str]:
        """Return the best ids."""
        given = {"text": {"text": question}, "words": {"query": question}}
        return [each.id for each in self._pipeline.run(given)["join"]["documents"]]
