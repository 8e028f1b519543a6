"""The SQL database: opening it and bringing its schema up to date."""

from kvasir.database.engine import open_database, reading, writing

__all__ = ["open_database", "reading", "writing"]
