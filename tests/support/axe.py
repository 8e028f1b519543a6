"""axe-core, which finds faults of pages that keep people with disabilities out.

``scripts/install_system_packages.sh`` fetches it. Source: https://github.com/dequelabs/axe-core
"""

import os
from functools import cache
from pathlib import Path

import pytest

VERSION = "4.14.1"
SERIOUS = ("serious", "critical")
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(found => done(found.violations.map(
  each => ({rule: each.id, impact: each.impact, help: each.help,
            nodes: each.nodes.map(node => ({target: node.target.join(" "), html: node.html,
                                            why: node.failureSummary}))}))));
"""


@cache
def _script() -> str:
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    file = cache_folder / "kvasir-tests" / f"axe-core-{VERSION}" / "axe.min.js"
    if not file.exists():
        pytest.skip("axe-core is not here (scripts/install_system_packages.sh)")
    return file.read_text("utf-8")


def faults(driver) -> list[str]:
    """Return the serious faults of the page, one line for each element."""
    driver.execute_script(_script())
    found = []
    for each in driver.execute_async_script(_RUN):
        if each["impact"] not in SERIOUS:
            continue
        for node in each["nodes"]:
            why = " ".join(node["why"].split())
            found.append(f"{each['rule']}: {node['target']}: {node['html'][:200]}: {why}")
    return found
