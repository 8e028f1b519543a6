"""Find, read and download model folders; only ``transformers.py`` imports a model runtime."""
