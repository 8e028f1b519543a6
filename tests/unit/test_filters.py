"""Filters as users write them, and what they mean."""

import json

import pytest

from kvasir.core.errors import FilterError
from kvasir.core.filters import Comparison, Logical, all_of, matches, parse_filter


def test_pairs_are_split_at_commas_and_at_the_first_equals_sign():
    condition = parse_filter("url=https://a/?b=c, lang=es")
    assert condition == Logical(
        "AND", (Comparison("url", "==", "https://a/?b=c"), Comparison("lang", "==", "es"))
    )


@pytest.mark.parametrize("value", [2026, 2026.0, "2026"])
def test_a_pair_matches_the_number_and_the_text(value):
    condition = parse_filter("year=2026")
    assert condition is not None
    assert matches(condition, {"year": value})
    assert not matches(condition, {"year": 2025})


def test_a_pair_matches_a_truth_value_but_not_one():
    condition = parse_filter("public=true")
    assert condition is not None
    assert matches(condition, {"public": True})
    assert matches(condition, {"public": "true"})
    assert not matches(condition, {"public": 1})


def test_the_mapping_may_be_given_as_json():
    raw = '{"field": "year", "operator": ">=", "value": 2020}'
    assert parse_filter(raw) == Comparison("year", ">=", 2020)


@pytest.mark.parametrize(
    "raw", ["nonsense", "year>=2020", "year!=2020", "=x", "{oops", '{"field": "a"}']
)
def test_what_is_no_filter_is_refused(raw):
    with pytest.raises(FilterError):
        parse_filter(raw)


def test_nothing_is_no_filter():
    assert parse_filter("") is None
    assert parse_filter(" , ") is None
    assert parse_filter({}) is None


def test_all_of_joins_what_is_there():
    tea, mead = Comparison("topic", "==", "tea"), Comparison("topic", "==", "mead")
    assert all_of() is None
    assert all_of(None, None) is None
    assert all_of(None, tea) == tea
    assert all_of(tea, None, mead) == Logical("AND", (tea, mead))


def nested(levels):
    """Return a mapping of so many levels."""
    mapping = {"field": "year", "operator": "==", "value": 1}
    for _ in range(levels - 1):
        mapping = {"operator": "NOT", "conditions": [mapping]}
    return mapping


@pytest.mark.parametrize(
    "raw",
    [
        nested(65),
        nested(5_000),
        json.dumps(nested(300)),
        '{"operator": "NOT", "conditions": [' * 100_000,
        '{"a": ' * 100_000,
    ],
)
def test_a_filter_that_is_nested_too_deeply_is_refused_in_one_line(raw):
    with pytest.raises(FilterError, match="nested more than 64 levels deep"):
        parse_filter(raw)


def test_a_filter_may_have_64_levels():
    assert parse_filter(nested(64)) is not None


def test_brackets_in_a_pair_are_text():
    assert parse_filter("a=" + "[" * 100_000) == Comparison("a", "==", "[" * 100_000)


@pytest.mark.parametrize(
    "raw",
    [
        "\udcff=1",
        "a=\udcff",
        {"field": "a", "operator": "in", "value": ["x", "\ud800"]},
        Logical("NOT", (Comparison("a", "==", "\udcff"),)),
    ],
)
def test_a_filter_that_is_not_utf_8_is_refused_in_one_line(raw):
    with pytest.raises(FilterError, match="is not UTF-8 text"):
        parse_filter(raw)
