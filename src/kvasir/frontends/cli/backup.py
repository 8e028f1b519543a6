"""``kvasir backup`` and ``kvasir restore``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from kvasir.core.errors import ConflictError, StorageError
from kvasir.core.run import Run
from kvasir.frontends.cli.long_work import long_work, stop_token
from kvasir.frontends.cli.main import config_option, data_dir_option, set_option
from kvasir.frontends.cli.options import make_app, settings_of, with_service
from kvasir.frontends.cli.paths import source_name
from kvasir.frontends.cli.rendering import json_option, print_result, sizes
from kvasir.frontends.cli.services import Service
from kvasir.settings.data_folder import DEFAULT_FILE, find_project, working_directory
from kvasir.settings.loading import read_settings_file
from kvasir.sharing import owner_of

if TYPE_CHECKING:
    from kvasir.core.reports import BackupReport, RestoreReport
    from kvasir.remote.service import RemoteService


@click.command()
@click.argument("target", default=".", metavar="[FILE|FOLDER]")
@with_service
def backup(service: Service, target: str) -> None:
    """Back up documents, index, uploads, accounts, questions and settings, also while serving.

    In a FOLDER the file is named by the time. It holds password hashes and the key that signs
    logins: keep it where others cannot read it.
    """
    from kvasir.app import App
    from kvasir.backups import back_up, open_backup, report_of

    path = Path(target)
    if path.is_dir():
        path /= f"kvasir-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    with long_work() as run:
        with _new_file(path) as file:
            if isinstance(service, App):
                back_up(service, file, run=run)
            else:
                # The process that has the index open, or a server that was named.
                cast("RemoteService", service).back_up(file, run=run)
        try:
            report = report_of(open_backup(path, run=run))
        except BaseException:
            # A server that fails in the middle breaks off.
            path.unlink(missing_ok=True)
            raise
    print_result(report, f"wrote {path}", *_lines_of_backup(report))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the documents, users and questions there.")
@json_option
@config_option
@data_dir_option
@set_option
@click.pass_context
def restore(ctx: click.Context, /, file: Path, force: bool, **_: object) -> None:
    """Restore a backup into the data folder and the databases that the settings name.

    Without a settings file, that of the backup is used and written to kvasir.yaml: beside the data
    folder that is found, or in the working directory. Stop the server before. Vectors are restored
    too; nothing is embedded again but what changed during the backup.
    """
    from kvasir.backups import open_backup, settings_in
    from kvasir.backups import restore as restore_backup

    with long_work() as run:
        archive = open_backup(file, run=run)
        settings = settings_of(ctx)
        kept = settings_in(archive)
        new_file: Path | None = None
        if settings.file is None and kept is not None:
            project = find_project() or working_directory()
            new_file = project / DEFAULT_FILE
            settings = settings_of(ctx, _read_settings(kept), project=project)
        if owner_of(settings) is not None:
            raise ConflictError(
                f"a server or another command has {settings.data_folder} open: stop it first"
            )
        with make_app(settings, run=Run(stop_token())) as app:
            report = restore_backup(app, archive, force=force, run=run)
        if new_file is not None and kept is not None:
            with _new_file(new_file) as new:
                new.write(kept)
    lines = _lines_of_restore(report)
    if new_file is not None:
        lines.append(f"wrote {source_name(str(new_file))}, the settings of the backup")
    print_result(report, *lines)


def _read_settings(kept: bytes) -> dict[str, Any]:
    with TemporaryDirectory(prefix="kvasir-") as folder:
        copy = Path(folder) / DEFAULT_FILE
        copy.write_bytes(kept)
        return read_settings_file(copy)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file for its user only, which appears when it is complete."""
    if path.exists():
        raise ConflictError(f"'{path}' exists already: name another file")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"'{path}' cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _lines_of_backup(report: BackupReport) -> list[str]:
    found = report.rows
    return [
        f"{found.get('sources', 0)} documents in {len(report.vectors)} collections, "
        f"{sum(report.vectors.values())} vectors, {report.uploads} uploads, "
        f"{found.get('users', 0)} users, {found.get('questions', 0)} questions; "
        f"{sizes(report.bytes)}",
        *report.notes,
    ]


def _lines_of_restore(report: RestoreReport) -> list[str]:
    found = report.rows
    return [
        f"restored the backup of {report.created}: {found.get('sources', 0)} documents, "
        f"{sum(report.chunks.values())} chunks in {len(report.chunks)} collections "
        f"({report.embedded} embedded), {report.uploads} uploads, {found.get('users', 0)} users, "
        f"{found.get('questions', 0)} questions",
        *report.notes,
    ]
