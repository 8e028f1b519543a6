"""Where model folders are found, what they say of themselves, and how they are fetched.

A model folder is what the Hugging Face hub serves for a model: ``config.json``, a tokenizer and
weights. Nothing here imports a model runtime, so the command line can list models quickly.
"""
