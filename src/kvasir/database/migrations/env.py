"""Runs the migrations on the connection that ``database.schema`` hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite can roll back a CREATE TABLE; Alembic supposes by default that it cannot.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
