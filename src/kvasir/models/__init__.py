"""Find, read and download model folders.

A model folder holds the files of a model on the Hugging Face hub: ``config.json``, a tokenizer and
weights. Only ``transformers.py`` imports a model runtime, so listing models is quick.
"""
