"""Runs the migrations on the connection of ``database.migrating``."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    # SQLite can roll back CREATE TABLE; Alembic assumes by default that it cannot.
    transactional_ddl=connection.dialect.name not in ("mysql", "mariadb"),
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
