"""What a query asks for letter by letter."""

import pytest

from kvasir.answering.query_syntax import holds, parse_answered, parse_query


@pytest.mark.parametrize(
    "query",
    ['the "big red" pump', "the “big red” pump", "die „big red“ pump", "le « big red » pump",
     "「big red」"],
)  # fmt: skip
def test_quotation_marks_of_every_kind_make_a_phrase(query):
    assert parse_query(query).phrases == ("big red",)


@pytest.mark.parametrize("query", ["don't use 5\" pipes", 'an empty "" pair', "plain words"])
def test_other_marks_make_no_phrase(query):
    assert parse_query(query).phrases == ()


def test_words_after_a_hyphen_are_excluded_and_not_searched():
    parsed = parse_query('pump -oil -"cooling water" repair')
    assert parsed.text == "pump repair"
    assert parsed.excluded == ("oil", "cooling water")


@pytest.mark.parametrize(
    "query",
    ["tar -x", "ls --all", "at -12 degrees", "-oil", "well-known", "pump - oil",
     "pasted\ntext -oil", "x " * 150 + "-oil"],
)  # fmt: skip
def test_options_numbers_dashes_and_pasted_text_exclude_nothing(query):
    parsed = parse_query(query)
    assert parsed.excluded == ()
    assert parsed.text == query


def test_a_phrase_is_whole_words_in_any_case_and_spacing():
    assert holds("The Big\n  Red pump", "big red")
    assert not holds("The big redder pump", "big red")
    assert holds("It’s here", "it's")
    assert holds("他在北京大学读书", "北京大学")


def test_the_share_counts_phrases_and_identifiers():
    parsed = parse_query('"big red" AX-200')
    assert parsed.share("the big red one") == pytest.approx(1 / 3)
    assert parsed.share("AX-200, big red") == 1.0
    assert parse_query("plain").share("plain") == 0.0


def test_an_excluded_word_may_be_an_option_of_a_text():
    parsed = parse_query("find -name")
    assert parsed.is_option_of("Use `find . -name x` to search.")
    assert not parsed.is_option_of("The name of the find.")


def test_an_excluded_word_that_the_passages_hold_excludes_nothing():
    assert parse_answered("oil heater -diesel", ["A heater for oil."]).text == "oil heater"
    kept = parse_answered("find -name", ["Use -name PATTERN to find files."])
    assert (kept.text, kept.excluded) == ("find -name", ())
    held = parse_answered("oil heater -diesel", ["A diesel heater."])
    assert (held.text, held.excluded) == ("oil heater -diesel", ())
