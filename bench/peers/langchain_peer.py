"""LangChain: FAISS and BM25 in an ``EnsembleRetriever``, as its page on hybrid search has it."""

from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_huggingface import HuggingFaceEmbeddings


class Peer:
    """Index and search."""

    note = "FAISS + BM25Retriever, EnsembleRetriever"

    def __init__(self, model: str, folder: str) -> None:
        self._model = model

    def load(self) -> None:
        """Load the model."""
        self._embeddings = HuggingFaceEmbeddings(
            model_name=self._model, encode_kwargs={"normalize_embeddings": True}
        )

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        documents = [Document(text, metadata={"id": number}) for number, text in passages.items()]
        dense = FAISS.from_documents(documents, self._embeddings)
        words = BM25Retriever.from_documents(documents, k=10)
        near = dense.as_retriever(search_kwargs={"k": 10})
        self._retriever = EnsembleRetriever(retrievers=[words, near], weights=[0.5, 0.5])

    def search(self, question: str) -> list[str]:
        """Return the best ids."""
        return [each.metadata["id"] for each in self._retriever.invoke(question)]
