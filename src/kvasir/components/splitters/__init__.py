"""Splitters: documents to chunks, one file an implementation."""
