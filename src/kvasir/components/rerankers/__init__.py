"""Rerankers: hits in a better order, one file an implementation."""

EXTRAS = {"cross-encoder": "torch", "rwkv": "torch"}
