"""Ingesting: sources, fetching, extraction, preparing and publishing of documents."""
