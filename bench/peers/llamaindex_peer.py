"""LlamaIndex: its vector index and BM25 in a ``QueryFusionRetriever``, reciprocal ranks."""

from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.retrievers.bm25 import BM25Retriever


class Peer:
    """Index and search."""

    note = "VectorStoreIndex + BM25Retriever, QueryFusionRetriever"

    def __init__(self, model: str, folder: str) -> None:
        self._model = model

    def load(self) -> None:
        """Load the model."""
        Settings.llm = None
        Settings.embed_model = HuggingFaceEmbedding(model_name=self._model)

    def ingest(self, passages: dict[str, str]) -> None:
        """Index passages."""
        nodes = [TextNode(text=text, id_=number) for number, text in passages.items()]
        index = VectorStoreIndex(nodes)
        words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10)
        near = index.as_retriever(similarity_top_k=10)
        self._retriever = QueryFusionRetriever(
            [near, words],
            similarity_top_k=10,
            num_queries=1,
            mode="reciprocal_rerank",
            use_async=False,
        )

    def search(self, question: str) -> list[str]:
        """Return the best ids."""
        return [each.node.node_id for each in self._retriever.retrieve(question)]
