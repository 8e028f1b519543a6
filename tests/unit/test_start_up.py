"""Commands start quickly: their help and their lists import nothing that they do not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kvasir.frontends.cli.main import COMMANDS

_IMPORTS = """
import json, sys
from kvasir.frontends.cli.main import COMMANDS, cli
for name in json.loads(sys.argv[1]):
    command = cli.get_command(None, name)
    command.get_help(command.make_context(name, [], resilient_parsing=True))
print(json.dumps(sorted(sys.modules)))
"""
_LISTING = """
import importlib, json, sys
for name in ("kvasir.app", "kvasir.frontends.cli.documents"):
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def modules(code: str, *arguments: str) -> set[str]:
    """Return the modules that a new process has imported."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    found: set[str] = set(json.loads(done.stdout.splitlines()[-1]))
    return found


def test_the_help_of_every_command_needs_neither_database_nor_arrays_nor_models() -> None:
    imported = modules(_IMPORTS, json.dumps(list(COMMANDS)))
    unneeded = {"numpy", "sqlalchemy", "prompt_toolkit", "httpx", "openvino", "kvasir.app"}
    assert not imported & unneeded


def test_a_list_of_documents_needs_neither_arrays_nor_answers() -> None:
    unneeded = {"numpy", "openvino", "qdrant_edge", "kvasir.answering.answers"}
    assert not modules(_LISTING) & unneeded


@pytest.mark.parametrize("arguments", [["nosuch", "--json"], ["--help"], ["search", "--help"]])
def test_a_reader_that_is_gone_gets_no_traceback(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "kvasir", *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr.replace("Error: no such command", "")
