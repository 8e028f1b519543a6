import time

import pytest

from kvasir.components.extractors.delimited import CsvExtractor
from kvasir.core.types import Source

_ROWS = "1,2\n3,4\n5,6\n"


def _blocks(text: str) -> list[tuple[str, str]]:
    document = CsvExtractor().extract(Source("/folder/file.csv", "text/csv"), text.encode())
    return [(block.kind.value, document.text[block.start : block.end]) for block in document.blocks]


def _table(*rows: str) -> tuple[str, str]:
    header, *body = (f"| {row} |" for row in rows)
    columns = rows[0].count("|") + 1
    return "table", "\n".join([header, f"| {' | '.join('-' * columns)} |", *body])


@pytest.mark.parametrize("line", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n'])
def test_a_separator_line_names_the_delimiter_and_is_no_row(line: str) -> None:
    assert _blocks(f"{line}a,x;b\n1,5;2\n") == [_table("a,x | b", "1,5 | 2")]


def test_a_separator_line_may_name_the_tab() -> None:
    assert _blocks("sep=\\t\na\tb\n1\t2\n") == [_table("a | b", "1 | 2")]


@pytest.mark.parametrize(
    ("above", "blocks"),
    [
        ("Sales of 2024\n", [("caption", "Sales of 2024")]),
        ("Sales of 2024,,\n,,\n", [("caption", "Sales of 2024")]),
        ("Sales of 2024,,,\nin thousands,,,\n", [("caption", "Sales of 2024"),
                                                 ("caption", "in thousands")]),
        ("Sales\n\nCreated,2024-05-01\nBy,Ann\n\n", [("caption", "Sales"),
                                                     ("caption", "Created: 2024-05-01"),
                                                     ("caption", "By: Ann")]),
    ],
)  # fmt: skip
def test_titles_above_the_header_are_no_header(above: str, blocks: list[tuple[str, str]]) -> None:
    rows = "Region,Q1,Q2,Q3\nNorth,1,2,3\nSouth,4,5,6\nWest,7,8,9\n"
    table = _table("Region | Q1 | Q2 | Q3", "North | 1 | 2 | 3", "South | 4 | 5 | 6",
                   "West | 7 | 8 | 9")  # fmt: skip
    assert _blocks(above + rows) == [*blocks, table]


@pytest.mark.parametrize(
    ("header", "joined"),
    [
        (",2022,,2023,\nMill,Flour,Bran,Flour,Bran\n",
         "Mill | 2022 / Flour | 2022 / Bran | 2023 / Flour | 2023 / Bran"),
        ("Mill,Flour,Bran,Rye,Oats\n,t,t,kg,kg\n",
         "Mill | Flour / t | Bran / t | Rye / kg | Oats / kg"),
        ("Mill,2022,,2023,\n,Flour,Bran,Flour,Bran\n,t,kg,t,kg\n",
         "Mill | 2022 / Flour / t | 2022 / Bran / kg | 2023 / Flour / t | 2023 / Bran / kg"),
        # The first row of a body is none of the header.
        ("Mill,Flour,,Rye,Oats\n", "Mill | Flour |  | Rye | Oats"),
    ],
)  # fmt: skip
def test_a_header_of_several_rows_becomes_one(header: str, joined: str) -> None:
    rows = "".join(f"Mill {n},{n},{n + 1},{n + 2},{n + 3}\n" for n in range(1, 4))
    (table,) = _blocks(header + rows)
    assert table == _table(joined, *(row.replace(",", " | ") for row in rows.splitlines()))


def test_missing_values_in_the_first_row_do_not_make_it_a_header() -> None:
    (table,) = _blocks("a,b,c\nx,n/a,-\ny,1,2\nz,3,4\n")
    assert table == _table("a | b | c", "x | n/a | -", "y | 1 | 2", "z | 3 | 4")


@pytest.mark.parametrize(
    ("header", "first", "other"),
    [
        ("item,price", "Lamp,on request", "Desk,45"),
        ("item,price,stock", "Lamp,on request,unknown", "Desk,45,3"),
        ("item,,price", "Lamp,big,on request", "Desk,small,45"),
    ],
)
def test_words_in_columns_of_numbers_do_not_make_the_first_row_a_header(
    header: str, first: str, other: str
) -> None:
    rows = [first, other, other]
    (table,) = _blocks("\n".join([header, *rows, ""]))
    assert table[1].splitlines()[2:] == [f"| {row.replace(',', ' | ')} |" for row in rows]


def test_a_table_goes_on_below_a_blank_row() -> None:
    whole = _table("a | b", "1 | 2", "3 | 4", "5 | 6")
    assert _blocks(f"a,b\n1,2\n\n{_ROWS[4:]}") == [whole]
    assert _blocks(f"a,b\n1,2\n,\na,b\n{_ROWS[4:]}") == [whole]


def test_a_new_header_or_title_below_a_blank_row_begins_a_new_table() -> None:
    first, second = _table("a | b", "1 | 2", "3 | 4"), _table("c | d", "5 | 6", "7 | 8")
    assert _blocks("a,b\n1,2\n3,4\n\nc,d\n5,6\n7,8\n") == [first, second]
    assert _blocks("a,b\n1,2\n3,4\n\nMore\nc,d\n5,6\n7,8\n\nSource: us\n") == [
        first, ("caption", "More"), second, ("caption", "Source: us"),
    ]  # fmt: skip


def test_a_file_of_one_column_keeps_every_row() -> None:
    assert _blocks("name\nAnn\nBob\n") == [_table("name", "Ann", "Bob")]


@pytest.mark.parametrize(
    "row", ['1\t"Hello he said\t5', '1\t20" tube\t5', '1\t"a\t5\n2\tb" c\t6\n3\t"d\t7']
)
def test_a_quote_sign_that_nothing_closes_is_a_part_of_its_cell(row: str) -> None:
    (table,) = _blocks(f"id\ttext\tn\n{row}\n8\tplain\t9\n10\tmore\t11\n")
    rows = [*row.split("\n"), "8\tplain\t9", "10\tmore\t11"]
    assert table[1].splitlines()[2:] == [f"| {row.replace(chr(9), ' | ')} |" for row in rows]


def test_quote_signs_without_end_are_read_in_proportion_to_the_file() -> None:
    begun = time.monotonic()
    _blocks('a,b\n"x\n' + 'x","y\n' * 20_000)
    assert time.monotonic() - begun < 10


def test_a_quoted_cell_may_have_lines_with_delimiters() -> None:
    (table,) = _blocks('a,b\n1,"x, y\nz, w"\n2,"u\nv, w"\n')
    assert table == _table("a | b", "1 | x, y z, w", "2 | u v, w")


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        ('1,"Say \\"hi, you\\"",5\n2,plain,6', ['Say "hi, you"', "plain"]),
        ('1,"Say \\"hi\\"",5\n2,plain,6', ['Say "hi"', "plain"]),
        ('1,"C:\\new\\",5\n2,"a ""b""",6', ["C:\\new\\", 'a "b"']),
        ('1, "Smith, John", 5\n2, "Doe, Jane", 6', ["Smith, John", "Doe, Jane"]),
        ("1,'Smith, John',5\n2,'Doe, Jane',6", ["Smith, John", "Doe, Jane"]),
        ("1,'s Hertogenbosch,5\n2,'t Zand,6", ["'s Hertogenbosch", "'t Zand"]),
        ('1,="01067",5\n2,="00501",6', ["01067", "00501"]),
    ],
)
def test_each_way_of_quoting_is_read(rows: str, cells: list[str]) -> None:
    first, second = cells
    assert _blocks(f"id,text,n\n{rows}\n") == [
        _table("id | text | n", f"1 | {first} | 5", f"2 | {second} | 6")
    ]
