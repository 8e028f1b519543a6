"""The manual's table of what is kept of each format says what the extractors do."""

import json
import re
from pathlib import Path

import pytest

from kvasir.components.splitters.structure import StructureSplitter
from kvasir.core.types import Source
from kvasir.ingesting.extraction_child import extract

MANUAL = (Path(__file__).parents[2] / "docs" / "documents.md").read_text("utf-8")
CELL = re.compile(r"read(?:[:;, ].*)?|left out(?: of chunks)?: \S.*|cannot occur(?:: \S.*)?")
NAMED_OTHERWISE = {
    "Plain text": {"text, logs"},
    "Source code": {"code, configuration"},
    "Configuration": {"code, configuration"},
    "JSON, XML": {"JSON, XML"},
    "HTML and XHTML": {"HTML"},
    "Word": {"DOCX"},
    "PowerPoint": {"PPTX"},
    "Excel": {"XLSX"},
    "CSV and TSV": {"CSV, TSV"},
    "OpenDocument": {"ODT", "ODS", "ODP"},
    "Mail": {"mail, mailboxes"},
}
IN_WORDS = {"Old Office files", "Images", "Docling JSON"}
"""Formats that have no column, because a sentence above the table says all of them."""


def _rows(first: str) -> list[list[str]]:
    """Return the rows of the manual's table whose first cell is this."""
    start = MANUAL.index(f"\n| {first} |") + 1
    lines = MANUAL[start : MANUAL.index("\n\n", start)].split("\n")
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


HEAD, _, *ROWS = _rows("kind | text, logs")
TABLE = {row[0]: dict(zip(HEAD[1:], row[1:], strict=True)) for row in ROWS}


def test_every_cell_says_read_or_left_out_or_cannot_occur() -> None:
    assert len(TABLE) == len(ROWS) >= 30
    for kind, cells in TABLE.items():
        for column, cell in cells.items():
            assert CELL.fullmatch(cell), (kind, column, cell)


def test_every_format_that_is_read_has_a_column() -> None:
    formats = [row[0] for row in _rows("format | file names")[2:]]
    expected: set[str] = set()
    for name in formats:
        if name not in IN_WORDS:
            expected |= NAMED_OTHERWISE.get(name, {name if name in HEAD else name.lower()})
    assert set(HEAD[1:]) == expected


def _notebook(**cell: object) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "Words.", **cell}]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def _mail(body: str, kind: str = "plain") -> str:
    return f"From: a@example.org\nSubject: x\nContent-Type: text/{kind}\n\n{body}\n"


_WORDS = "<p>These words say what the page is for.</p>" * 3
_BASE64 = "harbour" * 80
PROBES = [
    ("link targets", "Markdown", "a.md", "[the form](https://example.org/harbour)\n"),
    ("link targets", "JSON, XML", "a.json", '{"form": "https://example.org/harbour"}'),
    ("link targets", "markup", "a.rst", "The `form <https://example.org/harbour>`_.\n"),
    ("link targets", "HTML", "a.html", '<p><a href="https://example.org/harbour">form</a></p>'),
    (
        "link targets",
        "RTF",
        "a.rtf",
        r'{\rtf1 {\field{\*\fldinst{HYPERLINK "https://x.org/harbour"}}{\fldrslt form}}\par}',
    ),
    (
        "link targets",
        "mail, mailboxes",
        "a.eml",
        _mail('<a href="https://harbour.org">a</a>', "html"),
    ),
    ("comments, annotations", "Markdown", "a.md", "Words.\n\n<!-- harbour -->\n"),
    ("comments, annotations", "code, configuration", "a.py", "# harbour\ndef f():\n    return 1\n"),
    ("comments, annotations", "code, configuration", "a.yaml", "# harbour\na:\n  b: 1\n"),
    ("comments, annotations", "JSON, XML", "a.xml", "<a><!-- harbour --><b>Words.</b></a>"),
    ("comments, annotations", "markup", "a.rst", "Words.\n\n.. harbour\n"),
    ("comments, annotations", "markup", "a.tex", "\\section{A}\nWords.\n% harbour\n"),
    ("comments, annotations", "markup", "a.adoc", "= A\n\nWords.\n\n// harbour\n"),
    ("comments, annotations", "markup", "a.org", "* A\nWords.\n# harbour\n"),
    (
        "comments, annotations",
        "subtitles",
        "a.vtt",
        "WEBVTT\n\nNOTE harbour\n\n00:01.000 --> 00:02.000\nWords.\n",
    ),
    ("comments, annotations", "HTML", "a.html", "<p>Words.</p><!-- harbour -->"),
    ("comments, annotations", "RTF", "a.rtf", r"{\rtf1 Words{\*\annotation harbour}.\par}"),
    ("footnotes and endnotes", "Markdown", "a.md", "Words.[^1]\n\n[^1]: The harbour.\n"),
    ("footnotes and endnotes", "markup", "a.rst", "Words [1]_.\n\n.. [1] The harbour.\n"),
    ("footnotes and endnotes", "RTF", "a.rtf", r"{\rtf1 Words{\footnote The harbour}.\par}"),
    ("headers and footers", "RTF", "a.rtf", r"{\rtf1{\header harbour}Words.\par}"),
    ("form fields", "HTML", "a.html", '<form>Place <input name="a" value="harbour"></form>'),
    (
        "form fields",
        "RTF",
        "a.rtf",
        r"{\rtf1 Words {\field{\*\fldinst FORMTEXT}{\fldrslt harbour}}\par}",
    ),
    ("picture descriptions", "Markdown", "a.md", "![The harbour](a.png)\n"),
    ("picture descriptions", "HTML", "a.html", '<p>Words.</p><img src="a.png" alt="The harbour">'),
    ("charts, diagrams", "HTML", "a.html", '<p>Words.</p><svg aria-label="The harbour"></svg>'),
    (
        "attachments, embedded files",
        "notebooks",
        "a.ipynb",
        _notebook(attachments={"a.png": {"image/png": "harbour"}}),
    ),
    (
        "attachments, embedded files",
        "mail, mailboxes",
        "a.eml",
        "From: a@example.org\nSubject: x\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nWords.\n'
        '--b\nContent-Type: text/plain\nContent-Disposition: attachment; filename="a.txt"\n\n'
        "The harbour.\n--b--\n",
    ),
    ("tables in cells", "HTML", "a.html", _WORDS + "<table><tr><th>a<th>b<tr><td>1<td><table>"
     "<tr><td>harbour<td>2</table></table>"),
    ("definitions", "HTML", "a.html", "<dl><dt>Mole<dd>It closes a harbour.</dl>"),
    ("definitions", "Markdown", "a.md", "Mole\n: It closes a harbour.\n"),
    ("nested lists", "HTML", "a.html", "<ul><li>a<ul><li>harbour</ul></ul>"),
    ("nested lists", "RTF", "a.rtf", r"{\rtf1 {\pard\ls1\ilvl1 harbour\par}}"),
    ("pictures in base64", "Markdown", "a.md", f"Words. ![a](data:image/png;base64,{_BASE64})\n"),
    ("pictures in base64", "text, logs", "a.txt", f"Words.\ndata:image/png;base64,{_BASE64}\n"),
    ("pictures in base64", "HTML", "a.html", f'<p>Words.</p><img src="data:a;base64,{_BASE64}">'),
    ("scripts, hidden text", "HTML", "a.html", "<p>Words.</p><p hidden>harbour</p>"),
    ("scripts, hidden text", "HTML", "a.html", "<p>Words.</p><script>harbour()</script>"),
    ("scripts, hidden text", "mail, mailboxes", "a.eml",
     _mail('<p>Words.</p><p style="display:none">harbour</p>', "html")),
    ("scripts, hidden text", "Markdown", "a.md", "Words.\n\n<script>harbour()</script>\n"),
    ("hidden sheets, rows, columns, slides", "HTML", "a.html",
     "<table><tr><th>a<th>b<tr><td>1<td>2<tr hidden><td>harbour<td>2</table>"),
    ("navigation", "HTML", "a.html", f'<nav><a href="h.html">harbour</a></nav>{_WORDS}'),
    ("metadata with types", "Markdown", "a.md", "---\nplace: harbour\n---\n\nWords.\n"),
    ("metadata with types", "HTML", "a.html",
     '<html><head><meta name="author" content="harbour"></head><p>Words.</p></html>'),
    ("metadata with types", "RTF", "a.rtf", r"{\rtf1{\info{\title The harbour}}Words.\par}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "column", "name", "content"),
    PROBES,
    ids=[f"{kind} in {name}" for kind, _, name, _ in PROBES],
)
def test_a_file_shows_what_its_cell_says(kind: str, column: str, name: str, content: str) -> None:
    reply = extract(Source(f"/folder/{name}", ""), content.encode())
    assert reply.document is not None, reply.message
    document, cell = reply.document, TABLE[kind][column]
    chunks = " ".join(chunk.passage for chunk in StructureSplitter().split(document))
    kept = f"{document.text} {document.title} {dict(document.metadata)}"
    if cell.startswith("left out of chunks"):
        assert ("harbour" in kept, "harbour" in chunks) == (True, False)
    else:
        assert ("harbour" in kept) is cell.startswith("read")
