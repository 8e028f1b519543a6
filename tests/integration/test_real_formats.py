"""One file of each text-like format, as real programs wrote it: what is kept, cut and found.

``tests/data/formats/README.md`` says where the files come from.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvasir
from kvasir.collection import Collection
from kvasir.core.reports import IngestReport

FILES = Path(__file__).parents[1] / "data" / "formats"
OLD_OFFICE = {".doc", ".ppt", ".xls"}
needs_libreoffice = pytest.mark.skipif(
    not shutil.which("soffice"), reason="LibreOffice is not installed"
)

BISECT = ":mod:`bisect` --- Array bisection algorithm"
FOUND = [
    (
        "bisect.py",
        "insert an item to the right of equal items and keep the list sorted",
        ("insort_right",),
        "def insort_right(a, x,",
    ),
    ("funcs.c", "user-defined function add_one for int32", ("add_one",), "Datum\nadd_one("),
    ("advanced.sql", "SELECT cities located at an elevation of 500 ft or higher", (), ""),
    (
        "wrap.go",
        "whether any error in err's chain matches a target",
        ("Is",),
        "// Is reports whether",
    ),
    (
        "udiv128.rs",
        "multiply unsigned 128 bit integers, upper bits",
        ("u128_mulhi",),
        "/// Multiply",
    ),
    (
        "copybutton.js",
        "button to hide the prompts of code samples",
        ("div",),
        "/* Add a [>>>] button",
    ),
    ("cmp.bash", "compare assembly listings for different compiler flags", (), "# A simple script"),
    ("ci.yml", "schedule of the workflow cron", (), "name: CI"),
    (
        "package.json",
        "webpack dev dependencies of d3-pprof",
        (),
        "- name: d3-pprof\n- version: 2.0.0",
    ),
    (
        "bench.jsonl",
        "goos darwin goarch 386 benchmark",
        ("bench",),
        "| Action | Output | Test |\n| - | - | - |\n| output | goos: darwin |  |",
    ),
    (
        "pom.xml",
        "maven compiler source version of commons cli",
        ("project", "properties"),
        "- maven.compiler.source: 1.7",
    ),
    ("bisect.rst", "performance notes time sensitive code", (BISECT, "Performance Notes"), "When"),
    (
        "threadsafe.org",
        "compile-time parameter SQLITE_THREADSAFE",
        ("2. Compile-time selection of threading mode",),
        "Use the [[file:compile.html",
    ),
    (
        "inmemorydb.adoc",
        "temporary database file name empty string deleted when closed",
        ("In-Memory Databases", "Temporary Databases"),
        "",
    ),
    (
        "small2e.tex",
        "backslash after the period for too much space",
        ("Simple Text", "A Warning or Two"),
        "If you get too much space",
    ),
    (
        "talk.srt",
        "how many days before the ship arrives a berth is booked",
        (),
        "[00:00:01] Welcome to the harbour office.\n\n[00:00:04] A berth has to be booked two days "
        "before the ship arrives.",
    ),
    ("tower.vtt", "fog signals in a minute at the lighthouse", (), "[00:00:01] Welcome to the"),
    ("dpkg.log", "install libassuan0 libksba8", (), "2025-06-24 14:36:37 "),
    (
        "nbconvert.ipynb",
        "PelicanSubCell preprocessor keeps some of the cells",
        ("Using nbconvert as a library", "Example"),
        "from traitlets import Integer\nfrom nbconvert.preprocessors import Preprocessor",
    ),
    (
        "patches.mbox",
        "callers that pass a negative start",
        ("[PATCH 1/2] Say what a wrong start is",),
        "From: Ana Ruiz <ana@example.org>\nDate: Tue, 5 Mar 2024 09:00:00 +0000\n\nCallers that",
    ),
    (
        "zeroconf.rtf",
        "no server process, no setup: not installed before it is used",
        (),
        "Zero-Configuration\n\nZero-Configuration\n\nSQLite Is A Zero-Configuration Database\n\n",
    ),
    pytest.param(
        "serverless.doc",
        "better protection from bugs in the client application",
        ("1. SQLite Is Serverless",),
        "On the other hand, a database engine that uses a server",
        marks=needs_libreoffice,
    ),
    pytest.param(
        "rates.xls",
        "fee of the berths in the North region",
        ("rates",),
        "| Quarter | Region | Berths | Fee |",
        marks=needs_libreoffice,
    ),
    pytest.param(
        "slides.ppt",
        "serverless databases: no administrator is needed",
        (),
        "Serverless databases\n\nWhy no server\n\n- The process that wants data",
        marks=needs_libreoffice,
    ),
]


@pytest.fixture(scope="module")
def ingested(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Collection, IngestReport]]:
    folder = tmp_path_factory.mktemp("formats")
    for path in FILES.iterdir():
        if path.suffix == ".xz":
            (folder / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
        elif path.suffix != ".md":
            shutil.copy(path, folder)
    data = tmp_path_factory.mktemp("data")
    with kvasir.open(data_dir=data) as collection:
        yield collection, collection.ingest(*kvasir.files(folder))


def test_every_file_is_read(ingested: tuple[Collection, IngestReport]) -> None:
    _, report = ingested
    failed = {Path(each.source_uri).suffix: each for each in report.failed}
    if not shutil.which("soffice"):
        assert failed.keys() == OLD_OFFICE
        assert all("LibreOffice" in each.message for each in failed.values())
        assert all("\n" not in each.line for each in failed.values())
    else:
        assert not failed
    assert len(report.added) + len(failed) == len(list(FILES.iterdir())) - 1


@pytest.mark.parametrize(("name", "question", "headings", "beginning"), FOUND)
def test_a_search_finds_the_part_that_says_it(
    ingested: tuple[Collection, IngestReport],
    name: str,
    question: str,
    headings: tuple[str, ...],
    beginning: str,
) -> None:
    hit = ingested[0].search(question, top_k=1)[0]
    assert Path(str(hit.chunk.metadata["source_uri"])).name == name
    assert hit.chunk.headings == headings
    # A hit may begin with a neighbour that was found as well.
    assert f"\n\n{beginning}" in f"\n\n{hit.chunk.text}"
