"""txtai: an ``Embeddings`` database with ``hybrid=True``."""

from txtai import Embeddings


class Peer:
    """Index and search."""

    note = "Embeddings(hybrid=True)"

    def __init__(self, model: str, folder: str) -> None:
        self._model = model

    def load(self) -> None:
        """Load the model."""
        self._embeddings = Embeddings(path=self._model, hybrid=True)

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        self._embeddings.index((number, text, None) for number, text in passages.items())

    def search(self, question: str) -> list[str]:
        """Return the best ids."""
        return [number for number, _ in self._embeddings.search(question, 10)]
