"""Every word that docling finds in a document is found by our extractors too, in order.

The measure: the longest common subsequence of the words of ``NAME.expected.md`` (rendered,
so without Markdown's own signs and link addresses) and of our text, divided by the number of
expected words.
"""

import re
import unicodedata
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document
from kvasir.ingesting.extraction import ExtractionPool, Outcome

_DATA = Path(__file__).parents[2].parent / "shared" / "data"
_FOOTNOTE_MARK = re.compile(r"\[\^([^\]\s]+)\]")
_WORD = re.compile(r"[^\W_]+")
_LEAST = 0.95

pytestmark = pytest.mark.skipif(
    not _DATA.is_dir(), reason="the shared test documents are not on this machine"
)


def _files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((_DATA / folder).rglob("*.*"))]
    return [path for path in found if path.is_file() and not path.name.endswith(".expected.md")]


def _words(text: str) -> list[str]:
    """Returns the words; raised digits and footnote marks count as the digits that they are."""
    plain = _FOOTNOTE_MARK.sub(r"\1 ", unicodedata.normalize("NFKC", text))
    return _WORD.findall(plain.lower())


def _rendered(markdown: str) -> str:
    """Returns the words of Markdown; a cell over several columns, which it repeats, counts once.

    Our header of a table has one row, so it names the cell again with each column below it.
    """
    parts = []
    cell, before = "", ""
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        is_cell, before = before in ("th_open", "td_open"), token.type
        if token.type == "tr_open":
            cell = ""
        if is_cell and token.content == cell:
            continue
        if is_cell:
            cell = token.content
        if token.type in ("fence", "code_block"):
            parts.append(token.content)
        for child in token.children or ():
            if child.type in ("text", "text_special", "code_inline"):
                parts.append(child.content)
            elif child.type in ("softbreak", "hardbreak"):
                parts.append(" ")
        parts.append(" ")
    return "".join(parts)


def _common(expected: list[str], found: list[str]) -> int:
    """Returns the length of the longest common subsequence, by bit-parallel rows."""
    places: dict[str, int] = {}
    for place, word in enumerate(expected):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(expected)) - 1
    row = everything
    for word in found:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & everything
    return len(expected) - row.bit_count()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    files = _files("documents", "hostile", "docling-json")
    with ExtractionPool(workers=2) as pool:
        results = pool.map(files)
        return {str(Path(source.uri).relative_to(_DATA)): outcome for source, outcome in results}


_EXPECTED = [
    str(path.relative_to(_DATA)).removesuffix(".expected.md")
    for path in sorted((_DATA / "documents").rglob("*.expected.md"))
]


def test_every_document_is_extracted(outcomes: dict[str, Outcome]) -> None:
    failed = {
        name: str(outcome)
        for name, outcome in outcomes.items()
        if name.startswith("documents") and not isinstance(outcome, Document)
    }
    assert not failed


@pytest.mark.parametrize("name", _EXPECTED)
def test_a_document_keeps_its_words_in_order(name: str, outcomes: dict[str, Outcome]) -> None:
    document = outcomes[name]
    assert isinstance(document, Document), str(document)
    markdown = (_DATA / f"{name}.expected.md").read_text(encoding="utf-8")
    expected = _words(_rendered(markdown))
    assert _common(expected, _words(document.text)) / len(expected) >= _LEAST


def test_blocks_follow_each_other_and_hold_all_words(outcomes: dict[str, Outcome]) -> None:
    for name, document in outcomes.items():
        if not isinstance(document, Document):
            continue
        end = 0
        for block in document.blocks:
            assert end <= block.start < block.end <= len(document.text), name
            between = document.text[end : block.start]
            # Markdown keeps the file's own text: rules, comments and front matter stay in it.
            assert name.endswith(".md") or not between.strip(), (name, between)
            assert document.text[block.start : block.end].strip(), name
            assert (block.level is not None) == (block.kind is BlockKind.HEADING), name
            end = block.end
        assert name.endswith(".md") or not document.text[end:].strip(), name


def test_markdown_text_is_the_text_of_the_file_without_comments(
    outcomes: dict[str, Outcome],
) -> None:
    for path in _files("documents/md"):
        document = outcomes[str(path.relative_to(_DATA))]
        assert isinstance(document, Document)
        text = path.read_bytes().decode("utf-8")
        assert document.text == re.sub(r"<!--.*?-->[^\S\n]*", "", text, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("name", "reason", "advice"),
    [
        ("empty.pdf", "empty", "nothing to index"),
        ("encrypted.pdf", "encrypted", "password"),
        ("random.bin", "unsupported", "no known format"),
    ],
)
def test_hostile_files_get_a_reason_of_their_own(
    name: str, reason: str, advice: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[f"hostile/{name}"]
    assert isinstance(outcome, ExtractionError)
    assert outcome.reason == reason
    assert advice in str(outcome)
    assert "\n" not in str(outcome)


@pytest.mark.parametrize(
    ("name", "words", "pages"),
    [
        ("multipage.pdf", "Page", {1, 2}),
        ("owner_protected.pdf", "Hello World", {1}),
        ("pdf_encrypted.pdf", "This document is a placeholder", {1}),
        ("powerpoint_malformed_pictures.pptx", "", None),
    ],
)
def test_hostile_files_that_can_be_read_are_read(
    name: str, words: str, pages: set[int] | None, outcomes: dict[str, Outcome]
) -> None:
    document = outcomes[f"hostile/{name}"]
    assert isinstance(document, Document), str(document)
    assert words.lower() in document.text.lower()
    assert pages is None or {block.page for block in document.blocks} == pages


def test_docling_json_is_read_in_both_versions_and_broken_files_are_reported(
    outcomes: dict[str, Outcome],
) -> None:
    docling = {name: item for name, item in outcomes.items() if name.startswith("docling-json")}
    assert docling
    for name, outcome in docling.items():
        if "error-" in name:
            assert isinstance(outcome, ExtractionError), name
            assert outcome.reason == "malformed"
            assert "broken docling JSON" in str(outcome)
        else:
            assert isinstance(outcome, Document), f"{name}: {outcome}"


@pytest.mark.parametrize(
    ("converted", "original"),
    [
        ("v1/2305.03393v1-pg9.json", "pdf/2305.03393v1-pg9.pdf"),
        ("v2/2305.03393v1-pg9.json", "pdf/2305.03393v1-pg9.pdf"),
        ("v1/multi_page.json", "pdf/multi_page.pdf"),
        ("v2/multi_page.json", "pdf/multi_page.pdf"),
        ("v2/right_to_left_01.json", "pdf/right_to_left_01.pdf"),
        ("v2/wiki_duck.html.json", "html/wiki_duck.html"),
        ("v2/word_tables.docx.json", "docx/word_tables.docx"),
    ],
)
def test_docling_json_holds_the_words_of_what_it_was_made_from(
    converted: str, original: str, outcomes: dict[str, Outcome]
) -> None:
    document = outcomes[f"docling-json/{converted}"]
    assert isinstance(document, Document)
    expected_path = _DATA / "documents" / f"{original}.expected.md"
    expected = _words(_rendered(expected_path.read_text(encoding="utf-8")))
    assert _common(expected, _words(document.text)) / len(expected) >= _LEAST
