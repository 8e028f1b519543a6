"""``kvasir plan``: what a load needs."""

from __future__ import annotations

import math
from typing import Any

import click

from kvasir.core.capacity import CPU_SECONDS, TOKENS_PER_SECOND, Load, Plan, tokens_per_second
from kvasir.core.capacity import plan as plan_load
from kvasir.frontends.cli.rendering import json_option, print_result

_HERE = "here"


class _FiniteRange(click.FloatRange):
    """A range of numbers; ``nan`` is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a valid float.", param, ctx)
        return number


@click.command("plan")
@click.option(
    "--documents", type=click.IntRange(1, 10**12), required=True, help="Documents in all."
)
@click.option(
    "--requests-per-day", type=_FiniteRange(0, 1e15), required=True, help="Requests in all."
)
@click.option(
    "--words", type=click.IntRange(1, 10**9), default=600, show_default=True, help="Of a document."
)
@click.option(
    "--kind",
    type=click.Choice(list(CPU_SECONDS)),
    default="search",
    show_default=True,
    help="What a request is; an answer without a language model.",
)
@click.option(
    "--peak",
    type=_FiniteRange(0, 1000, min_open=True),
    default=5.0,
    show_default=True,
    help="Peak rate by the daily mean.",
)
@click.option(
    "--cores", type=click.IntRange(1, 10_000), default=2, show_default=True, help="Of each machine."
)
@click.option(
    "--processor",
    type=click.Choice([*TOKENS_PER_SECOND, _HERE]),
    default="bf16",
    show_default=True,
    help="What the machines compute with; 'here' measures this machine for some seconds.",
)
@json_option
def plan(
    documents: int,
    requests_per_day: float,
    words: int,
    kind: str,
    peak: float,
    cores: int,
    processor: str,
) -> None:
    """Say what a load needs: memory, disk, time to ingest, server processes, slowest requests.

    A model of measured figures, for the default model and store; a language model comes on top.
    """
    speed = _measured() if processor == _HERE else TOKENS_PER_SECOND[processor]
    load = Load(documents, requests_per_day, words, peak, kind, cores, speed)  # type: ignore[arg-type]
    found = plan_load(load)
    print_result(found, *_lines(found, cores, speed))


def _measured() -> float:
    """Return the tokens a second of the default model on this machine."""
    from kvasir.core.run import Run
    from kvasir.frontends.cli.long_work import download, stop_token
    from kvasir.settings.components import make_embedder
    from kvasir.settings.schema import Settings

    with download() as show:
        return tokens_per_second(make_embedder(Settings(), Run(stop_token(), show)))


def _lines(found: Plan, cores: int, speed: float) -> list[str]:
    return [
        f"passages            {found.chunks:,}",
        f"disk of the index   {_size(found.disk_mb)}",
        f"memory of the store {_size(found.store_mb)}",
        f"memory of a process {_size(found.memory_mb)}, with an index of its own",
        f"ingesting takes     {_time(found.ingest_seconds)}, at {speed:,.0f} tokens a second",
        f"peak                {found.requests_per_second:,.1f} requests a second",
        f"server processes    {found.processes:,} on {cores} cores each",
        f"slowest of 100      {1000 * found.p99_seconds:.0f} ms at the peak",
    ]


def _size(megabytes: float) -> str:
    return f"{megabytes:,.0f} MB" if megabytes < 10_000 else f"{megabytes / 1000:,.0f} GB"


def _time(seconds: float) -> str:
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} seconds"
