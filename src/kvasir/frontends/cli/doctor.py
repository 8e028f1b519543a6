"""``kvasir doctor``: do catalog and store agree?"""

from __future__ import annotations

import click

from kvasir.collection import Collection
from kvasir.core.reports import Findings, Repairs
from kvasir.frontends.cli.interrupts import long_work
from kvasir.frontends.cli.main import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from kvasir.frontends.cli.options import json_option, with_collection
from kvasir.frontends.cli.rendering import print_json


@click.command()
@click.option("--repair", is_flag=True, help="Put right what is found.")
@json_option
@with_collection
def doctor(collection: Collection, repair: bool, as_json: bool) -> int:
    """Compare catalog and store, and repair them.

    Finds chunks that no document has, chunks and vectors that are missing or broken, and versions
    that were left half-written. Ends with 4 when faults are found and not repaired.
    """
    repairs = None
    with long_work(quiet=as_json) as run:
        if repair:
            repairs = collection.repair(run=run)
        after = findings = repairs.found if repairs else collection.inspect(run=run)
        if findings.clean:
            repairs = None
        elif repairs and not repairs.interrupted:
            after = collection.inspect(run=run)
    interrupted = repairs is not None and repairs.interrupted
    code = EXIT_INTERRUPTED if interrupted else 0 if after.clean else EXIT_SOME_FAILED
    if as_json:
        print_json({"clean": after.clean, "findings": findings, "repairs": repairs})
        return code
    for what, count in _counts(findings):
        if count:
            click.echo(f"{count} {what}")
    if repairs:
        done = ", ".join(f"{count} {what}" for what, count in _done(repairs) if count)
        click.echo(f"repaired: {done or 'nothing'}")
    if repairs and repairs.interrupted:
        click.echo(
            f"interrupted: {repairs.left} chunks are left to repair; run the same command again",
            err=True,
        )
    elif after.clean:
        click.echo(f"collection '{collection.name}' is sound: {after.expected} chunks")
    elif not repair:
        click.echo("'kvasir doctor --repair' puts this right", err=True)
    return code


def _counts(findings: Findings) -> list[tuple[str, int]]:
    """Return the kinds of faults and their counts."""
    return [
        ("half-written versions", findings.unfinished),
        ("documents with outdated metadata", findings.pending_metadata_updates),
        ("chunks in the store that no document has", len(findings.orphans)),
        ("chunks missing from the store", len(findings.missing)),
        ("chunks with other text than their document", len(findings.altered)),
        ("chunks with other metadata than their document", len(findings.mislabelled)),
        ("chunks with a broken vector", len(findings.bad_vectors)),
        ("difference of the two counts", abs(findings.expected - findings.counted)),
    ]


def _done(repairs: Repairs) -> list[tuple[str, int]]:
    return [
        ("recovered", repairs.recovered),
        ("removed", repairs.removed),
        ("rewritten", repairs.rewritten),
        ("relabelled", repairs.relabelled),
    ]
