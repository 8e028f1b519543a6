"""Stores: where chunks and vectors are kept and searched, one file an implementation."""

EXTRAS = {"milvuslite": "milvus", "milvus": "milvus", "chroma": "chroma", "qdrant-server": "qdrant"}
