"""Deletes a collection with what the process keeps about it beside its documents."""

from __future__ import annotations

from pathlib import Path

from kvasir.app import App
from kvasir.core.errors import CollectionNotFoundError
from kvasir.core.services.jobs import JobState

_SQLITE = "sqlite:///"


def delete_collection(app: App, name: str) -> None:
    """Delete a collection, its kept answers, its jobs that wait or run, and the rights on it.

    A new collection of the name is nobody's, and no job of the former one fills it.

    Raises:
        CollectionNotFoundError: There is no such collection, and nobody has rights on it.
        WriterConflictError: Another process writes to it; only its jobs were cancelled then.
    """
    if not _has_database(app):
        _drop(app, name)
        return
    accounts = app.services.accounts
    _cancel_jobs(app, name)
    try:
        _drop(app, name)
    except CollectionNotFoundError:
        # It has no documents yet: only its rights exist.
        if name not in accounts.collections_of(accounts.access(name).owner_id):
            raise
    app.services.answer_cache.delete_collection(name)
    accounts.forget_collection(name)


def _drop(app: App, name: str) -> None:
    with app.collection(name) as collection:
        collection.drop()


def _cancel_jobs(app: App, name: str) -> None:
    """Cancel the jobs of a collection, which would make it again."""
    queue, states = app.services.jobs, (JobState.WAITING, JobState.RUNNING)
    while found := queue.jobs(collection=name, states=states, limit=100):
        for job in found:
            queue.cancel(job.id)


def _has_database(app: App) -> bool:
    """Return True if there can be rights and jobs: for SQLite, if the file exists."""
    path = app.settings.database_url.removeprefix(_SQLITE)
    return path == app.settings.database_url or Path(path).is_file()
