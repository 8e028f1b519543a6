"""Vector stores: they keep and search chunks with their vectors, one file per store."""

EXTRAS = {"milvuslite": "milvus", "milvus": "milvus", "chroma": "chroma", "qdrant-server": "qdrant"}
