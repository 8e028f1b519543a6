"""Types, protocols, errors, filters and the registry: standard library and numpy only."""
