"""Chroma: a persistent collection with a sentence-transformers function; vectors alone.

Its hybrid search is a service of its cloud: the open server and the embedded engine have none.
"""

import chromadb
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction


class Peer:
    """Index and search."""

    note = "PersistentClient, vectors alone: no hybrid search outside of its cloud"

    def __init__(self, model: str, folder: str) -> None:
        self._model, self._folder = model, folder

    def load(self) -> None:
        """Load the model."""
        settings = chromadb.Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(self._folder, settings)
        function = SentenceTransformerEmbeddingFunction(model_name=self._model)
        self._collection = client.create_collection(
            "peers", embedding_function=function, configuration={"hnsw": {"space": "cosine"}}
        )

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        self._collection.add(ids=list(passages), documents=list(passages.values()))

    def search(self, question: str) -> list[str]:
        """Return the best ids."""
        return self._collection.query(query_texts=[question], n_results=10)["ids"][0]
