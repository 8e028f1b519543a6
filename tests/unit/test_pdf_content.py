"""What a PDF page shows is read in the order in which people read it; what it hides is not."""

import pytest
from raw_pdf import Page, RawPdf

from kvasir.components.extractors.pdf import PdfExtractor
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/file.pdf", "application/pdf")
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
_LETTERS = {0x61: "س", 0x62: "لا", 0x63: "م", 0x20: " ", 0x64: "ك", 0x65: "ب", 0x66: "ت"}


def _read(pdf: RawPdf) -> Document:
    return PdfExtractor().extract(_SOURCE, pdf.data())


def _texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def _line(
    x: float, y: float, text: str, size: float = 10, font: str = "F1", state: str = ""
) -> str:
    return f"BT {state} /{font} {size} Tf {x} {y} Td ({text}) Tj ET\n"


def _body(count: int = 12, x: float = 60) -> list[str]:
    return [_line(x, 700 - 13 * n, f"m{n} " + " ".join(_WORDS[:6])) for n in range(count)]


def test_raised_and_lowered_digits_keep_their_meaning() -> None:
    parts = [
        ("It counts 10", 0),
        ("6", 4),
        (" and CO", 0),
        ("2", -2),
        (" in 1987", 0),
        ("3", 4),
        (".", 0),
    ]
    content = "".join(f"/F1 {7 if rise else 11} Tf {rise} Ts ({text}) Tj " for text, rise in parts)
    assert _read(RawPdf([Page(f"BT 60 700 Td {content} ET")])).text == (
        "It counts 10⁶ and CO₂ in 1987[^3]."
    )


_HIDDEN = {
    "invisible": _line(60, 680, "secret", state="3 Tr"),
    "white": _line(60, 680, "secret", state="1 g"),
    "tiny": _line(60, 680, "secret", 0.5),
    "right of the page": _line(700, 680, "secret"),
    "above the page": _line(60, 900, "secret"),
}


def test_a_line_of_half_small_and_half_large_letters_is_read() -> None:
    shown = "BT /F1 6 Tf 72 700 Td (ab) Tj /F1 10 Tf (CD) Tj ET"
    assert "CD" in _read(RawPdf([Page(shown)])).text


def test_a_small_bullet_is_no_raised_sign() -> None:
    shown = "BT /F2 5 Tf 72 703 Td (#) Tj /F2 12 Tf 10 -3 Td (Bring a warm coat) Tj ET"
    document = _read(
        RawPdf([Page(shown)], unicode={n: chr(n) for n in range(32, 127)} | {0x23: "•"})
    )
    assert document.text == "- Bring a warm coat"


@pytest.mark.parametrize("hidden", _HIDDEN.values(), ids=_HIDDEN)
def test_what_nobody_can_see_on_the_page_is_left_out(hidden: str) -> None:
    assert _read(RawPdf([Page(_line(60, 700, "Seen.") + hidden)])).text == "Seen."


_PICTURE = "q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID x EI Q\n"
_GROUND = "0 g 50 670 300 30 re f\n"


@pytest.mark.parametrize(
    "shown",
    [
        _PICTURE + _line(60, 680, "words", state="3 Tr"),
        _GROUND + _line(60, 680, "words", state="1 g"),
    ],
    ids=["recognised scan", "white on black"],
)
def test_text_that_has_a_ground_to_be_seen_on_is_read(shown: str) -> None:
    assert _read(RawPdf([Page(shown)])).text == "words"


_LAYER = "<< /Type /OCG /Name (Prices) >>"
_FORM = _line(60, 660, "Second.")


@pytest.mark.parametrize(
    ("content", "resources"),
    [
        ("/OC /L1 BDC\n" + _FORM + "EMC\n", "/Properties << /L1 900 0 R >>"),
        ("/F9 Do\n", "/XObject << /F9 901 0 R >>"),
        ("/OC /L1 BDC\n/F9 Do\nEMC\n", "/Properties << /L1 900 0 R >> /XObject << /F9 902 0 R >>"),
    ],
    ids=["marks", "form that is a layer", "form in a layer"],
)
@pytest.mark.parametrize("state", ["OFF", "ON"])
def test_text_in_a_layer_is_read_if_the_layer_is_on(
    content: str, resources: str, state: str
) -> None:
    form = "<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] {} /Resources << /Font "
    form += f"<< /F1 3 0 R >> >> /Length {len(_FORM)} >>\nstream\n{_FORM}\nendstream"
    objects = {900: _LAYER, 901: form.format("/OC 900 0 R"), 902: form.format("")}
    catalog = f"/OCProperties << /OCGs [900 0 R] /D << /{state} [900 0 R] >> >>"
    page = Page(_line(60, 700, "First.") + content, resources=resources)
    texts = ["First.", "Second."] if state == "ON" else ["First."]
    assert _texts(_read(RawPdf([page], catalog=catalog, objects=objects))) == texts


def test_a_recognised_scan_in_a_layer_is_read() -> None:
    words = "/OC /L1 BDC\n" + _line(60, 680, "words", state="3 Tr") + "EMC\n"
    page = Page(_PICTURE + words, resources="/Properties << /L1 900 0 R >>")
    assert _read(RawPdf([page], objects={900: _LAYER})).text == "words"


@pytest.mark.parametrize("matrix", ["0.7 0.7 -0.7 0.7 120 200", "0 1 -1 0 40 200"])
def test_narrow_letters_of_a_line_that_is_not_level_are_no_raised_signs(matrix: str) -> None:
    mark = f"BT /F1 40 Tf {matrix} Tm (CONFIDENTIAL) Tj ET\n"
    assert "CONFIDENTIAL" in _read(RawPdf([Page("\n".join([mark, *_body()]))])).text


_TURNS = {
    "upright": ("1 0 0 1 60 700", "1 0 0 1 60 686"),
    "upwards": ("0 1 -1 0 300 100", "0 1 -1 0 314 100"),
    "downwards": ("0 -1 1 0 300 600", "0 -1 1 0 286 600"),
    "upside down": ("-1 0 0 -1 300 600", "-1 0 0 -1 300 614"),
}


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("places", _TURNS.values(), ids=_TURNS)
def test_a_page_is_read_upright_however_it_is_turned(places: tuple[str, str], rotate: int) -> None:
    texts = zip(places, ("First line of the page.", "Second line."), strict=True)
    content = "".join(f"BT /F1 11 Tf {place} Tm ({text}) Tj ET\n" for place, text in texts)
    document = _read(RawPdf([Page(content, f"/Rotate {rotate}")]))
    assert document.text == "First line of the page. Second line."


def test_a_page_whose_corner_is_not_the_origin_is_read() -> None:
    page = Page(_line(1060, 1700, "Words."), box="1000 1000 1612 1792")
    assert _read(RawPdf([page])).text == "Words."


def _link(area: str, address: str) -> str:
    return f"/Subtype /Link /Rect [{area}] /A << /S /URI /URI ({address}) >>"


def test_the_target_of_a_link_stands_behind_its_words() -> None:
    content = _line(60, 700, "Fill in the form") + _line(140, 700, "today or read")
    content += _line(60, 686, "the manual first.") + _line(60, 640, "See https://a.example/x")
    marks = [
        _link("60 698 138 710", "https://a.example/form"),
        # One link over two printed lines.
        _link("60 684 230 710", "https://a.example/manual"),
        _link("80 638 230 650", "https://a.example/x"),
        "/Subtype /Link /Rect [60 638 230 650] /Dest [0 /Fit]",
    ]
    marks[1] += " /QuadPoints [172 710 230 710 172 698 230 698 60 696 109 696 60 684 109 684]"
    document = _read(RawPdf([Page(content, annotations=marks)]))
    assert document.text == (
        "Fill in the form (https://a.example/form) today or read the manual "
        "(https://a.example/manual) first.\n\nSee https://a.example/x"
    )


def test_form_fields_stand_beside_their_labels() -> None:
    fields = [
        "/Subtype /Widget /FT /Tx /T (a) /V (Morning Star) /Rect [160 695 300 715] /F 4",
        "/Subtype /Widget /FT /Tx /T (b) /Rect [160 665 300 685] /F 4",
        "/Subtype /Widget /FT /Btn /T (c) /V /Yes /AS /Yes /Rect [60 640 70 650] /F 4 "
        "/AP << /N << /Yes 900 0 R /Off 900 0 R >> >>",
        "/Subtype /Widget /FT /Btn /T (d) /AS /Off /Rect [60 610 70 620] /F 4 "
        "/AP << /N << /Yes 900 0 R /Off 900 0 R >> >>",
        "/Subtype /Widget /FT /Tx /Ff 8192 /T (e) /V (secret) /Rect [160 580 300 600] /F 4",
        "/Subtype /Widget /FT /Ch /Ff 131072 /T (f) /V (b) /Opt [[(a) (red)] [(b) (blue)]] "
        "/Rect [160 550 300 570] /F 4",
    ]
    labels = [(60, 700, "Ship:"), (60, 670, "Flag:"), (75, 641, "Power"), (75, 611, "Water")]
    labels += [(60, 585, "Password:"), (60, 555, "Colour:")]
    page = Page("".join(_line(*label) for label in labels), annotations=fields)
    numbers = " ".join(f"{number} 0 R" for number in range(11, 17))
    form = f"/AcroForm << /Fields [{numbers}] /DR << >> /DA (/F1 0 Tf) >>"
    empty = "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 0 >>\nstream\n\nendstream"
    text = _read(RawPdf([page], catalog=form, objects={900: empty})).text
    words = " ".join(text.replace("|", " ").split())
    for expected in ("Ship: Morning Star", "[x] Power", "[ ] Water", "Colour: blue"):
        assert expected in words
    assert "secret" not in text


def test_comments_follow_the_page_and_name_themselves() -> None:
    marks = [
        "/Subtype /Text /Rect [10 100 20 110] /T (Ben) /Contents (Second.)",
        "/Subtype /Highlight /Rect [60 690 100 710] /T (Ana) /Contents (First.)",
        "/Subtype /FreeText /Rect [10 50 90 80] /Contents (Paid.)",
        "/Subtype /Text /Rect [10 10 20 20] /F 2 /Contents (secret)",
        "/Subtype /Popup /Rect [10 10 20 20] /Contents (secret)",
    ]
    pages = [Page(_line(60, 700, "Words."), annotations=marks), Page(_line(60, 700, "More."))]
    document = _read(RawPdf(pages))
    assert _texts(document) == [
        "Words.", "Comment (Ana): First.", "Comment (Ben): Second.", "Note: Paid.", "More.",
    ]  # fmt: skip
    assert [block.page for block in document.blocks] == [1, 1, 1, 1, 2]


def test_pictures_of_a_tagged_file_give_their_descriptions() -> None:
    content = _line(60, 700, "Words.") + "/Figure << /MCID 0 >> BDC 60 600 9 9 re f EMC\n"
    figure = "<< /Type /StructElem /S /Figure /P 900 0 R /Pg 12 0 R /K 0 /Alt (A red lever.) >>"
    objects = {
        900: "<< /Type /StructTreeRoot /K [901 0 R] /ParentTree << /Nums [0 [901 0 R]] >> >>",
        901: figure,
    }
    catalog = "/MarkInfo << /Marked true >> /StructTreeRoot 900 0 R"
    page = Page(content, "/StructParents 0")
    document = _read(RawPdf([page], catalog=catalog, objects=objects))
    assert _texts(document) == ["Words.", "Picture: A red lever."]


def test_a_note_in_the_margin_does_not_cut_the_text() -> None:
    note = _line(430, 661, "Side note one", 8) + _line(430, 650, "goes on here", 8)
    lines = _body()
    document = _read(RawPdf([Page("".join(lines[:4]) + note + "".join(lines[4:]))]))
    assert _texts(document)[-1] == "Side note one goes on here"
    assert "Side" not in _texts(document)[0]


def test_a_table_beside_text_is_no_part_of_it() -> None:
    rows = [("Part", "Price"), ("bolt", "1.50"), ("nut", "0.20"), ("gear", "7.00")]
    items = [(700 - 13 * number, text) for number, text in enumerate(_body())]
    for number, (part, price) in enumerate(rows):
        y = 700 - 17 * number
        items.append((y, _line(360, y, part) + _line(460, y, price)))
    items.sort(key=lambda item: -item[0])
    document = _read(RawPdf([Page("".join(text for _, text in items))]))
    assert _texts(document)[-1] == (
        "| Part | Price |\n| - | - |\n| bolt | 1.50 |\n| nut | 0.20 |\n| gear | 7.00 |"
    )


def test_a_table_with_long_cells_stays_whole() -> None:
    rows = [(n, _body(3)[0].split("(")[1].split(")")[0], f"{n}.50") for n in range(4)]
    content = ""
    for number, text, price in rows:
        for part in range(3):
            content += _line(60, 700 - 45 * number - 13 * part, text)
        content += _line(460, 700 - 45 * number, price)
    document = _read(RawPdf([Page(content)]))
    assert document.text.index("1.50") < document.text.rindex("m0")


def test_lists_keep_their_levels() -> None:
    items = [(60, "1. First"), (80, "- inner"), (80, "- more"), (100, "- deep"), (60, "2. Second")]
    content = "".join(_line(x, 700 - 13 * row, text) for row, (x, text) in enumerate(items))
    assert _read(RawPdf([Page(content)])).text == (
        "1. First\n    - inner\n    - more\n        - deep\n2. Second"
    )


@pytest.mark.parametrize("lam_alef", ["لا", "\ufefb"], ids=["two letters", "one form"])
def test_a_lam_alef_ligature_keeps_the_order_of_its_letters(lam_alef: str) -> None:
    pdf = RawPdf([Page(_line(300, 700, "cba", font="F2"))], unicode=_LETTERS | {0x62: lam_alef})
    assert _read(pdf).text == "سلام"


def test_columns_and_tables_of_a_right_to_left_page_begin_at_the_right() -> None:
    table = "".join(
        _line(x, 700 - 16 * row, text, font="F2")
        for row in range(4)
        for x, text in ((200, "d"), (400, "c"))
    )
    document = _read(RawPdf([Page(table)], unicode=_LETTERS))
    assert document.text.splitlines()[0] == "| م | ك |"
    columns = "".join(
        _line(x, 700 - 14 * row, text * 8, font="F2")
        for row in range(8)
        for x, text in ((60, "def "), (330, "cba "))
    )
    text = _read(RawPdf([Page(columns)], unicode=_LETTERS)).text
    assert text.rindex("سلام") < text.index("تبك")


def test_properties_keep_their_types() -> None:
    info = "/Title (Crane) /Keywords (pump; oil) /CreationDate (D:20240315083000+01'00')"
    document = _read(RawPdf([Page(_line(60, 700, "Words."))], info=info))
    assert document.title == "Crane"
    assert document.metadata == {
        "keywords": ("pump", "oil"),
        "created": "2024-03-15T08:30:00+01:00",
        "pages": 1,
    }
