"""Prints what a million requests a day cost: on Lambda, on servers, on Kubernetes, at an API.

    python scripts/cost_sheet.py [--requests-per-day 1e6] [--help]

Every price is an option: put your own. Prices are dollars, list prices of one region when this was
written; times are those of our benchmarks (``bench/results/lambda.json``, which
``bench/load_lambda.py --keep`` and ``bench/lambda_cold_start.py --keep`` write). A month has 30.4
days.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FIGURES = json.loads(
    (Path(__file__).parent.parent / "bench" / "results" / "lambda.json").read_text("utf-8")
)
DAYS = 30.4
HOURS = 730.0
FREE_GB_SECONDS, FREE_REQUESTS = 400_000, 1_000_000
VCPU_MB = 1_769
"""Memory with which a function has one whole processor."""


@dataclass(frozen=True)
class Row:
    """One way to run it: its name, dollars a month, and what they are for."""

    name: str
    dollars: float
    why: str


def lambda_row(options: argparse.Namespace, wait_ms: float, name: str) -> Row:
    """Return the cost on Lambda; cold starts and their billed initialization included."""
    requests = options.requests_per_day * DAYS
    speed = min(1.0, options.lambda_mb / VCPU_MB)
    seconds = options.cpu_ms / 1000 / speed + wait_ms / 1000
    cold = requests * options.cold_share
    gb_seconds = (requests * seconds + cold * options.init_s) * options.lambda_mb / 1024
    billed = max(0.0, gb_seconds - FREE_GB_SECONDS) * options.gb_second
    calls = max(0.0, requests - FREE_REQUESTS) / 1e6
    dollars = billed + calls * (options.lambda_million + options.gateway_million)
    why = f"{options.lambda_mb} MB, {1000 * seconds:.0f} ms a request, {cold:,.0f} cold starts"
    return Row(name, dollars + options.store_month, why)


def servers(options: argparse.Namespace) -> int:
    """Return the machines that take the peak."""
    rate = options.requests_per_day / 86_400 * options.peak
    work = options.cpu_ms + options.store_ms
    busy = rate * work / 1000 / (options.vcpus * options.busy)
    return max(1, math.ceil(busy))


def rows(options: argparse.Namespace) -> list[Row]:
    """Return every way to run it."""
    number = servers(options)
    tokens = options.requests_per_day * DAYS * (options.prompt_tokens + options.answer_tokens)
    prompt = options.requests_per_day * DAYS * options.prompt_tokens / 1e6 * options.prompt_million
    answer = options.requests_per_day * DAYS * options.answer_tokens / 1e6 * options.answer_million
    rented = number * options.server_hour * HOURS
    own = number * (options.server_price / 36 + options.watts / 1000 * HOURS * options.kwh)
    more = max(2, number) * options.server_hour * HOURS
    return [
        lambda_row(options, options.store_ms, "Lambda, quotations"),
        lambda_row(options, options.store_ms + options.llm_ms, "Lambda, waiting for a model"),
        Row("rented servers", rented, f"{number} of {options.vcpus} processors, index included"),
        Row("own servers", own, f"{number}, paid in 36 months, {options.watts} W each"),
        Row(
            "Kubernetes",
            more + options.cluster_hour * HOURS + options.store_month,
            f"{max(2, number)} nodes, control plane, store",
        ),
        Row("an API's language model on top", prompt + answer, f"{tokens / 1e6:,.0f} M tokens"),
    ]


def parser() -> argparse.ArgumentParser:
    """Return the options, with our figures as defaults."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default, text in (
        ("requests-per-day", 1e6, "requests"),
        ("peak", 5.0, "peak rate by the daily mean"),
        (
            "cpu-ms",
            FIGURES["answers"]["instance_ms_a_request"],
            "processor time of an answer by quotation, one core",
        ),
        (
            "store-ms",
            FIGURES["answers"]["store_ms_a_request"],
            "processor time of the store, for which the function waits",
        ),
        ("llm-ms", 3000.0, "wait for a language model"),
        ("cold-share", 0.005, "share of requests that start an instance"),
        ("init-s", FIGURES["cold_start"]["processor"], "seconds of an initialization, billed"),
        ("gb-second", 0.0000166667, "Lambda, a gigabyte for a second"),
        ("lambda-million", 0.20, "Lambda, a million requests"),
        ("gateway-million", 0.0, "API Gateway, a million requests; a function URL costs none"),
        ("store-month", 150.0, "Qdrant and a database, a month"),
        ("server-hour", 0.17, "a rented server"),
        ("busy", 0.7, "share of its processors at the peak"),
        ("server-price", 1500.0, "an own server"),
        ("kwh", 0.25, "electricity"),
        ("cluster-hour", 0.10, "a cluster's control plane"),
        ("prompt-million", 0.15, "an API, a million tokens of prompts"),
        ("answer-million", 0.60, "an API, a million tokens of answers"),
    ):
        made.add_argument(f"--{name}", type=float, default=default, help=f"{text} (%(default)s)")
    for name, number, text in (
        ("lambda-mb", 2048, "a function's memory"),
        ("vcpus", 4, "processors of a server"),
        ("watts", 80, "of an own server"),
        ("prompt-tokens", 1500, "of a request"),
        ("answer-tokens", 150, "of a request"),
    ):
        made.add_argument(f"--{name}", type=int, default=number, help=f"{text} (%(default)s)")
    return made


def sheet(arguments: Sequence[str] | None = None) -> str:
    """Return the sheet as a table."""
    lines = ["| way | dollars a month | for |", "|---|---:|---|"]
    for row in rows(parser().parse_args(arguments)):
        lines.append(f"| {row.name} | {row.dollars:,.0f} | {row.why} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(sheet())
