import pytest
from pdf_files import Text, make_pdf
from raw_pdf import Page as RawPage
from raw_pdf import RawPdf

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


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ("it was inspected by the inter-", "national office", "the international office"),
        ("it was built by Ann Smith-", "Jones of Acme", "Ann Smith-Jones of Acme"),
        ("the oldest is the model A-", "1 of the maker", "the model A-1 of the maker"),
        ("it was in use from 1998-", "2004 by the town", "from 1998-2004 by the town"),
        ("it has rooms of pre-", "and postwar times", "rooms of pre- and postwar times"),
        ("it is read by the INTER-", "NATIONAL OFFICE", "the INTERNATIONAL OFFICE"),
    ],
)
def test_a_hyphen_that_belongs_to_a_word_stays(first: str, second: str, text: str) -> None:
    data = make_pdf([[(72, 700, 12, first), (72, 686, 12, second)]])
    assert text in PdfExtractor().extract(Source("f.pdf", ""), data).text


def test_a_word_cut_at_the_end_of_a_page_keeps_its_hyphen_and_its_foot_apart() -> None:
    first = [(72, 700, 12, "The pump was"), (72, 686, 12, "inspected by the inter-")]
    pages = [[*first, (72, 40, 12, "Confidential")], [(72, 700, 12, "national office in May.")]]
    blocks = _blocks(PdfExtractor().extract(Source("f.pdf", ""), make_pdf(pages)))
    assert [text for _, text in blocks] == [
        "The pump was inspected by the inter-",
        "Confidential",
        "national office in May.",
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


def _row(y: float, *cells: str) -> list[Text]:
    return [(60 + 150 * place, y, 10, cell) for place, cell in enumerate(cells)]


@pytest.mark.parametrize("count", [1, 4])
def test_numbers_of_a_table_that_reaches_into_the_margins_stay(count: int) -> None:
    pages: list[list[Text]] = []
    for page in range(1, count + 1):
        rows = [(f"Item{page}{n}", str(page * n % 7), str(9 * n)) for n in range(1, 37)]
        pages.append([text for n, row in enumerate(rows) for text in _row(760 - 20 * n, *row)])
    document = PdfExtractor().extract(_SOURCE, make_pdf(pages))
    for page in range(1, count + 1):
        for n in range(1, 37):
            assert f"| Item{page}{n} | {page * n % 7} | {9 * n} |" in document.text


@pytest.mark.parametrize("words", ["Total", "Price"])
def test_rows_of_equal_words_with_different_numbers_stay(words: str) -> None:
    pages = [
        [
            (60, 760, 10, f"Body number {number} with words of its own."),
            *_row(25, words, f"{number * 17 % 29}.50"),
        ]
        for number in range(1, 6)
    ]
    text = PdfExtractor().extract(_SOURCE, make_pdf(pages)).text
    assert all(f"{number * 17 % 29}.50" in text for number in range(1, 6))
    assert text.count(words) == 5


def test_a_number_that_no_other_page_counts_on_stays() -> None:
    pages: list[list[Text]] = [
        [(60, 600, 11, f"Body number {number}."), (300, 20, 9, number)]
        for number in ("45", "12", "3")
    ]
    text = PdfExtractor().extract(_SOURCE, make_pdf(pages)).text
    assert [line for line in text.split() if line.isdigit()] == ["45", "12", "3"]


def test_numbers_that_belong_to_words_or_stamps_stay_on_every_page() -> None:
    pages: list[list[Text]] = [
        [
            (60, 770, 20, f"Lesson {number}"),
            (60, 600, 11, f"Body words of page {number} that go on for a while, and end."),
            (60, 30, 9, f"Invoice {number}"),
            (300, 15, 9, f"ABC{number:06}"),
        ]
        for number in range(1, 5)
    ]
    text = PdfExtractor().extract(_SOURCE, make_pdf(pages)).text
    for number in range(1, 5):
        assert f"Lesson {number}" in text
        assert f"Invoice {number}" in text
        assert f"ABC{number:06}" in text


@pytest.mark.parametrize("foot", ["Page {} of 4", "- {} -", "{} | Handbook", "Handbook | Page {}"])
def test_page_numbers_go_in_every_form(foot: str) -> None:
    pages: list[list[Text]] = [
        [(60, 600, 11, "Some words of the body."), (300, 20, 9, foot.format(number))]
        for number in range(1, 5)
    ]
    text = PdfExtractor().extract(_SOURCE, make_pdf(pages)).text
    assert not any(foot.format(number) in text for number in (2, 3, 4))


def test_a_page_number_beside_the_name_of_a_chapter_goes() -> None:
    pages = [
        [*_row(760, f"Chapter about {_WORDS[number // 2]}", "", str(number)), (60, 600, 11, "Body")]
        for number in range(1, 9)
    ]
    text = PdfExtractor().extract(_SOURCE, make_pdf(pages)).text
    assert not any(word.isdigit() for word in text.split())
    assert all(word in text for word in _WORDS[:5])


def test_a_page_turned_by_a_quarter_has_its_margins_at_its_own_top() -> None:
    pages = [
        RawPage(
            f"BT /F1 9 Tf 0 1 -1 0 100 300 Tm (Body of page {number} with words) Tj ET "
            f"BT /F1 9 Tf 0 1 -1 0 590 390 Tm ({number}) Tj ET",
        )
        for number in range(1, 4)
    ]
    text = PdfExtractor().extract(_SOURCE, RawPdf(pages).data()).text
    assert text.split("\n\n") == [f"Body of page {number} with words" for number in (1, 2, 3)]


def test_a_table_that_goes_on_keeps_its_header_on_the_next_page() -> None:
    first = [(60.0, 740.0, 10.0, "The list of all parts follows here, over two pages of paper.")]
    first += _row(700, "Part", "Colour", "Price")
    for number in range(5):
        first += _row(680 - 20 * number, f"bolt{number}", "red", f"{number}.50")
    second: list[Text] = []
    for number in range(5, 9):
        second += _row(700 - 20 * (number - 5), f"bolt{number}", "blue", f"{number}.50")
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
