"""Where everything must be tested, a missing library is a failure, not a reason to skip."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_ALLOWED = ("root may", "cannot drop", "computes at once")
"""Skips that say something about the machine's user or the component, not of what is missing."""


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
