"""The web client: a client of the REST API, and of nothing else."""
