import pytest

from kvasir.components.extractors.inline_marks import Position, Run, join_runs, link_suffix

BASE, UP, DOWN = Position.BASELINE, Position.RAISED, Position.LOWERED
GONE = Position.STRUCK


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([("10", BASE), ("6", UP), (" photons", BASE)], "10⁶ photons"),
        ([("10", BASE), ("-", UP), ("1", UP), ("2", UP)], "10⁻¹²"),
        ([("25 mm", BASE), ("2", UP), (".", BASE)], "25 mm²."),
        ([("CO", BASE), ("2", DOWN)], "CO₂"),
        ([("SO", BASE), ("4", DOWN), ("2-", UP)], "SO₄²⁻"),
        ([("x", BASE), ("max", DOWN)], "x_(max)"),
        ([("2", BASE), ("n+1", UP)], "2ⁿ⁺¹"),
        ([("2", BASE), ("ab", UP)], "2^(ab)"),
        ([("in 1987", BASE), ("3", UP), (" and", BASE)], "in 1987[^3] and"),
        ([("in 11987", BASE), ("3", UP)], "in 11987³"),
        ([("a plant", BASE), ("12", UP)], "a plant[^12]"),
        ([("the end.", BASE), ("1, 2", UP)], "the end.[^1, 2]"),
        ([("数据", BASE), ("4", UP)], "数据[^4]"),
        ([("상해", BASE), ("1)", UP), ("나", BASE)], "상해[^1]나"),
        ([("on the 5", BASE), ("th", UP), (" of May", BASE)], "on the 5th of May"),
        ([("1", BASE), ("o", UP), (" piso", BASE)], "1º piso"),
        ([("Brand", BASE), ("™", UP), (" price", BASE), ("*", UP)], "Brand™ price*"),
        ([("Words ", BASE), ("a whole phrase that is raised", UP)],
         "Words a whole phrase that is raised"),
        ([("m", BASE), ("2 ", UP), ("of floor", BASE)], "m² of floor"),
        ([("", UP), ("plain", BASE)], "plain"),
        ([("Fee ", BASE), ("20 ", GONE), ("25", BASE)], "Fee ~~20~~ 25"),
        ([("10", GONE), ("6", UP.struck()), ("7", BASE)], "~~10⁶~~7"),
        ([("in 1987", BASE), ("3", UP.struck()), (" ", GONE)], "in 1987~~[^3]~~ "),
    ],
)  # fmt: skip
def test_raised_and_lowered_text_cannot_be_taken_for_other_numbers(
    runs: list[Run], text: str
) -> None:
    assert join_runs(runs) == text


@pytest.mark.parametrize(
    ("words", "address", "suffix"),
    [
        ("the form", "https://a.example/f?id=1#x", " (https://a.example/f?id=1#x)"),
        ("write to us", "mailto:ann@a.example", " (mailto:ann@a.example)"),
        ("https://a.example/", "https://a.example", ""),
        ("www.a.example", "http://www.a.example/", ""),
        ("ann@a.example", "mailto:ann@a.example", ""),
        ("the manual", "https://a.example/load table 90%-100%.pdf",
         " (https://a.example/load%20table%2090%-100%.pdf)"),
        ("up", "#top", ""),
        ("run", "javascript:alert(1)", ""),
        ("picture", "data:image/png;base64,AAAA", ""),
        ("file", "other.docx", ""),
        ("long", f"https://a.example/{'x' * 200}", ""),
    ],
)  # fmt: skip
def test_the_address_of_a_link_stands_behind_its_words(
    words: str, address: str, suffix: str
) -> None:
    assert link_suffix(words, address) == suffix
