"""Whether the process that holds a lease in the database has ended.

A lease ends by the database's clock. Where its process ran on this machine and has ended, nobody
needs to wait for that: a server that is started again goes on at once.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from uuid import uuid4

from kvasir.core.operating_system import process_namespace, read_proc

_MACHINE_LENGTH, _TOKEN_LENGTH = 8, 36


def has_ended(machine: str, pid: int, started: str) -> bool:
    """Return True if a process is known to have ended, by its machine, id and start time."""
    if not machine or machine != this_machine():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    found = process_start(pid)
    return found is not None and found != started


@cache
def this_machine() -> str:
    """Return an id of the boot and the process namespace, within which process ids are unique.

    Empty if the system does not have them: then leases end by the clock only.
    """
    boot, namespace = read_proc("sys/kernel/random/boot_id"), process_namespace()
    return f"{boot.strip()} {namespace}" if boot and namespace else ""


def process_start(pid: int) -> str | None:
    """Return the start time of a process, as pids are reused; empty for a zombie. See proc(5)."""
    if (found := read_proc(f"{pid}/stat")) is None:
        return None
    fields = found.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def new_token() -> str:
    """Return a token of a lease that says which process made it, where that can be told."""
    started = process_start(os.getpid())
    if not this_machine() or not started:
        return str(uuid4())
    return f"{_machine_digest()}.{os.getpid():x}.{int(started):x}.{uuid4().hex}"[:_TOKEN_LENGTH]


def token_prefix() -> str:
    """Return the beginning of the tokens of this machine's processes; empty if there are none."""
    return f"{_machine_digest()}." if this_machine() else ""


def is_abandoned(token: str) -> bool:
    """Return True if a token was made by a process of this machine that has ended."""
    machine, *rest = token.split(".")
    if machine != _machine_digest() or len(rest) != 3:
        return False
    pid, started = (int(each, 16) for each in rest[:2])
    return has_ended(this_machine(), pid, str(started))


@cache
def _machine_digest() -> str:
    return hashlib.sha256(this_machine().encode()).hexdigest()[:_MACHINE_LENGTH]
