"""The contract of every splitter: subclass it and override one fixture.

    class TestMySplitter(SplitterContract):
        @pytest.fixture
        def splitter(self):
            return MySplitter()

A heading or term may be left out of every chunk's text if it stands in the ``headings`` of one;
furniture must not be in any; everything else of a document must be found in its chunks.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from kvasir.core.protocols import Splitter
from kvasir.core.types import Block, BlockKind, Chunk, Document, chunk_id, document_id

Part = tuple[BlockKind, str, int | None, int | None]
"""Kind, text, level and page of a block."""

_MARKS = {BlockKind.HEADING: r"\A#{1,6}\s", BlockKind.TERM: r"\A[-*+]\s|[:：]\Z"}
"""Signs that a heading or term has in the text and not in a heading path."""
_TABLE = "| Name | Kind |\n|---|---|\n" + "\n".join(f"| Vessel {n} | pot {n} |" for n in range(120))
_FILLER = "The mead of poetry was kept in three vessels. Odin drank them all, it is said. "
_PARTS: tuple[Part, ...] = (
    (BlockKind.PARAGRAPH, "A foreword before any heading.", None, 1),
    (BlockKind.HEADING, "Kvasir", 1, 1),
    (BlockKind.PARAGRAPH, "He was so wise (cf. Skáldsk. 5). " + _FILLER * 20, None, 1),
    (BlockKind.HEADING, "A heading with nothing under it", 2, 1),
    (BlockKind.HEADING, "The dwarfs", 2, 2),
    (BlockKind.PARAGRAPH, "Fjalar and Galar made mead of his blood. 😀 Naïve façade.", None, 2),
    (BlockKind.LIST, "- Fjalar\n- Galar\n- " + "Gilling and his wife, " * 40, None, 2),
    (BlockKind.HEADING, "Vessels", 3, 2),
    (BlockKind.TABLE, _TABLE, None, 3),
    (BlockKind.CAPTION, "Table 1: the vessels", None, 3),
    (BlockKind.HEADING, "其他语言", 1, 4),
    (BlockKind.PARAGRAPH, "克瓦希尔非常聪明。没有人能问倒他！" * 60, None, 4),
    (BlockKind.CODE, "def mead(litres):\n    return litres * 3\n\n\nprint(mead(2))", None, 4),
    (BlockKind.PARAGRAPH, "Wordwithoutanyspaces" * 200, None, 5),
    (BlockKind.PARAGRAPH, _FILLER * 20, None, 5),
    (BlockKind.TERM, "- Bodn:", 7, 5),
    (BlockKind.PARAGRAPH, "A vessel. " + _FILLER * 12, None, 5),
    (BlockKind.CODE, "litres = 3", None, 5),
    (BlockKind.TERM, "- Odrerir:", 7, 5),
    (BlockKind.PARAGRAPH, "Not a vessel.", None, 5),
    (BlockKind.PARAGRAPH, "After the terms.", 6, 5),
    (BlockKind.FURNITURE, "Previous page | Next page", None, 5),
    (BlockKind.HEADING, "The end", 1, 6),
)


def make_document(parts: tuple[Part, ...] = _PARTS, uri: str = "kvasir.md") -> Document:
    """Return a document with these blocks, blank lines between them."""
    text, blocks = "", []
    for kind, piece, level, page in parts:
        text += "\n\n" if text else ""
        blocks.append(Block(kind, len(text), len(text) + len(piece), page, level))
        text += piece
    return Document(document_id(uri), uri, "Of Kvasir", text, tuple(blocks), {"language": "en"})


def plain_document(text: str, uri: str = "plain.txt") -> Document:
    """Return a document without blocks."""
    return Document(document_id(uri), uri, "Plain", text)


DOCUMENTS = (
    make_document(),
    plain_document("One paragraph.\n\nAnother one. " + _FILLER * 30 + "\n\n\fA new page.\n"),
    plain_document("Same line.\n" * 500),
    plain_document("  \n\tleading and trailing white space \n\n "),
    plain_document("x"),
)


def uncovered(document: Document, chunks: list[Chunk]) -> str:
    """Return the parts of a text but furniture that are in no chunk, without white space."""
    covered = [(chunk.start, chunk.end) for chunk in chunks]
    for block in document.blocks:
        mark = _MARKS.get(block.kind, "")
        title = re.sub(mark, "", document.text[block.start : block.end].strip())
        is_kept = any(" ".join(title.split()) in chunk.headings for chunk in chunks)
        if block.kind is BlockKind.FURNITURE or (mark and is_kept):
            covered.append((block.start, block.end))
    letters = list(document.text)
    for start, end in covered:
        letters[start:end] = " " * (end - start)
    return "".join("".join(letters).split())


class SplitterContract:
    """What must hold for every splitter; see the module on how to use it."""

    @pytest.fixture
    def splitter(self) -> Splitter:
        raise NotImplementedError("override the fixture 'splitter'")

    @pytest.fixture(params=range(len(DOCUMENTS)), ids=lambda n: f"document{n}")
    def document(self, request: pytest.FixtureRequest) -> Document:
        """Documents with every kind of block, and with none."""
        return DOCUMENTS[request.param]

    def test_a_chunk_is_a_span_of_its_document(
        self, splitter: Splitter, document: Document
    ) -> None:
        chunks = splitter.split(document)
        assert chunks
        for chunk in chunks:
            assert chunk.text == document.text[chunk.start : chunk.end]
            assert chunk.document_id == document.id

    def test_no_chunk_is_empty(self, splitter: Splitter, document: Document) -> None:
        assert all(chunk.text.strip() for chunk in splitter.split(document))

    def test_nothing_of_the_text_is_lost(self, splitter: Splitter, document: Document) -> None:
        assert uncovered(document, splitter.split(document)) == ""

    def test_furniture_is_in_no_chunk(self, splitter: Splitter) -> None:
        parts: tuple[Part, ...] = (
            (BlockKind.FURNITURE, "Home | Search", None, None),
            (BlockKind.HEADING, "Kvasir", 1, None),
            (BlockKind.FURNITURE, "Available languages", None, None),
            (BlockKind.TERM, "- Mead:", 7, None),
            (BlockKind.FURNITURE, "Print this page", None, None),
            (BlockKind.PARAGRAPH, "A drink.", None, None),
            (BlockKind.FURNITURE, "Previous | Next", None, None),
        )
        document = make_document(parts)
        chunks = splitter.split(document)
        text = " ".join(chunk.passage for chunk in chunks)
        for kind, piece, _, _ in parts:
            wanted = piece.removeprefix("- ").rstrip(": ")
            assert (wanted in text) is (kind is not BlockKind.FURNITURE), piece

    def test_chunks_are_in_order_and_each_brings_something_new(
        self, splitter: Splitter, document: Document
    ) -> None:
        chunks = splitter.split(document)
        for before, chunk in pairwise(chunks):
            assert before.start < chunk.start
            assert before.end < chunk.end

    def test_ids_are_unique_and_made_of_content_and_span(
        self, splitter: Splitter, document: Document
    ) -> None:
        chunks = splitter.split(document)
        assert len({chunk.id for chunk in chunks}) == len(chunks)
        for chunk in chunks:
            assert chunk.id == chunk_id(document.id, chunk.passage, chunk.start, chunk.end)

    def test_the_same_document_gives_the_same_chunks(
        self, splitter: Splitter, document: Document
    ) -> None:
        assert splitter.split(document) == splitter.split(replace(document))

    def test_metadata_of_the_document_its_source_and_title_are_carried(
        self, splitter: Splitter
    ) -> None:
        document = replace(make_document(), metadata={"author": "Snorri", "year": 1220})
        for chunk in splitter.split(document):
            assert dict(chunk.metadata) == {
                "author": "Snorri",
                "year": 1220,
                "source_uri": document.source_uri,
                "title": document.title,
            }

    def test_the_page_is_that_on_which_a_chunk_starts(self, splitter: Splitter) -> None:
        document = make_document()
        for chunk in splitter.split(document):
            first = chunk.end - len(chunk.text.lstrip())
            pages = [block.page for block in document.blocks if block.start <= first]
            assert chunk.page == pages[-1]

    def test_form_feeds_count_pages_where_blocks_do_not(self, splitter: Splitter) -> None:
        long = "\f".join(f"Page {number}. " + _FILLER * 20 for number in (1, 2, 3))
        document = plain_document(long)
        for chunk in splitter.split(document):
            first = chunk.end - len(chunk.text.lstrip())
            assert chunk.page == document.text.count("\f", 0, first) + 1

    def test_a_document_without_pages_gives_none(self, splitter: Splitter) -> None:
        assert all(chunk.page is None for chunk in splitter.split(plain_document("A. B.")))

    @pytest.mark.parametrize("text", ["", " ", "\n\n\f\t"])
    def test_a_document_without_text_gives_no_chunks(self, splitter: Splitter, text: str) -> None:
        assert splitter.split(plain_document(text)) == []

    def test_threads_may_share_a_splitter(self, splitter: Splitter) -> None:
        documents = [plain_document(_FILLER * n, f"{n}.txt") for n in range(1, 30)]
        expected = [splitter.split(document) for document in documents]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(splitter.split, documents)) == expected
