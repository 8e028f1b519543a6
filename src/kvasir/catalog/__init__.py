"""The ledger: what is indexed, in which version, with which chunks."""
