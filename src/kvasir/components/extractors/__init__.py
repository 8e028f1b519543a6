"""Extractors: bytes to documents, one file an implementation."""
