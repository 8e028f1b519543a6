"""``kvasir plan``: which numbers it takes."""

import pytest
from click.testing import CliRunner

from kvasir.frontends.cli.plan import plan

LOAD = {"--documents": "10", "--requests-per-day": "1000"}


def run(**given):
    chosen = LOAD | {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    return CliRunner().invoke(plan, [word for pair in chosen.items() for word in pair])


@pytest.mark.parametrize("name", ["requests_per_day", "peak"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300"])
def test_a_number_that_no_load_has_is_refused(name, number):
    refused = run(**{name: number})
    assert refused.exit_code == 2
    assert "Invalid value for" in refused.output


@pytest.mark.parametrize("name", ["documents", "words", "cores"])
def test_a_count_that_no_machine_has_is_refused(name):
    assert run(**{name: "1" + 400 * "0"}).exit_code == 2


def test_the_largest_load_is_planned():
    largest = {"documents": str(10**12), "words": str(10**9), "cores": "10000"}
    planned = run(**largest, requests_per_day="1e15", peak="1000")
    assert planned.exit_code == 0, planned.output
    assert "server processes" in planned.output
