"""The state or adapter that a folder of tuning has promoted, and that a generator uses from there.

``promoted.json`` names it. Until something was promoted the folder stands for the plain base.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import ComponentError, SettingsError, WireError
from kvasir.core.replaced_files import replace_text
from kvasir.core.wire import dumps, loads

RECORD = "promoted.json"


@dataclass(frozen=True, slots=True)
class Promoted:
    """What is used.

    Attributes:
        kind: ``state``, ``lora`` or ``pissa``.
        file: The state or the adapter, relative to the folder.
        base: Fingerprint of the base.
        round: Number of the round of tuning that made it.
    """

    kind: str
    file: str
    base: str
    round: int


def read_promoted(folder: Path) -> Promoted | None:
    """Return what was promoted; None if nothing was yet.

    Raises:
        SettingsError: There is no such folder.
        ComponentError: The record is damaged.
    """
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder of tuning")
    path = folder / RECORD
    try:
        return loads(Promoted, path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, WireError) as error:
        raise ComponentError("rwkv", "reading what was promoted", f"{path}: {error}") from error


def write_promoted(folder: Path, promoted: Promoted) -> None:
    """Promote a state or an adapter, in one step."""
    content = dumps(promoted, indent=2) + "\n"
    replace_text(folder / RECORD, content)


def promoted_files(folder: Path) -> tuple[str | None, str | None]:
    """Return the state and the adapter that were promoted: one of them, or none.

    Raises:
        SettingsError: There is no such folder.
        ComponentError: The record is damaged.
    """
    promoted = read_promoted(folder)
    if promoted is None:
        return None, None
    file = str(folder / promoted.file)
    return (file, None) if promoted.kind == "state" else (None, file)
