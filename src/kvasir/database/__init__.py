"""SQLAlchemy engine and Alembic migrations."""
