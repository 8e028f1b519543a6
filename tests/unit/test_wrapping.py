"""Lines of a terminal: words whole, wide characters counted as they are shown, tables aligned."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from rich.text import Text

from kvasir.frontends.cli.wrapping import columns, hanging, wrapped

WIDTHS = [50, 80, 120]
ENGLISH = "The surface of the Moon is covered with craters, which impacts of rocks have made. " * 4
SPANISH = "La energía eólica creció más rápido que la hidroeléctrica según el último informe. " * 4
COMBINING = "re\u0301sume\u0301 cafe\u0301 nai\u0308vete\u0301 " * 12
HEBREW = "הירח מקיף את כדור הארץ במרחק של קילומטרים רבים מאוד " * 4
KOREAN = "달은 지구 주위를 돌고 있으며 표면에는 많은 분화구가 있다 " * 5
CHINESE = "月亮围绕地球运行，表面布满了陨石坑。天文学家已经研究了几百年（见第三章）。" * 4


def lines_of(text: str, width: int | None) -> list[str]:
    return [line.plain for line in wrapped(Text(text), width)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", [ENGLISH, SPANISH, COMBINING, HEBREW, KOREAN])
def test_words_are_whole_and_lines_fit(text: str, width: int) -> None:
    lines = lines_of(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert " ".join(lines).split() == text.split()
    # Each line takes what fits.
    firsts = [line.split()[0] for line in lines[1:]]
    assert all(
        cell_len(line) + 1 + cell_len(first) > width
        for line, first in zip(lines, firsts, strict=False)
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_chinese_breaks_between_characters_but_not_before_punctuation(width: int) -> None:
    lines = lines_of(CHINESE, width)
    assert "".join(lines) == CHINESE
    assert all(cell_len(line) <= width for line in lines)
    assert all(line[0] not in "，。）" and line[-1] != "（" for line in lines)
    assert all(cell_len(line) >= width - 6 for line in lines[:-1])


def test_a_word_in_chinese_text_stays_whole() -> None:
    lines = lines_of("本系统称为 Kvasir-Retrieval，" * 6, 30)
    assert sum(line.count("Kvasir-Retrieval") for line in lines) == 6


def test_a_long_address_breaks_behind_separators_and_loses_nothing() -> None:
    address = "https://example.org/manuals/2026/installation/on-small-machines.html?part=3&lang=en"
    lines = lines_of(f"see {address}", 50)
    assert all(len(line) <= 50 for line in lines)
    assert "".join(lines).replace(" ", "") == f"see{address}"
    assert all(line[-1] in "/?&=-._" for line in lines[1:-1])


def test_a_word_without_separators_is_left_whole() -> None:
    assert lines_of(f"a {'x' * 70} b", 50) == ["a", "x" * 70, "b"]


def test_without_a_width_nothing_is_wrapped() -> None:
    assert lines_of(ENGLISH, None) == [ENGLISH]


def test_further_lines_are_indented() -> None:
    lines = [line.plain for line in hanging(Text(ENGLISH), 50, "1. ", "   ")]
    assert lines[0].startswith("1. The")
    assert all(line.startswith("   ") and len(line) <= 50 for line in lines[1:])


def test_styles_stay_on_their_words() -> None:
    text = Text(ENGLISH)
    start = ENGLISH.rindex("craters")
    text.stylize("bold", start, start + 7)
    styled = [
        line.plain[span.start : span.end] for line in wrapped(text, 50) for span in line.spans
    ]
    assert styled == ["craters"]


ROWS = [
    ["Source", "Title", "Chunks"],
    ["notes/moon.md", "The Moon and its craters, seen from a small observatory in winter", "2"],
    ["手册.md", "安装与使用手册", "11"],
]


def table(rows: list[list[str]], width: int | None, *, ruled: bool = True) -> list[str]:
    cells = [[Text(cell) for cell in row] for row in rows]
    return [line.plain for line in columns(cells, width, ruled=ruled)]


@pytest.mark.parametrize("width", WIDTHS)
def test_columns_are_aligned_and_cells_are_wrapped(width: int) -> None:
    lines = table(ROWS, width)
    assert all(cell_len(line) <= width for line in lines)
    bars = {
        tuple(cell_len(line[:at]) for at, letter in enumerate(line) if letter in "│┼")
        for line in lines
    }
    assert len(bars) == 1
    words = {word for line in lines for word in line.replace("│", " ").split()}
    assert {word for row in ROWS for cell in row for word in cell.split()} <= words


def test_a_table_whose_words_do_not_fit_beside_each_other_becomes_a_list() -> None:
    rows = [[f"column{n}-with-a-name" for n in range(5)], [f"value{n}" * 3 for n in range(5)]]
    lines = table(rows, 50)
    assert lines[0] == "value0value0value0"
    assert lines[1] == "  column1-with-a-name: value1value1value1"
    assert len(lines) == 5


def test_a_list_of_rows_has_two_spaces_between_columns() -> None:
    assert table(ROWS[:2], None, ruled=False) == [
        f"Source         Title{' ' * 62}Chunks",
        f"notes/moon.md  {ROWS[1][1]}  2",
    ]
