"""What holds for all tests: what may be skipped, and which run on one worker of ``pytest -n``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers and the programs that they start share the cores.
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")

_ALLOWED = ("root may", "cannot drop", "computes at once")
"""Skips that say something about the machine's user or the component, not of what is missing."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a fixture of their module on one worker, which makes it once.

    A test that has an ``xdist_group`` keeps it.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    for item in items:
        shared = _module_fixtures(item)
        if shared and item.get_closest_marker("xdist_group") is None:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            chosen = [str(parameters[name]) for name in shared if name in parameters]
            item.add_marker(pytest.mark.xdist_group(" ".join([item.path.stem, *chosen])))


def _module_fixtures(item: pytest.Item) -> list[str]:
    if not isinstance(item, pytest.Function):
        return []
    known = item._fixtureinfo.name2fixturedefs
    return [n for n in item.fixturenames if any(f.scope == "module" for f in known.get(n, ()))]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    _insist(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    report = yield
    _insist(report)
    return report


def _insist(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or not os.environ.get("KVASIR_TEST_EVERYTHING"):
        return
    reason = str(report.longrepr)
    if not any(allowed in reason for allowed in _ALLOWED):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {reason}"
