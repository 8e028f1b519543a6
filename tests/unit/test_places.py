"""Where passages stand: the line of a text file as it is now, links, the words for a page."""

from __future__ import annotations

import os
import platform

import pytest

from kvasir.core.errors import DocumentNotFoundError
from kvasir.core.places import LineFinder, page_at, page_starts
from kvasir.core.types import Block, BlockKind, PageStart
from kvasir.frontends.cli.paths import location
from kvasir.frontends.cli.places import file_link

LINES = [
    "# The Moon", "", "It orbits the [Earth](https://example.org/a_b) at a **distance** of",
    "384,400 km.", "", "## Craters", "", "Many craters are old.",
    "", "## Air", "", "Many craters are old.",
]  # fmt: skip


def finder(text: str = "") -> LineFinder:
    return LineFinder(lambda _: text)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_line_of_a_passage_is_that_of_the_file(tmp_path, ending, encoding):
    path = tmp_path / "moon.md"
    path.write_bytes(ending.join(LINES).encode(encoding))
    extracted = "\n".join(LINES)

    def line(passage: str) -> int | None:
        return finder(extracted).line(str(path), "d", extracted.find(passage), passage)

    assert line("# The Moon") == 1
    assert line("It orbits the [Earth](https://example.org/a_b) at a **distance** of") == 3
    assert line("## Craters\n\nMany craters are old.") == 6
    assert finder().line(str(path), "d", 0, "It orbits the Earth at a distance") == 3
    assert finder().line(str(path), "d", 0, "Something that is not there") is None


def test_of_equal_passages_the_line_is_that_of_the_offset(tmp_path):
    path = tmp_path / "moon.md"
    path.write_text("\n".join(LINES))
    extracted = "\n".join(LINES)
    quote = "Many craters are old."
    offsets = extracted.find(quote), extracted.rfind(quote)
    found = [finder(extracted).line(str(path), "d", offset, quote) for offset in offsets]
    assert found == [8, 12]


def test_a_row_of_a_csv_file_is_found_by_its_cells(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("name;price\ntea;3.50\ncoffee;4.20\n")
    assert finder().line(str(path), "d", 0, "| coffee | 4.20 |") == 3


@pytest.mark.parametrize("name", ["moon.pdf", "moon.html", "gone.md", "folder.md", "pipe.md"])
def test_what_has_no_lines_has_none(tmp_path, name):
    path = tmp_path / name
    if name.startswith("folder"):
        path.mkdir()
    elif name.startswith("pipe"):
        os.mkfifo(path)
    elif name.startswith("moon"):
        path.write_text("The Moon")
    assert finder().line(str(path), "d", 0, "The Moon") is None
    assert finder().line("moon.md", "d", 0, "The Moon") is None
    assert finder().line("https://example.org/moon.md", "d", 0, "The Moon") is None


def test_a_document_that_was_deleted_meanwhile_has_no_line(tmp_path):
    path = tmp_path / "moon.md"
    path.write_text("\n".join(LINES))

    def gone(document_id: str) -> str:
        raise DocumentNotFoundError(document_id, "default")

    assert LineFinder(gone).line(str(path), "d", 0, "Many craters are old.") is None


def test_a_link_names_host_file_and_place(tmp_path):
    host = f"file://{platform.node()}"
    pdf, text = tmp_path / "a b\x1b.pdf", tmp_path / "ä.md"
    pdf.touch()
    text.touch()
    folder = tmp_path.as_posix()
    assert file_link(str(pdf), 3, None) == f"{host}{folder}/a%20b%1B.pdf#page=3"
    assert file_link(str(text), None, 12) == f"{host}{folder}/%C3%A4.md#12"
    assert file_link(str(text), None, None) == f"{host}{folder}/%C3%A4.md"
    assert file_link(str(tmp_path / "gone.md"), None, 1) == ""
    form = "vscode://file{path}:{line}"
    assert file_link(str(text), None, 12, form) == f"vscode://file{folder}/%C3%A4.md:12"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("/x/a.pdf", 3, None), "/x/a.pdf, page 3"),
        (("/x/a.pptx", 3, None), "/x/a.pptx, slide 3"),
        (("/x/a.xlsx", 2, None), "/x/a.xlsx, sheet 2"),
        (("/x/a.md", None, 7), "/x/a.md, line 7"),
        (("/x/a.md", None, None), "/x/a.md"),
    ],
)
def test_a_page_is_called_what_it_is(place, expected):
    assert location(*place) == expected


def test_the_page_of_an_offset_is_that_of_the_last_block_with_a_page():
    pages = [(0, None), (10, 1), (20, 1), (30, 2), (40, None), (50, 4)]
    starts = page_starts(
        [Block(BlockKind.PARAGRAPH, start, start + 9, page=page) for start, page in pages]
    )
    assert starts == (PageStart(10, 1), PageStart(30, 2), PageStart(50, 4))
    assert [page_at(starts, at) for at in (0, 9, 10, 29, 30, 49, 99)] == [None, None, 1, 1, 2, 2, 4]
    assert page_at((), 5) is None
