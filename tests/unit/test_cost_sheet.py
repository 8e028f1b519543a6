"""The page on cost shows what the script prints, and the script computes what it says."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cost_sheet", ROOT / "scripts" / "cost_sheet.py")
    module = importlib.util.module_from_spec(spec)
    # Its dataclass looks its module up.
    sys.modules["cost_sheet"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["cost_sheet"]


def test_the_page_shows_the_sheet(script):
    assert script.sheet([]) in (ROOT / "docs" / "cost.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("memory", "milliseconds", "dollars"),
    # Reference figures at 30.4 million requests a month, without cold starts and store.
    [(1024, 200, 101), (2048, 500, 506), (1024, 3000, 1520)],
)
def test_lambda_costs_what_its_price_list_says(script, memory, milliseconds, dollars):
    options = script.parser().parse_args(
        ["--lambda-mb", str(memory), "--cpu-ms", "0", "--cold-share", "0", "--store-month", "0"]
    )
    assert script.lambda_row(options, milliseconds, "x").dollars == pytest.approx(dollars, rel=0.01)


def test_more_requests_need_more_servers_and_cold_starts_cost(script):
    one, ten = (
        script.parser().parse_args(["--requests-per-day", number]) for number in ("1e6", "1e7")
    )
    assert script.servers(ten) > 5 * script.servers(one)
    cold = script.parser().parse_args(["--cold-share", "0.05"])
    rows = [script.lambda_row(each, 10, "x").dollars for each in (one, cold)]
    assert rows[1] > rows[0]
