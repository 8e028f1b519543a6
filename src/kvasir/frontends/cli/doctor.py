"""``kvasir doctor``: do catalog and store agree?"""

from __future__ import annotations

import click

from kvasir.collection import Collection
from kvasir.core.wire import to_json
from kvasir.frontends.cli.main import EXIT_SOME_FAILED
from kvasir.frontends.cli.options import json_option, with_collection
from kvasir.frontends.cli.rendering import print_json, stages


@click.command()
@click.option("--repair", is_flag=True, help="Put right what is found.")
@json_option
@with_collection
def doctor(collection: Collection, repair: bool, as_json: bool) -> int:
    """Compare catalog and store, and repair them.

    Finds chunks that no document has, chunks and vectors that are missing or broken, and versions
    that were left half-written. Ends with 4 when faults are found and not repaired.
    """
    with stages(quiet=as_json) as on_progress:
        findings = collection.inspect(on_progress=on_progress)
    repairs, after = None, findings
    if repair and not findings.clean:
        with stages(quiet=as_json) as on_progress:
            repairs = collection.repair(on_progress=on_progress)
        with stages(quiet=as_json) as on_progress:
            after = collection.inspect(on_progress=on_progress)
    if as_json:
        print_json({"clean": after.clean, "findings": findings, "repairs": repairs})
        return 0 if after.clean else EXIT_SOME_FAILED
    for what, count in findings.table():
        if count:
            click.echo(f"{count} {what}")
    if repairs:
        done = ", ".join(f"{count} {what}" for what, count in to_json(repairs).items() if count)
        click.echo(f"repaired: {done or 'nothing'}")
    if after.clean:
        click.echo(f"collection '{collection.name}' is sound: {after.expected} chunks")
    elif not repair:
        click.echo("'kvasir doctor --repair' puts this right", err=True)
    return 0 if after.clean else EXIT_SOME_FAILED
