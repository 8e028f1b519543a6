import pytest
from pdf_files import Text, make_pdf

from kvasir.components.extractors.pdf import PdfExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_SOURCE = Source("/folder/file.pdf", "application/pdf")
_WORDS = [
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta"),
    *("eta", "theta", "iota", "kappa", "lambda", "mu"),
]


def _blocks(document: Document) -> list[tuple[str, str]]:
    return [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]


def _line(number: int, side: str) -> str:
    return f"{side}{number} " + " ".join(_WORDS[(number + i) % 12] for i in range(6))


def test_columns_are_read_one_after_the_other_even_if_written_row_by_row() -> None:
    page: list[Text] = [(60, 740, 20, "A title across both columns of the page")]
    for number in range(20):
        y = 700 - 14 * number
        page += [(60, y, 10, _line(number, "left")), (330, y, 10, _line(number, "right"))]
    document = PdfExtractor().extract(_SOURCE, make_pdf([page]))
    assert _blocks(document)[0] == ("heading", "A title across both columns of the page")
    text = document.text
    assert text.index("left0") < text.index("left19") < text.index("right0") < text.index("right19")
    assert {block.page for block in document.blocks} == {1}


def test_wrapped_lines_become_paragraphs_and_hyphens_go() -> None:
    lines = ["Small rivers carry much sedi-", "ment to the sea, and well-known", "ones more."]
    page = [(60, 700 - 13 * number, 11, line) for number, line in enumerate(lines)]
    page += [(60, 640, 11, "A second paragraph stands apart from it.")]
    document = PdfExtractor().extract(_SOURCE, make_pdf([page]))
    assert _blocks(document) == [
        ("paragraph", "Small rivers carry much sediment to the sea, and well-known ones more."),
        ("paragraph", "A second paragraph stands apart from it."),
    ]


def test_headings_have_levels_by_their_size() -> None:
    page: list[Text] = [(60, 740, 22, "Great"), (60, 700, 15, "Lesser"), (60, 500, 15, "Next")]
    page += [(60, 670 - 13 * n, 11, " ".join(_WORDS)) for n in range(8)]
    document = PdfExtractor().extract(_SOURCE, make_pdf([page]))
    levels = {
        document.text[block.start : block.end]: block.level
        for block in document.blocks
        if block.kind is BlockKind.HEADING
    }
    assert levels == {"Great": 1, "Lesser": 2, "Next": 2}
    assert document.title == "Great"


def test_running_heads_stand_once_and_page_numbers_go() -> None:
    pages = [
        [
            (60, 770, 9, "Annual report of the company"),
            (60, 600, 11, f"Body number {number} with words of its own."),
            (300, 20, 9, f"{number}"),
        ]
        for number in range(1, 6)
    ]
    document = PdfExtractor().extract(_SOURCE, make_pdf(pages))
    assert document.text.count("Annual report") == 1
    assert [block.page for block in document.blocks] == [1, 1, 2, 3, 4, 5]
    assert not any(text.isdigit() for _, text in _blocks(document))


def test_a_table_that_goes_on_keeps_its_header_on_the_next_page() -> None:
    def row(y: float, *cells: str) -> list[Text]:
        return [(60 + 150 * place, y, 10, cell) for place, cell in enumerate(cells)]

    first = [(60.0, 740.0, 10.0, "The list of all parts follows here, over two pages of paper.")]
    first += row(700, "Part", "Colour", "Price")
    for number in range(5):
        first += row(680 - 20 * number, f"bolt{number}", "red", f"{number}.50")
    second: list[Text] = []
    for number in range(5, 9):
        second += row(700 - 20 * (number - 5), f"bolt{number}", "blue", f"{number}.50")
    document = PdfExtractor().extract(_SOURCE, make_pdf([first, second]))
    tables = [text for kind, text in _blocks(document) if kind == "table"]
    assert len(tables) == 2
    assert [table.splitlines()[0] for table in tables] == ["| Part | Colour | Price |"] * 2
    assert "| bolt7 | blue | 7.50 |" in tables[1]


def test_lists_and_code_are_told_from_paragraphs() -> None:
    page = [(60, 700, 11, "1. First thing"), (60, 686, 11, "2. Second thing")]
    document = PdfExtractor().extract(_SOURCE, make_pdf([page]))
    assert _blocks(document) == [("list", "1. First thing\n2. Second thing")]
    page = [(60, 700, 10, "def f\\(\\):"), (84, 688, 10, "return 1")]
    document = PdfExtractor().extract(_SOURCE, make_pdf([page], font="Courier"))
    assert _blocks(document) == [("code", "def f():\n    return 1")]


def test_a_cut_off_file_is_reported_as_damaged() -> None:
    with pytest.raises(ExtractionError, match="damaged") as caught:
        PdfExtractor().extract(_SOURCE, b"%PDF-1.4\n1 0 obj\n<<")
    assert caught.value.reason == "malformed"
