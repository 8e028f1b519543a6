"""OpenDocument files are read as their programs show them."""

import pytest
from office_packages import ODF_SPACES, open_document

from kvasir.components.extractors.odf import OdfExtractor
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/file", "")
_STYLES = (
    '<style:style style:name="Up" style:family="text"><style:text-properties '
    'style:text-position="super 58%"/></style:style>'
    '<style:style style:name="Down" style:family="text"><style:text-properties '
    'style:text-position="-33% 58%"/></style:style>'
    '<style:style style:name="Gone" style:family="text"><style:text-properties '
    'text:display="none"/></style:style>'
    '<style:style style:name="White" style:family="text"><style:text-properties '
    'fo:color="#ffffff"/></style:style>'
    '<style:style style:name="OnBlack" style:family="text" style:parent-style-name="White">'
    '<style:text-properties fo:background-color="#000000"/></style:style>'
    '<style:style style:name="Tiny" style:family="text"><style:text-properties '
    'fo:font-size="1pt"/></style:style>'
    '<style:style style:name="GoneTable" style:family="table"><style:table-properties '
    'table:display="false"/></style:style>'
    '<style:style style:name="GoneSlide" style:family="drawing-page">'
    '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
)


def _read(kind: str, body: str, **parts: str) -> Document:
    files = {key: value for key, value in parts.items() if "/" in key}
    named = {key: value for key, value in parts.items() if "/" not in key}
    data = open_document(kind, body, styles=_STYLES, files=files, **named)
    return OdfExtractor().extract(_SOURCE, data)


def _texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def _p(inside: str) -> str:
    return f"<text:p>{inside}</text:p>"


def _comment(text: str) -> str:
    return f"<office:annotation><dc:creator>Ana</dc:creator>{_p(text)}</office:annotation>"


def _span(style: str, text: str) -> str:
    return f'<text:span text:style-name="{style}">{text}</text:span>'


def _cell(text: str = "", attributes: str = "", inside: str = "") -> str:
    shown = _p(text) if text else ""
    return f"<table:table-cell {attributes}>{inside}{shown}</table:table-cell>"


def _row(*cells: str, attributes: str = "") -> str:
    inner = "".join(cell if cell.startswith("<") else _cell(cell) for cell in cells)
    return f"<table:table-row {attributes}>{inner}</table:table-row>"


def _sheet(*rows: str, attributes: str = "", columns: str = "") -> str:
    return f'<table:table table:name="Data" {attributes}>{columns}{"".join(rows)}</table:table>'


def test_raised_text_links_notes_and_comments_are_kept() -> None:
    note = (
        '<text:note text:note-class="footnote"><text:note-citation>2</text:note-citation>'
        f"<text:note-body>{_p('See the list.')}</text:note-body></text:note>"
    )
    comment = (
        f"<office:annotation><dc:creator>Ana</dc:creator>{_p('Is it so?')}</office:annotation>"
    )
    link = '<text:a xlink:href="https://a.example/form">the form</text:a>'
    own = '<text:a xlink:href="#top">the top</text:a>'
    body = _p(f"10{_span('Up', '6')} of CO{_span('Down', '2')} in 1999{note}{comment}.")
    document = _read("text", body + _p(f"Fill in {link} at {own}."))
    assert _texts(document) == [
        "10⁶ of CO₂ in 1999[^2].",
        "Note 2: See the list.",
        "Comment (Ana): Is it so?",
        "Fill in the form (https://a.example/form) at the top.",
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        _p(_span("Gone", "secret")),
        _p(_span("White", "secret")),
        _p(_span("Tiny", "secret")),
        _p('<text:hidden-text text:is-hidden="true">secret</text:hidden-text>'),
        _p('<text:hidden-paragraph text:is-hidden="true"/>secret'),
        f'<text:section text:display="none">{_p("secret")}</text:section>',
        f"<text:tracked-changes>{_p('secret')}</text:tracked-changes>",
        _sheet(_row("secret", "b", attributes='table:visibility="collapse"'), _row("c", "d")),
    ],
)
def test_what_nobody_sees_in_a_text_is_left_out(hidden: str) -> None:
    document = _read("text", _p(f"Seen. {_span('OnBlack', 'This too.')}") + hidden)
    assert document.text.startswith("Seen. This too.")
    assert "secret" not in document.text


_BANNERS = (
    '<style:style style:name="Banner" style:family="paragraph"><style:paragraph-properties '
    'fo:background-color="#1f3864"/><style:text-properties fo:color="#ffffff" '
    'fo:background-color="transparent"/></style:style>'
    '<style:style style:name="Inner" style:family="paragraph" style:parent-style-name="Banner"/>'
    '<style:style style:name="Bare" style:family="paragraph"><style:text-properties '
    'fo:color="#ffffff"/></style:style>'
    '<style:style style:name="Black" style:family="text"><style:text-properties '
    'fo:color="#000000"/></style:style>'
    '<style:style style:name="Ground" style:family="text"><style:text-properties '
    'fo:background-color="#000000"/></style:style>'
)


@pytest.mark.parametrize(
    ("style", "inside", "is_seen"),
    [
        *(("Banner", "words", True), ("Inner", "words", True), ("Bare", "words", False)),
        *(("Banner", _span("White", "words"), True), ("Bare", _span("Black", "words"), True)),
        *(("Bare", _span("Ground", "words"), True), ("None", _span("White", "words"), False)),
        ("None", _span("Ground", _span("White", "words")), True),
    ],
)
def test_white_text_is_read_on_the_ground_around_it(style: str, inside: str, is_seen: bool) -> None:
    body = f'<text:p text:style-name="{style}">{inside}</text:p>{_p("Seen.")}'
    data = open_document("text", body, styles=_STYLES + _BANNERS)
    assert ("words" in OdfExtractor().extract(_SOURCE, data).text) is is_seen


def test_white_text_on_a_coloured_page_is_read() -> None:
    ground = '<style:page-layout-properties fo:background-color="#000000"/>'
    shared = f"<office:automatic-styles><style:page-layout>{ground}</style:page-layout>"
    document = _read(
        "text", _p(_span("White", "Words.")), shared=f"{shared}</office:automatic-styles>"
    )
    assert document.text == "Words."


def test_headers_and_footers_stand_once_without_page_numbers() -> None:
    page = (
        f"<style:master-page><style:header>{_p('QM-2231<text:tab/>revision 7')}</style:header>"
        f"<style:footer>{_p('Norwind')}{_p('Page <text:page-number>1</text:page-number>')}"
        "</style:footer></style:master-page>"
    )
    shared = f"<office:master-styles>{page}{page}</office:master-styles>"
    document = _read("text", _p("Words."), shared=shared)
    assert _texts(document) == ["Words.", "Header: QM-2231 | revision 7", "Footer: Norwind"]


def test_form_fields_pictures_and_charts_are_read() -> None:
    forms = (
        "<office:forms><form:form>"
        '<form:checkbox form:id="c" form:current-state="checked" form:label="Power"/>'
        '<form:text form:id="t" form:current-value="Morning Star"/>'
        '<form:password form:id="s" form:current-value="secret"/></form:form></office:forms>'
    )
    controls = "".join(f'<draw:control draw:control="{key}"/> ' for key in "cts")
    picture = "<draw:frame><draw:image/><svg:desc>A red lever.</svg:desc></draw:frame>"
    chart = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    values = _sheet(_row("", "Ducks"), _row("2024", "7"))
    inner = (
        f"<office:document-content {ODF_SPACES}><office:body><office:chart><chart:chart>"
        f"<chart:title>{_p('Birds')}</chart:title><chart:plot-area>"
        f"<chart:axis chart:dimension='x'><chart:title>{_p('Year')}</chart:title></chart:axis>"
        f"<chart:axis chart:dimension='y'><chart:title>{_p('Thousands')}</chart:title></chart:axis>"
        f"</chart:plot-area>{values}</chart:chart></office:chart>"
        "</office:body></office:document-content>"
    )
    body = forms + _p(f"Ship: {controls}") + _p(picture) + _p(chart)
    document = _read("text", body, **{"Object 1/content.xml": inner})
    assert _texts(document) == [
        "Ship: [x] Power Morning Star",
        "Picture: A red lever.",
        "Birds\nLabels: Year\nValues: Thousands",
        "|  | Ducks |\n| - | - |\n| 2024 | 7 |",
    ]


def test_a_table_in_a_cell_can_be_told_apart_and_marked_headers_are_one_row() -> None:
    inner = _sheet(_row("Room", "Seats"), _row("Oak", "12"), _row("Elm", "40"))
    outer = _sheet(_row("Floor", "Rooms"), _row("Ground", _cell(inside=inner)))
    rows = (
        "<table:table-header-rows>"
        + _row(
            "Mill", _cell("2022", 'table:number-columns-spanned="2"'), "<table:covered-table-cell/>"
        )
        + _row("Mill", "Flour", "Bran")
        + "</table:table-header-rows>"
    )
    document = _read("text", outer + _p("Next.") + _sheet(rows, _row("a", "1", "2")))
    assert _texts(document) == [
        "| Floor | Rooms |\n| - | - |\n| Ground | Room: Oak, Seats: 12; Room: Elm, Seats: 40 |",
        "Next.",
        "| Mill | 2022 / Flour | 2022 / Bran |\n| - | - | - |\n| a | 1 | 2 |",
    ]


@pytest.mark.parametrize(
    ("attributes", "shown", "text"),
    [
        ('office:value-type="percentage" office:value="0.653"', "65%", "65%"),
        ('office:value-type="percentage" office:value="0.075"', "", "7.5%"),
        ('office:value-type="currency" office:value="9.5" office:currency="EUR"', "", "9.5 EUR"),
        ('office:value-type="date" office:date-value="2024-03-15T00:00:00"', "", "2024-03-15"),
        ('office:value-type="time" office:time-value="PT26H30M00S"', "", "26:30"),
        ('office:value-type="boolean" office:boolean-value="true"', "", "TRUE"),
        ('office:value-type="float" office:value="7"', "", "7"),
        ('table:formula="of:=[.B2]*[$Other.C2]"', "", "=B2*Other!C2"),
    ],
)
def test_a_cell_gives_its_text_or_else_its_value(attributes: str, shown: str, text: str) -> None:
    body = _sheet(_row("Item", "Value"), _row("x", _cell(shown, attributes)))
    document = _read("spreadsheet", body)
    assert f"| x | {text} |" in document.text
    assert bool(document.warnings) == text.startswith("=")


def test_hidden_sheets_rows_and_columns_are_left_out() -> None:
    columns = (
        '<table:table-column/><table:table-column table:visibility="collapse"/>'
        "<table:table-column/>"
    )
    rows = [_row("Product", "Cost", "Price"), _row("Lamp", "11", "30")]
    rows += [_row("Never", "1", "2", attributes='table:visibility="filter"')]
    rows += [_row("Desk", "80", "140")]
    body = _sheet(*rows, columns=columns)
    body += _sheet(_row("secret", "b"), attributes='table:style-name="GoneTable"')
    document = _read("spreadsheet", body)
    assert _texts(document) == [
        "Data",
        "| Product | Price |\n| - | - |\n| Lamp | 30 |\n| Desk | 140 |",
    ]


def test_a_cell_over_several_is_read_as_long_as_a_part_of_it_is_visible() -> None:
    columns = '<table:table-column/><table:table-column table:visibility="collapse"/>'
    covered, gone = "<table:covered-table-cell/>", 'table:visibility="collapse"'
    three = 'table:number-rows-spanned="3"'
    wide = _cell("2024", 'table:number-columns-spanned="3"')
    rows = [_row("Team", wide, covered, covered), _row("Name", "Q1", "Q2", "Q3")]
    rows += [_row(_cell("Sales", three), "0", "1", "2", attributes=gone)]
    rows += [_row(covered, "3", "4", "5"), _row(covered, "6", "7", "8")]
    rows += [
        _row(_cell("Law", three), "1", "2", "3"),
        _row(covered, "0", "0", "0", attributes=gone),
    ]
    rows += [_row(covered, "4", "5", "6"), _row("Shop", "7", "8", "9")]
    document = _read("spreadsheet", _sheet(*rows, columns=columns + "<table:table-column/>" * 2))
    assert _texts(document)[1].splitlines() == [
        "| Team | 2024 | 2024 |",
        "| - | - | - |",
        "| Name | Q2 | Q3 |",
        "| Sales | 4 | 5 |",
        "| Sales | 7 | 8 |",
        "| Law | 2 | 3 |",
        "| Law | 5 | 6 |",
        "| Shop | 8 | 9 |",
    ]


def test_struck_text_and_signs_of_fonts_are_told_from_other_text() -> None:
    faces = '<style:font-face style:name="F1" svg:font-family="Symbol"/>'
    shared = f"<office:font-face-decls>{faces}</office:font-face-decls>"
    line = 'style:text-line-through-style="{}"'
    properties = {"Struck": line.format("solid"), "Kept": line.format("none")}
    properties |= {"Sign": 'style:font-name="F1"', "Box": "fo:font-family=\"'Wingdings 2'\""}
    styles = "".join(
        f'<style:style style:name="{name}" style:family="{family}"><style:text-properties {each}/>'
        "</style:style>"
        for name, each in properties.items()
        for family in ("text", "paragraph", "table-cell")
    )
    shared += f"<office:styles>{styles}</office:styles>"
    body = _p(f"Fee {_span('Struck', '20')} 25 {_span('Sign', 'm')}g, {_span('Box', 'R')} Yes")
    body += f'<text:p text:style-name="Struck">Old {_span("Kept", "rule")}</text:p>'
    assert _texts(_read("text", body, shared=shared)) == [
        "Fee ~~20~~ 25 μg, [x] Yes",
        "~~Old~~ rule",
    ]
    sheet = _sheet(_row("Lamp", _cell("20", 'table:style-name="Struck"')))
    assert "| Lamp | ~~20~~ |" in _read("spreadsheet", sheet, shared=shared).text


def test_titles_blank_rows_and_comments_of_a_sheet() -> None:
    number = 'office:value-type="float"'
    comment = _comment("Who?")
    rows = [
        _row(_cell("Staff of 2024", 'table:number-columns-spanned="2"')),
        _row("Name", "Age"),
        _row(_cell("Ann", inside=comment), _cell("1", number)),
        _row(_cell()),
        _row("Ben", _cell("2", number)),
    ]
    assert _texts(_read("spreadsheet", _sheet(*rows))) == [
        "Data",
        "Staff of 2024",
        "| Name | Age |\n| - | - |\n| Ann | 1 |\n| Ben | 2 |",
        "Comment (Ana) at A3: Who?",
    ]


def _frame(text: str, x: float, y: float, kind: str = "") -> str:
    return (
        f'<draw:frame svg:x="{x}cm" svg:y="{y}cm" svg:width="8cm" svg:height="2cm" {kind}>'
        f"<draw:text-box>{_p(text)}</draw:text-box></draw:frame>"
    )


def test_slides_are_read_column_by_column_without_what_is_hidden() -> None:
    shapes = [("Invoice", 12, 5), ("Card", 1, 5), ("Later", 12, 8), ("At once", 1, 8)]
    inner = "".join(_frame(*shape) for shape in shapes)
    inner += _frame("Ways to pay", 1, 1, 'presentation:class="title"')
    inner += f"<presentation:notes>{_frame('Say hello', 0, 0)}</presentation:notes>"
    footer = '<presentation:footer-decl presentation:name="f">Norwind</presentation:footer-decl>'
    use = 'presentation:use-footer-name="f"'
    hidden = f'<draw:page draw:style-name="GoneSlide" {use}>{_frame("secret", 1, 1)}</draw:page>'
    body = f"{footer}{hidden}<draw:page {use}>{inner}</draw:page>"
    document = _read("presentation", body)
    assert _texts(document) == [
        "Ways to pay", "Card", "At once", "Invoice", "Later", "Note: Say hello", "Footer: Norwind",
    ]  # fmt: skip
    assert document.blocks[0].page == 2


def test_properties_keep_their_types() -> None:
    meta = (
        "<office:meta><dc:title>Crane</dc:title><meta:keyword>pump</meta:keyword>"
        "<meta:keyword>oil</meta:keyword>"
        "<meta:creation-date>2024-03-15T08:30:00.5</meta:creation-date>"
        '<meta:user-defined meta:name="Signed off" meta:value-type="boolean">true'
        "</meta:user-defined></office:meta>"
    )
    document = _read("text", _p("Words."), meta=meta)
    assert document.title == "Crane"
    assert document.metadata == {
        "keywords": ("pump", "oil"),
        "created": "2024-03-15T08:30:00",
        "signed_off": True,
    }


_NUMBERED = (
    '<text:list-style style:name="N">'
    '<text:list-level-style-number text:level="1" style:num-format="1" style:num-suffix="."/>'
    '<text:list-level-style-number text:level="2" style:num-format="a" style:num-suffix=")"/>'
    '<text:list-level-style-number text:level="3" style:num-format="1" style:num-suffix="." '
    'text:display-levels="3" text:start-value="5"/>'
    "</text:list-style>"
)


def _list(*items: str, attributes: str = 'text:style-name="N"') -> str:
    inner = "".join(
        item if item.startswith("<text:list") else f"<text:list-item>{item}</text:list-item>"
        for item in (each if each.startswith("<") else _p(each) for each in items)
    )
    return f"<text:list {attributes}>{inner}</text:list>"


def _items(*lists: str) -> list[str]:
    data = open_document("text", "".join(lists), styles=_STYLES + _NUMBERED)
    document = OdfExtractor().extract(_SOURCE, data)
    return "\n".join(_texts(document)).split("\n")


def test_the_paragraphs_of_one_item_have_one_number() -> None:
    assert _items(_list(_p("One") + _p("more of one"), "Two")) == [
        "1. One",
        "  more of one",
        "2. Two",
    ]


def test_the_number_of_an_item_stands_before_its_first_words() -> None:
    assert _items(_list(_p("") + _p("One") + _p("more"), _p(""), "Three")) == [
        "1. One",
        "  more",
        "3. Three",
    ]


@pytest.mark.parametrize(
    ("sync", "start", "number"),
    [("false", "28", "ab."), ("true", "28", "bb."), ("true", "99999999", "99999999."),
     ("true", "²", "a."), ("false", "9" * 5000, "a.")],
)  # fmt: skip
def test_letters_after_z_are_those_of_their_style(sync: str, start: str, number: str) -> None:
    level = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" '
        f'style:num-format="a" style:num-letter-sync="{sync}" text:start-value="{start}"/>'
        "</text:list-style>"
    )
    body = _list("One", attributes='text:style-name="L"')
    data = open_document("text", body, styles=_STYLES + level)
    assert _texts(OdfExtractor().extract(_SOURCE, data)) == [f"{number} One"]


def test_lists_count_on_only_where_they_say_so() -> None:
    style = 'text:style-name="N"'
    assert _items(
        _list("One", "Two", attributes=f'{style} xml:id="first"'),
        _list("Other"),
        _p("Text between."),
        _list("Other two", attributes=f'{style} text:continue-numbering="true"'),
        _list("Three", attributes=f'{style} text:continue-list="first"'),
    ) == ["1. One", "2. Two", "1. Other", "Text between.", "2. Other two", "3. Three"]


def test_items_begin_at_the_number_that_they_or_their_style_give() -> None:
    sixth = f'<text:list-item text:start-value="6">{_p("Six")}</text:list-item>'
    header = f"<text:list-header>{_p('Head')}</text:list-header>"
    inner = f"<text:list><text:list-item>{_list('Deepest')}</text:list-item></text:list>"
    assert _items(_list(header, "One", sixth, "", _p("Eight") + _list("a", "b") + inner)) == [
        "Head",
        "1. One",
        "6. Six",
        "8. Eight",
        "    a) a",
        "    b) b",
        "        8.a.5. Deepest",
    ]
