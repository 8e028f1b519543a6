"""The command line on documents and data sets that no one here wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

HOSTILE = {
    "encrypted.pdf": "encrypted",
    "empty.pdf": "empty",
}


@pytest.mark.xdist_group("documents")
def test_every_real_document_is_ingested_once(kvasir: Kvasir, shared_data: Path) -> None:
    folder = str(shared_data / "documents")
    first = kvasir("ingest", "--json", folder).json
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert (len(first["added"]), first["failed"]) == (len(files), [])
    again = kvasir("ingest", "--json", folder).json
    assert (len(again["unchanged"]), again["chunks_embedded"]) == (len(files), 0)
    assert kvasir("doctor", "--json").json["clean"]


@pytest.mark.xdist_group("documents")
def test_each_hostile_file_gets_its_own_line_and_the_rest_is_read(
    kvasir: Kvasir, shared_data: Path
) -> None:
    folder = shared_data / "hostile"
    report = kvasir("ingest", "--json", str(folder), code=4).json
    reasons = {Path(each["source_uri"]).name: each["reason"] for each in report["failed"]}
    assert reasons == HOSTILE
    assert [Path(each["source_uri"]).name for each in report["not_read"]] == ["random.bin"]
    assert len(report["added"]) == len(list(folder.iterdir())) - len(HOSTILE) - 1
    lines = kvasir("ingest", str(folder), code=4).err.splitlines()
    assert len([line for line in lines if line.startswith("failed: ")]) == len(HOSTILE)


@pytest.mark.xdist_group("xquad")
def test_answers_reach_their_figures(kvasir: Kvasir, shared_data: Path) -> None:
    figures = kvasir(
        "evaluate",
        "answers",
        "--json",
        str(shared_data / "retrieval" / "xquad-en"),
        "--off-topic",
        str(shared_data / "chunking" / "questions.jsonl"),
    ).json
    assert figures["questions"] == 1190
    assert figures["answer_recall"] >= 0.9
    assert figures["words"] <= 60
    assert figures["refused_off_topic"] >= 0.79
    assert figures["refused_off_topic"] + figures["unsure_off_topic"] >= 0.95
    assert figures["refused_on_topic"] <= 0.01
    # One answer of ten is wrong, and may well be not sure.
    assert figures["refused_on_topic"] + figures["unsure_on_topic"] <= 0.055
    assert figures["citation_validity"] == 1.0


def test_help_loads_neither_settings_nor_models() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['kvasir', '--help']\n"
        "from kvasir.frontends.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'pydantic', 'numpy', 'openvino', 'sqlalchemy', 'rich', 'yaml', 'qdrant_edge'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "Usage: kvasir" in done.stdout
    assert done.stderr.strip() == "[]"
