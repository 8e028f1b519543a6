"""``kvasir collections``: list, copy and delete."""

from __future__ import annotations

import sys
from dataclasses import replace

import click
import yaml

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.errors import RequestError, SettingsError, StoppedError
from kvasir.core.ledger import CollectionRecord
from kvasir.core.reports import CopyReport
from kvasir.core.types import StoreAddress
from kvasir.core.wire import to_json
from kvasir.frontends.cli.interrupts import await_input, long_work
from kvasir.frontends.cli.main import EXIT_DECLINED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, fail
from kvasir.frontends.cli.options import json_option, with_app, with_collection
from kvasir.frontends.cli.progress import rate
from kvasir.frontends.cli.rendering import print_json, print_table
from kvasir.settings.schema import Settings
from kvasir.settings.store_uris import absolute_uri, guess_store


@click.group()
def collections() -> None:
    """List, copy or delete collections."""


@collections.command("list")
@json_option
@with_app
def list_collections(app: App, as_json: bool) -> None:
    """List all collections."""
    counted = [(record, _chunk_count(app, record.name)) for record in app.collections()]
    if as_json:
        print_json([to_json(record) | {"chunk_count": chunks} for record, chunks in counted])
    elif counted:
        print_table([_row(record, chunks) for record, chunks in counted])
    else:
        click.echo("no collections yet: 'kvasir ingest FOLDER' makes one", err=True)


@collections.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_collection
def delete(collection: Collection, yes: bool, as_json: bool) -> int:
    """Delete the collection that --collection names, with all of its documents.

    Ends with 6 when the answer is no.
    """
    wanted = yes or _agreed(f"Delete collection '{collection.name}' with all its documents?")
    if wanted:
        collection.drop()
    else:
        click.echo("nothing deleted", err=True)
    if as_json:
        print_json({"collection": collection.name, "deleted": wanted})
    elif wanted:
        click.echo(f"collection '{collection.name}' deleted")
    return 0 if wanted else EXIT_DECLINED


def _agreed(question: str) -> bool:
    """Ask; the end of the input means no."""
    while True:
        click.echo(f"{question} [y/N]: ", nl=False, err=True)
        await_input()
        line = sys.stdin.readline()
        if not line:
            click.echo(err=True)
            if sys.stdin.isatty():
                raise click.Abort
            return False
        answer = line.strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no", ""):
            return False
        click.echo("Error: invalid input", err=True)


@collections.command()
@click.option("--to", "uri", required=True, metavar="URI", help="Folder, file or address.")
@click.option(
    "--to-type", metavar="TYPE", help="Kind of store there; guessed where the URI leaves no doubt."
)
@click.option("--to-collection", "name", metavar="NAME", help="Its name there; the same if absent.")
@click.option("--to-token", envvar="KVASIR_TO_TOKEN", show_envvar=True, help="The store's token.")
@click.option(
    "--to-username", envvar="KVASIR_TO_USERNAME", show_envvar=True, help="The store's user."
)
@click.option(
    "--to-password", envvar="KVASIR_TO_PASSWORD", show_envvar=True, help="The store's password."
)
@click.option("--exact", is_flag=True, help="Delete what is there beyond the collection.")
@json_option
@with_app
def copy(
    app: App,
    uri: str,
    to_type: str | None,
    name: str | None,
    to_token: str | None,
    to_username: str | None,
    to_password: str | None,
    exact: bool,
    as_json: bool,
) -> int:
    """Copy the collection to another store, without embedding anything again.

    Every chunk is compared at the end. A copy that was interrupted goes on when the same command
    is given again. The original stays; the last lines say which settings to change to go on with
    the copy.
    """
    try:
        target = absolute_uri(uri)
    except SettingsError as error:
        raise RequestError(str(error)) from error
    to = StoreAddress(to_type or guess_store(target), target, to_token, to_username, to_password)
    try:
        with app.collection() as collection, long_work(quiet=as_json) as run:
            report = collection.copy(to, name=name, exact=exact, run=run)
    except StoppedError:
        said = "interrupted: what is copied is kept; run the same command again"
        return fail(said, EXIT_INTERRUPTED)
    left = len(report.extra) - report.removed
    if as_json:
        print_json(report)
    else:
        _print(report)
        if report.verified:
            click.echo(_describe(app.settings, replace(to, uri=uri), name))
    return 0 if report.verified and not left else EXIT_SOME_FAILED


def _print(report: CopyReport) -> None:
    kept = f", {report.kept} were there already" if report.kept else ""
    speed = rate(report.chunks, report.seconds)
    click.echo(
        f"{report.written} chunks written{kept}; {report.seconds:.1f} s, {speed} chunks/s; "
        f"checksum {report.checksum}"
    )
    if report.removed:
        click.echo(f"{report.removed} chunks deleted there that the collection does not have")
    elif report.extra:
        click.echo(
            f"{len(report.extra)} chunks are there that the collection does not have, such as "
            f"{report.extra[0]}; the same command with --exact deletes them",
            err=True,
        )
    if report.changed:
        click.echo("the collection was written to meanwhile: run the same command again", err=True)
    elif not report.verified:
        named = f", such as {report.faulty[0]}" if report.faulty else ""
        click.echo(
            f"the copy is not like the original: {len(report.faulty)} chunks differ or are "
            f"missing{named}, {report.counted} counted there; run the same command again",
            err=True,
        )


def _describe(settings: Settings, to: StoreAddress, name: str | None) -> str:
    """Return the settings to change to use the copy, without secrets."""
    fields = {"type": to.type, "uri": to.uri, "username": to.username}
    tree: dict[str, object] = {
        "rag": {"vectordb": {key: value for key, value in fields.items() if value is not None}}
    }
    renamed = name is not None and name != settings.collection
    if renamed:
        tree["collection"] = name
    lines = ["to go on with the copy, set in the settings file:", ""]
    lines += [f"  {line}" for line in yaml.safe_dump(tree, sort_keys=False).splitlines()]
    lines.append("")
    secrets = [key for key in ("token", "password") if getattr(to, key)]
    if secrets:
        given = " and ".join(f"KVASIR__RAG__VECTORDB__{key.upper()}" for key in secrets)
        lines.append(f"put the {' and '.join(secrets)} into the environment as {given}")
    if settings.rag.vectordb.options and to.type != settings.rag.vectordb.type:
        lines.append(
            f"and take rag.vectordb.options away: they are those of '{settings.rag.vectordb.type}'"
        )
    own = "its own records in the catalog" if renamed else "the same catalog"
    lines.append(f"documents stay known: the copy has {own}; 'kvasir doctor' compares them")
    return "\n".join(lines)


def _chunk_count(app: App, name: str) -> int:
    with app.collection(name) as collection:
        return collection.chunk_count()


def _row(record: CollectionRecord, chunks: int) -> dict[str, object]:
    return {
        "name": record.name,
        "chunks": chunks,
        "languages": " ".join(record.languages),
        "embedder": record.embedder,
        "dimension": record.dimension,
        "calibrated": record.calibration is not None,
        "created": record.created.isoformat(timespec="seconds"),
    }
