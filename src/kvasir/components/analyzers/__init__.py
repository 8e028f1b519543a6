"""Analyzers: text to weighted terms, one file an implementation."""
