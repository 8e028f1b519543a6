"""The ledger: indexed documents with their versions and chunks."""
