"""Work on whole collections: ``kvasir collections``, ``kvasir doctor`` and ``kvasir calibrate``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kvasir.core.errors import RequestError, SettingsError, StoppedError
from kvasir.core.types import StoreAddress
from kvasir.core.wire import to_json
from kvasir.frontends.cli.interrupts import EXIT_INTERRUPTED
from kvasir.frontends.cli.long_work import await_input, long_work
from kvasir.frontends.cli.main import EXIT_DECLINED, EXIT_SOME_FAILED, fail
from kvasir.frontends.cli.options import (
    current_app,
    settings_of,
    with_collection,
    with_service,
)
from kvasir.frontends.cli.rates import rate
from kvasir.frontends.cli.remembered import memory_of
from kvasir.frontends.cli.rendering import print_result, print_table, printed_json, wants_json
from kvasir.frontends.cli.services import Service
from kvasir.frontends.cli.terminal import echo
from kvasir.settings.schema import Settings
from kvasir.settings.store_uris import absolute_uri, guess_store

if TYPE_CHECKING:
    from kvasir.collection import Collection, Fitted
    from kvasir.core.reports import CopyReport

_AGREED = "kvasir.agreed"
"""In a context's ``meta``: the answer to the question before a collection is deleted."""
_QUESTIONS = click.Path(exists=True, dir_okay=False)


@click.group()
def collections() -> None:
    """List, copy or delete collections."""


@collections.command("list")
@with_service
def list_collections(service: Service) -> None:
    """List all collections."""
    counted = []
    for record in service.collections():
        with service.collection(record.name) as collection:
            counted.append((record, collection.chunk_count()))
    rows = (
        {
            "name": record.name,
            "chunks": chunks,
            "languages": " ".join(record.languages),
            "embedder": record.embedder,
            "dimension": record.dimension,
            "calibrated": record.calibration is not None,
            "created": record.created.isoformat(timespec="seconds"),
        }
        for record, chunks in counted
    )
    listed = [to_json(record) | {"chunk_count": chunks} for record, chunks in counted]
    print_table(listed, rows)
    if not counted and not wants_json():
        echo("no collections yet: 'kvasir ingest FOLDER' makes one", err=True)


@collections.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_collection
def delete(collection: Collection, yes: bool) -> int:
    """Delete the collection that --collection names, with all of its documents.

    Ends with 6 when the answer is no.
    """
    answers = click.get_current_context().meta
    if _AGREED not in answers:
        # Once, however often the command has to look for the index.
        question = f"Delete collection '{collection.name}' with all its documents?"
        answers[_AGREED] = yes or _agreed(question)
    wanted = answers[_AGREED]
    if wanted:
        _delete(collection)
        memory_of(click.get_current_context(), collection.name).forget_all()
    else:
        echo("nothing deleted", err=True)
    said = [f"collection '{collection.name}' deleted"] if wanted else []
    print_result({"collection": collection.name, "deleted": wanted}, *said)
    return 0 if wanted else EXIT_DECLINED


def _delete(collection: Collection) -> None:
    """Delete a collection with its jobs and rights, which a server does by itself."""
    from kvasir.remote.collection import RemoteCollection

    if isinstance(collection, RemoteCollection):
        collection.drop()
        return
    from kvasir.collection_deletion import delete_collection

    delete_collection(current_app(), collection.name)


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
        if answer in ("y", "yes", "n", "no", ""):
            return answer.startswith("y")
        echo("Error: invalid input", err=True)


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
@with_service
def copy(
    service: Service,
    uri: str,
    to_type: str | None,
    name: str | None,
    to_token: str | None,
    to_username: str | None,
    to_password: str | None,
    exact: bool,
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
        with service.collection() as collection, long_work() as run:
            report = collection.copy(to, name=name, exact=exact, run=run)
    except StoppedError:
        said = "interrupted: what is copied is kept; run the same command again"
        return fail(said, EXIT_INTERRUPTED)
    left = len(report.extra) - report.removed
    if not printed_json(report):
        _print(report)
        if report.verified:
            settings = settings_of(click.get_current_context())
            # As it was typed, if the settings mean the same place by it.
            same = absolute_uri(uri, settings.found_data_folder.parent) == target
            echo(_describe(settings, replace(to, uri=uri) if same else to, name))
    return 0 if report.verified and not left else EXIT_SOME_FAILED


def _print(report: CopyReport) -> None:
    kept = f", {report.kept} were there already" if report.kept else ""
    speed = rate(report.chunks, report.seconds)
    echo(
        f"{report.written} chunks written{kept}; {report.seconds:.1f} s, {speed} chunks/s; "
        f"checksum {report.checksum}"
    )
    if report.removed:
        echo(f"{report.removed} chunks deleted there that the collection does not have")
    elif report.extra:
        echo(
            f"{len(report.extra)} chunks are there that the collection does not have, such as "
            f"{report.extra[0]}; the same command with --exact deletes them",
            err=True,
        )
    if report.changed:
        echo("the collection was written to meanwhile: run the same command again", err=True)
    elif not report.verified:
        named = f", such as {report.faulty[0]}" if report.faulty else ""
        echo(
            f"the copy is not like the original: {len(report.faulty)} chunks differ or are "
            f"missing{named}, {report.counted} counted there; run the same command again",
            err=True,
        )


def _describe(settings: Settings, to: StoreAddress, name: str | None) -> str:
    """Return the settings to change to use the copy, without secrets."""
    import yaml

    username = {"username": to.username} if to.username is not None else {}
    renamed = name is not None and name != settings.collection
    tree = {"rag": {"vectordb": {"type": to.type, "uri": to.uri} | username}}
    text = yaml.safe_dump(tree | ({"collection": name} if renamed else {}), sort_keys=False)
    lines = ["to go on with the copy, set in the settings file:", ""]
    lines += [*(f"  {line}" for line in text.splitlines()), ""]
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
    if renamed:
        lines.append(
            f"'kvasir collections list' shows '{name}' with the present settings, too, though its "
            "chunks are found with the new ones alone"
        )
    return "\n".join(lines)


@click.command()
@click.option("--repair", is_flag=True, help="Put right what is found.")
@with_collection
def doctor(collection: Collection, repair: bool) -> int:
    """Compare catalog and store, and repair them.

    Finds chunks that no document has, chunks and vectors that are missing or broken, and versions
    that were left half-written. Ends with 4 when faults are found and not repaired.
    """
    repairs = None
    with long_work() as run:
        if repair:
            repairs = collection.repair(run=run)
        after = findings = repairs.found if repairs else collection.inspect(run=run)
        if findings.clean:
            repairs = None
        elif repairs and not repairs.interrupted:
            after = collection.inspect(run=run)
    interrupted = repairs is not None and repairs.interrupted
    code = EXIT_INTERRUPTED if interrupted else 0 if after.clean else EXIT_SOME_FAILED
    if printed_json({"clean": after.clean, "findings": findings, "repairs": repairs}):
        return code
    faults = {
        "half-written versions": findings.unfinished,
        "documents with outdated metadata": findings.pending_metadata_updates,
        "chunks in the store that no document has": len(findings.orphans),
        "chunks missing from the store": len(findings.missing),
        "chunks with other text than their document": len(findings.altered),
        "chunks with other metadata than their document": len(findings.mislabelled),
        "chunks with a broken vector": len(findings.bad_vectors),
        "difference of the two counts": abs(findings.expected - findings.counted),
    }
    for what, count in faults.items():
        if count:
            echo(f"{count} {what}")
    if repairs:
        kinds = ("recovered", "removed", "rewritten", "relabelled")
        done = ", ".join(
            f"{getattr(repairs, kind)} {kind}" for kind in kinds if getattr(repairs, kind)
        )
        echo(f"repaired: {done or 'nothing'}")
    if repairs and interrupted:
        echo(
            f"interrupted: {repairs.left} chunks are left to repair; run the same command again",
            err=True,
        )
    elif after.clean:
        echo(f"collection '{collection.name}' is sound: {after.expected} chunks")
    elif not repair:
        echo("'kvasir doctor --repair' puts this right", err=True)
    return code


@click.command()
@click.option(
    "--questions",
    type=_QUESTIONS,
    help="Questions that the documents answer: JSON lines, or one a line.",
)
@click.option(
    "--off-topic",
    type=_QUESTIONS,
    help="Questions that they do not answer: JSON lines, or one a line.",
)
@click.option("--apply", "wanted", is_flag=True, help="Keep the decision where it is only shown.")
@click.option("--reset", is_flag=True, help="Go back to the decision that comes with Kvasir.")
@with_service
def calibrate(
    service: Service, questions: str | None, off_topic: str | None, wanted: bool, reset: bool
) -> None:
    """Fit the decision to refuse to a collection.

    Without --questions and --off-topic, questions are made from the collection's own sentences.
    That is a rough guide, so the new decision is only shown; --apply keeps it. The same holds
    where it would refuse more good questions, or answer clearly more of the others.
    """
    if reset and (questions or off_topic or wanted):
        raise RequestError("--reset stands alone: nothing is fitted then")
    with service.collection() as collection:
        if reset:
            collection.keep_calibration(None)
            said = f"collection '{collection.name}' refuses as Kvasir comes, from now on"
            print_result({"reset": True}, said)
            return
        from kvasir.collection import load_questions

        with long_work() as run:
            fitted = collection.calibrate(
                load_questions(questions) if questions else None,
                load_questions(off_topic) if off_topic else None,
                # None, not False: without --apply, one fitted to given questions may be kept.
                apply=wanted or None,
                run=run,
            )
    if printed_json(fitted):
        return
    _print_rates(fitted)
    for drawback in fitted.drawbacks:
        echo(f"careful: it {drawback}", style="yellow")
    if fitted.kept:
        echo(f"collection '{collection.name}' refuses by the new decision from now on")
        echo("'kvasir calibrate --reset' brings the one that comes with Kvasir back")
    elif fitted.gained:
        all_given = bool(questions and off_topic)
        reason = "" if all_given else "; made questions are a rough guide, real ones a good one"
        echo(f"nothing was changed: --apply keeps the new decision{reason}")
    else:
        echo("nothing was changed: fitting to these questions gains nothing")


def _print_rates(fitted: Fitted) -> None:
    report = fitted.calibration.report
    echo(
        f"asked {report['questions_answered']:.0f} questions that the documents answer and "
        f"{report['questions_unanswered']:.0f} that they do not"
    )
    for name, ending in (("as Kvasir comes", "_before"), ("fitted", "")):
        echo(
            f"{name}: refuses {report[f'refused_on_topic{ending}']:.1%} of the answerable, "
            f"{report[f'refused_off_topic{ending}']:.1%} of the foreign questions"
            + ("" if fitted.gained or ending else " (no better)")
        )
