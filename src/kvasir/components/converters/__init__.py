"""Converters: documents to docling JSON, one file an implementation."""

EXTRAS = {"docling": "docling"}
