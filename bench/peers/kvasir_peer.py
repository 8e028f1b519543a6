"""Kvasir with its default settings: files are extracted, split and written to the disk."""

from kvasir.app import App
from kvasir.core.types import Source, document_id
from kvasir.settings.loading import load_settings


class Peer:
    """Index and search."""

    note = "default settings; splits, and keeps the text on the disk"

    def __init__(self, model: str, folder: str) -> None:
        self._app = App(load_settings(None, {"data_dir": folder, "collection": "peers"}))

    def load(self) -> None:
        """Load the model."""
        self._app.embedder.embed_documents(["kvasir"])
        self._collection = self._app.collection()

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        self._numbers = {document_id(number): number for number in passages}
        sources = [
            (Source(number, "text/plain"), text.encode()) for number, text in passages.items()
        ]
        report = self._collection.ingest(*sources)
        assert not report.failed, report

    def search(self, question: str) -> list[str]:
        """Return the best documents: their passages may be several."""
        hits = self._collection.search(question, top_k=20)
        return [self._numbers[each.chunk.document_id] for each in hits]
