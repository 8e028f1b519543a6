"""Embedders: texts to vectors, one file an implementation."""

EXTRAS = {"sentence-transformers": "torch", "rwkv": "torch"}
