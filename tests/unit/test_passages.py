"""Passages on a terminal: prose wrapped, tables drawn, code as it is, excerpts of whole words."""

from __future__ import annotations

import random

import pytest
from rich.text import Text

from kvasir.frontends.cli.passages import StreamedLines, excerpt, passage_lines

PROSE = "The surface of the Moon is covered with craters that impacts of rocks have made."
TABLE = (
    "| Planet | Moons | Remark |\n| - | - | - |\n"
    "| Earth | 1 | The Moon has many craters and no air |\n"
    "| Mars | 2 | Phobos and Deimos \\| small |"
)
CODE = "```python\ndef orbit(distance, period=27.3, *, in_kilometres=True):\n\treturn distance\n```"


def shown(text: str, width: int | None = 50, **options: object) -> list[str]:
    return [line.plain for line in passage_lines(text, width, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_tables_are_drawn_and_prose_is_wrapped(width: int) -> None:
    lines = shown(f"{PROSE}\n\n{TABLE}\n\n{PROSE}", width)
    assert all(len(line) <= width for line in lines)
    assert not any(line.startswith("|") for line in lines)
    rows = [line for line in lines if "│" in line]
    assert len({line.index("│") for line in rows}) == 1
    assert "Phobos and Deimos" in " ".join(" ".join(rows).split())
    assert any("| small" in line for line in rows)
    assert " ".join(" ".join(lines).split()).count(PROSE) == 2


def test_code_is_not_wrapped_and_keeps_its_indentation() -> None:
    assert shown(CODE) == CODE.split("\n")
    lines = ["class Moon:", "", "    def orbit(self, distance_in_kilometres, period_in_days=27):"]
    assert shown("\n".join(lines), is_code=True) == lines
    command = "kvasir search --filters language=en,department=sales --top-k 3 = all"
    assert shown(f"x = {command}") == [f"x = {command}"]


def test_lines_of_a_wrapped_paragraph_are_joined_and_short_lines_are_not() -> None:
    first = "The surface of the Moon is covered with craters that impacts of"
    assert shown(f"{first}\nrocks have made.", 120) == [f"{first} rocks have made."]
    assert shown("Roses are red\nViolets are blue", 120) == ["Roses are red", "Violets are blue"]
    assert shown(f"- {PROSE}\n- {PROSE}", 120) == [f"- {PROSE}", f"- {PROSE}"]


def test_a_table_without_a_header_has_no_empty_row() -> None:
    assert shown("| a | b |\n| c | d |") == ["a │ b", "c │ d"]


def test_ascii_terminals_get_ascii_tables() -> None:
    assert shown("| a | b |\n| - | - |\n| c | d |", rule="-") == ["a | b", "--+--", "c | d"]


def test_control_characters_are_removed() -> None:
    assert shown("The \x1b]8;;http://evil\x1b\\Sun\x9b2J") == ["The ]8;;http://evil\\Sun2J"]


def find(word: str):
    return lambda text: [
        (at, at + len(word)) for at in range(len(text)) if text.startswith(word, at)
    ]


def test_matching_words_have_a_style_in_prose_and_in_tables() -> None:
    lines = passage_lines(f"{PROSE}\n\n{TABLE}", 50, find=find("craters"))
    marked = [
        line.plain[span.start : span.end]
        for line in lines
        for span in line.spans
        if span.style == "bold yellow"
    ]
    assert marked == ["craters", "craters"]


def test_an_excerpt_begins_with_the_sentence_of_the_most_matches_and_ends_behind_a_word() -> None:
    text = f"{'Nothing of interest is said here. ' * 20}{PROSE} {'And so on and on. ' * 30}"
    part = excerpt(text, find("craters")(text), 200)
    assert part.startswith(f"… {PROSE}")
    assert part.endswith((" on. …", " and …", " so …", " on …", " And …"))
    assert set(part.split()) - {"…"} <= set(text.split())
    assert excerpt(PROSE, [], 200) == PROSE


def test_an_excerpt_of_a_table_keeps_its_header_and_whole_rows() -> None:
    rows = [f"| planet {n} | {n} | {'far away ' * 3}|" for n in range(40)]
    text = "\n".join(["| Planet | Moons | Remark |", "| - | - | - |", *rows])
    part = excerpt(text, find("planet 30 ")(text), 200)
    lines = part.split("\n")
    assert lines[0] == "| Planet | Moons | Remark |"
    assert all(line.rstrip(" …") in text for line in lines)
    assert any("planet 30 " in line for line in lines)
    assert "Planet" in shown(part)[0]


def streamed(text: str, cuts: list[int], width: int = 50) -> str:
    written: list[str] = []
    lines = StreamedLines(width, lambda part: written.append(part.plain))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        lines.feed(text[start:end])
    lines.finish()
    return "".join(written)


ANSWER = (
    f"{PROSE} [1] {PROSE} [2]\n\n{TABLE} [1][2]\n\nThe code `orbit()` says:\n{CODE}\nAs shown. [3]"
)


@pytest.mark.parametrize("seed", range(20))
def test_however_an_answer_is_cut_into_pieces_its_lines_are_the_same(seed: int) -> None:
    chosen = random.Random(seed)
    cuts = sorted(chosen.sample(range(1, len(ANSWER)), chosen.randint(0, 60)))
    assert streamed(ANSWER, cuts) == streamed(ANSWER, [])


def test_a_streamed_answer_has_whole_words_and_drawn_tables() -> None:
    lines = streamed(ANSWER, list(range(1, len(ANSWER)))).rstrip().split("\n")
    assert "```python" in lines
    code = lines.index("```python")
    assert lines[code : code + 4] == CODE.split("\n")
    assert all(len(line) <= 50 for line in lines[:code])
    assert " ".join(" ".join(lines).split()).startswith(f"{PROSE} [1] {PROSE} [2]")
    assert any("│" in line and "[1][2]" in line for line in lines)


def test_words_are_shown_as_soon_as_they_are_complete() -> None:
    written: list[Text] = []
    lines = StreamedLines(50, written.append)
    lines.feed("The Moon has crat")
    assert "".join(part.plain for part in written) == "The Moon has"
