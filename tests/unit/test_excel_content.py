"""A workbook is read as Excel shows it."""

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.chart import BarChart, Reference
from openpyxl.comments import Comment
from openpyxl.styles import Font, PatternFill
from openpyxl.worksheet.worksheet import Worksheet

from kvasir.components.extractors.cell_formats import shown
from kvasir.components.extractors.xlsx import XlsxExtractor
from kvasir.core.types import Document, Source

_SOURCE = Source("/folder/file.xlsx", "")


def _sheet(rows: Sequence[Sequence[object]] = ()) -> tuple[openpyxl.Workbook, Worksheet]:
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "Data"
    for row in rows:
        sheet.append(row)
    return book, sheet


def _bytes(book: openpyxl.Workbook) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _read(book: openpyxl.Workbook) -> Document:
    return XlsxExtractor().extract(_SOURCE, _bytes(book))


def _texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (0.075, "0.0%", "7.5%"),
        (0.653, "0%", "65%"),
        (0.125, "0.00", "0.13"),
        (-0.001, "0.00", "0.00"),
        (1234.5, "#,##0.00", "1,234.50"),
        (1234.5, "$#,##0.00", "$1,234.50"),
        (1234.5, "#,##0.00\\ [$€-407]", "1,234.50 €"),
        (-3, "#,##0;[Red](#,##0)", "(3)"),
        (1067, "00000", "01067"),
        (12, '0 "kg"', "12 kg"),
        (0.5, "# ?/?", "1/2"),
        (12345, "0.0E+00", "1.2E+04"),
        (5, ";;;", ""),
        (0.1 + 0.2, "General", "0.3"),
        (True, "General", "TRUE"),
        ("text", "0.00", "text"),
        (datetime(2024, 3, 15), "dd/mm/yyyy", "2024-03-15"),
        (datetime(2024, 3, 15, 8, 5), "m/d/yy h:mm", "2024-03-15 08:05"),
        (datetime(2024, 3, 15), "d mmmm yyyy", "15 March 2024"),
        (datetime(2024, 3, 15), "mmm-yy", "Mar-2024"),
        (datetime(2024, 3, 15), "[$-407]d. mmmm yyyy", "2024-03-15"),
        (datetime(2024, 3, 15), "yyyy", "2024"),
        (date(2024, 3, 15), "mm-dd-yy", "2024-03-15"),
        (datetime(2023, 3, 15), '[$-411]ggge"年"m"月"d"日"', "2023-03-15"),
        (datetime(2023, 3, 15), "[$-404]e/m/d", "2023-03-15"),
        (datetime(2023, 3, 15), "[$-D07041E]d/m/bbbb", "2023-03-15"),
        (datetime(2023, 3, 15), 'ge"年"m"月"', "2023年3月"),
        (45000, '[$-411]ggge"年"', "2023年"),
        (time(8, 30), "hh:mm", "08:30"),
        (time(15, 30), "h:mm AM/PM", "3:30 PM"),
        (timedelta(hours=26, minutes=30), "[h]:mm", "26:30"),
        (float("inf"), "0.00", "inf"),
    ],
)
def test_a_value_is_shown_as_its_format_shows_it(
    value: object, number_format: str, text: str
) -> None:
    assert shown(value, number_format) == text


def test_formats_hold_for_the_cells_of_a_sheet() -> None:
    book, sheet = _sheet([["Item", "Value"], ["Tax", 0.075], ["Code", 1067], ["Shift", 26.5 / 24]])
    for cell, number_format in (("B2", "0.0%"), ("B3", "00000"), ("B4", "[h]:mm")):
        sheet[cell].number_format = number_format
    rows = _texts(_read(book))[1].splitlines()
    assert rows[2:] == ["| Tax | 7.5% |", "| Code | 01067 |", "| Shift | 26:30 |"]


def test_a_formula_without_a_stored_value_is_shown_and_counted() -> None:
    book, sheet = _sheet([["Region", "Units", "Price", "Revenue"], ["North", 120, 9.5, None]])
    sheet["D2"] = "=B2*C2"
    document = _read(book)
    assert "| North | 120 | 9.5 | =B2*C2 |" in document.text
    assert [warning.partition(",")[0] for warning in document.warnings] == [
        "the values of 1 of its formulas are not stored"
    ]


def _changed(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stored", "kind", "row"),
    [
        (b"<v>1140</v>", b"", "| North | 1140 |"),
        (b"<v></v>", b' t="str"', "| North |  |"),
        (b"<v>0</v>", b"", "| North | =B9*C9 |"),
    ],
    ids=["computed", "empty text", "zero that is computed on opening"],
)
def test_a_formula_with_a_stored_value_gives_the_value(
    stored: bytes, kind: bytes, row: str
) -> None:
    book, _ = _sheet([["Region", "Revenue"], ["North", "=B9*C9"], ["South", 7]])

    def store(name: str, part: bytes) -> bytes:
        part = part.replace(b"<v></v>", b"<v/>").replace(b"<v />", b"<v/>")
        part = part.replace(b'<c r="B2">', b'<c r="B2"' + kind + b">")
        return part.replace(b"</f><v/>", b"</f>" + stored) if "sheet1" in name else part

    document = XlsxExtractor().extract(_SOURCE, _changed(_bytes(book), store))
    assert row in document.text.splitlines()


def test_hidden_sheets_rows_columns_and_white_letters_are_left_out() -> None:
    book, sheet = _sheet([["Product", "Cost", "Price"], ["Lamp", 11, 30], ["Never", 1, 2]])
    sheet.append(["Desk", 80, 140])
    sheet.row_dimensions[3].hidden = True
    sheet.column_dimensions["B"].hidden = True
    sheet["E1"] = "secret"
    sheet["E1"].font = Font(color="FFFFFFFF")
    sheet["C2"].font = Font(color="FFFFFFFF")
    sheet["C2"].fill = PatternFill("solid", fgColor="FF000000")
    for name, state in (("Purchase", "hidden"), ("Old", "veryHidden")):
        book.create_sheet(name)["A1"] = "secret"
        book[name].sheet_state = state
    document = _read(book)
    assert _texts(document) == [
        "Data",
        "| Product | Price |\n| - | - |\n| Lamp | 30 |\n| Desk | 140 |",
    ]


def test_links_and_comments_of_cells_are_kept() -> None:
    book, sheet = _sheet([["Form", "Fee"], ["Request", 5], ["Map", 6]])
    sheet["A2"].hyperlink = "https://a.example/form"
    sheet["A3"] = '=HYPERLINK("https://a.example/map","Map")'
    sheet["B2"].comment = Comment("Ana:\nOnly from May.", "Ana")
    document = _read(book)
    assert "| Request (https://a.example/form) | 5 |" in document.text
    assert "https://a.example/map" in document.text
    assert _texts(document)[-1] == "Comment (Ana) at B2: Only from May."


def test_raised_text_in_a_cell_keeps_its_meaning() -> None:
    book, sheet = _sheet()
    sheet["A1"] = CellRichText("10", TextBlock(InlineFont(vertAlign="superscript"), "6"), " cells")
    sheet["A2"] = "plain"
    assert "10⁶ cells" in _read(book).text


def test_struck_text_and_signs_of_fonts_are_told_from_other_text() -> None:
    book, sheet = _sheet([["Lamp", 20], ["Chair", 45]])
    gone, sign = InlineFont(strike=True), InlineFont(rFont="Symbol")
    sheet["B1"].font = Font(strike=True)
    sheet["A3"] = CellRichText("Fee ", TextBlock(gone, "20"), " 25 ", TextBlock(sign, "m"), "g")
    sheet["B3"], sheet["B3"].font = "m", Font(name="Symbol")
    assert _texts(_read(book))[1].splitlines() == [
        "| Lamp | ~~20~~ |",
        "| - | - |",
        "| Chair | 45 |",
        "| Fee ~~20~~ 25 μg | μ |",
    ]


def test_values_of_a_chart_have_the_formats_of_their_cells() -> None:
    book, sheet = _sheet([["Day", "Share"], [datetime(2024, 3, 15), 0.195]])
    sheet["A2"].number_format, sheet["B2"].number_format = "d/m/yyyy", "0%"
    chart = BarChart()
    chart.title = "Shares"
    chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=2), titles_from_data=True)
    chart.set_categories(Reference(sheet, min_col=1, min_row=2, max_row=2))
    sheet.add_chart(chart, "D2")

    def cache(name: str, part: bytes) -> bytes:
        for formula, value in ((b"'Data'!$A$2", b"45366"), (b"'Data'!$B$2", b"0.195")):
            points = b'<numCache><pt idx="0"><v>' + value + b"</v></pt></numCache>"
            old = b"<f>" + formula + b"</f>"
            part = part.replace(old, old + points)
        return part

    document = XlsxExtractor().extract(_SOURCE, _changed(_bytes(book), cache))
    caption, table = _texts(document)[2:]
    assert caption == "Shares\nBar chart"
    assert "| 2024-03-15 | 19.5% |" in table


def test_titles_and_header_rows_are_told_from_the_body() -> None:
    book, sheet = _sheet([["Mills by year"], ["Mill", 2022, None, 2023], ["Mill", "Flour", "Bran"]])
    sheet["D3"], sheet["E3"] = "Flour", "Bran"
    sheet.append(["Mill 1", 1, 2, 3, 4])
    for area in ("A1:E1", "B2:C2", "D2:E2", "A2:A3"):
        sheet.merge_cells(area)
    document = _read(book)
    assert _texts(document)[1:] == [
        "Mills by year",
        "| Mill | 2022 / Flour | 2022 / Bran | 2023 / Flour | 2023 / Bran |\n"
        "| - | - | - | - | - |\n| Mill 1 | 1 | 2 | 3 | 4 |",
    ]


@pytest.mark.parametrize(
    ("rows", "tables"),
    [
        ([["Name", "Age"], ["Ann", 1], [], ["Ben", 2], [], ["Cy", 3]], 1),
        ([["Name", "Day"], ["Ann", "Monday"], [], ["Ben", "Friday"]], 1),
        ([["Name", "Age"], ["Ann", 1], [], ["Name", "Age"], ["Ben", 2]], 1),
        ([["Name", "Age"], ["Ann", 1], [], ["City", "Size"], ["Bonn", 2]], 2),
        ([["Name", "Age"], ["Ann", 1], [], [], ["Ben", 2]], 2),
        ([["Name", "Age"], ["Ann", 1], [], ["Wide", 2, 3]], 2),
    ],
    ids=["rows", "texts", "header again", "other table", "two blank rows", "wider"],
)
def test_a_table_goes_on_below_a_blank_row(rows: list[list[object]], tables: int) -> None:
    document = _read(_sheet(rows)[0])
    kinds = [block.kind.value for block in document.blocks]
    assert kinds == ["heading", *["table"] * tables]
    if tables == 1:
        assert _texts(document)[1].count("\n") == sum(map(bool, rows)) - (
            ["Name", "Age"] in rows[1:]
        )


def test_headers_and_footers_stand_once_without_page_numbers() -> None:
    book, sheet = _sheet([["a", "b"]])
    for each in (sheet, book.create_sheet("More")):
        each["A1"] = "x"
        each.oddHeader.left.text = "QM-2231"
        each.oddFooter.center.text = "Page &P of &N"
        each.oddFooter.right.text = "&F Norwind"
    assert _texts(_read(book))[-2:] == ["Header: QM-2231", "Footer: Norwind"]


def test_escaped_characters_are_written_as_what_they_stand_for() -> None:
    book, sheet = _sheet([["one_x000D_\ntwo_x0009_tab"], ["_x005F_x000D_"], ["_xD83D__xDE00_"]])
    sheet["A1"].comment = Comment("Only_x000D_\nfrom May.", "Ana")
    sheet.oddHeader.left.text = "QM_x0009_2231"
    book.properties.title = "Plan_x000D_ B"
    document = _read(book)
    assert document.title == "Plan B"
    table, comment, header = _texts(document)[1:]
    assert [line.strip("| ") for line in table.splitlines()] == [
        "one two tab", "-", "_x000D_", "😀"
    ]  # fmt: skip
    assert comment == "Comment (Ana) at A1: Only from May."
    assert header == "Header: QM 2231"


@pytest.mark.parametrize("run", ["<t>{}</t>", "<r><rPr><vertAlign/></rPr><t>{}</t></r>"])
def test_an_escape_that_is_text_itself_is_kept_in_shared_strings(run: str) -> None:
    book, _ = _sheet([[0, "b"]])
    shared = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    text = run.format("_x005F_x000D_ is_x0009_text")
    strings = f'<sst xmlns="{shared}"><si>{text}</si></sst>'

    def share(name: str, part: bytes) -> bytes:
        if name == "[Content_Types].xml":
            return part.replace(
                b"</Types>",
                b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.'
                b'openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/></Types>',
            )
        if name == "xl/_rels/workbook.xml.rels":
            relation = f'<Relationship Id="s" Type="{kind}" Target="sharedStrings.xml"/>'
            return part.replace(b"</Relationships>", f"{relation}</Relationships>".encode())
        return part.replace(b'r="A1" t="n"', b'r="A1" t="s"') if "sheet1" in name else part

    buffer = io.BytesIO(_changed(_bytes(book), share))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", strings)
    document = XlsxExtractor().extract(_SOURCE, buffer.getvalue())
    assert "| _x000D_ is text | b |" in document.text


def test_a_merged_cell_is_read_as_long_as_a_part_of_it_is_visible() -> None:
    book, sheet = _sheet([["Team", "Year 2024", None, None], ["Team", "Q1", "Q2", "Q3"]])
    for row in (["Sales", 0, 2, 5], [None, 1, 3, 6], [None, 4, 7, 8], ["Old", 1, 1, 1]):
        sheet.append(row)
    for area in ("B1:D1", "A3:A5", "A6:A7"):
        sheet.merge_cells(area)
    for row in (3, 6, 7):
        sheet.row_dimensions[row].hidden = True
    sheet.column_dimensions["B"].hidden = True
    assert _texts(_read(book))[1:] == [
        "| Team | Year 2024 / Q2 | Year 2024 / Q3 |\n| - | - | - |\n"
        "| Sales | 3 | 6 |\n| Sales | 7 | 8 |"
    ]
