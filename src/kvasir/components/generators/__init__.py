"""Generators: prompts to answers, one file an implementation."""

EXTRAS = {"rwkv": "torch"}
