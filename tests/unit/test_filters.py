"""Filters as users write them, and what they mean."""

import json
import time
from contextlib import suppress
from datetime import UTC, date, datetime

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
    "raw",
    [
        "nonsense",
        "=x",
        "{oops",
        '{"field": "a"}',
        "title=a, b",
        "a=1 b=2, c",
        ">5",
        "wow!a=1",
        '""=x',
        "name>=abc",
        "public<true",
        'year>="20"',
        '{"field": "name", "operator": "<", "value": "abc"}',
        '{"field": "tags", "operator": "==", "value": ["a", "b"]}',
        '{"field": "title", "operator": "under", "value": "/a/"}',
        '{"field": "source_uri", "operator": "under", "value": "/a"}',
    ],
)
def test_what_is_no_filter_is_refused(raw):
    with pytest.raises(FilterError):
        parse_filter(raw)


@pytest.mark.parametrize(
    ("raw", "metadata", "others"),
    [
        ("year>=2020", {"year": 2020}, {"year": 2019.5}),
        ("year!=2020", {"year": 2021}, {"year": "2020"}),
        ("year<2020", {"year": -1}, {"year": "2019"}),
        ("year==2020", {"year": 2020}, {"year": 2}),
        ("date>=2022", {"date": "2022-01-01"}, {"date": "2021-12-31T23:59:59Z"}),
        ("date>2022-01", {"date": "2022-02-01"}, {"date": "2022-01-31T10:00:00Z"}),
        ("date <= 2022-01-01", {"date": "2022-01-01T20:00:00Z"}, {"date": "2022-01-02"}),
        ("date=2022-01-01", {"date": "2022-01-01T20:00:00Z"}, {"date": "2022-01-02"}),
        ('title="Rules, part 2"', {"title": "Rules, part 2"}, {"title": "Rules"}),
        ("title='Rules, part 2',n=1", {"title": "Rules, part 2", "n": 1}, {"title": "Rules"}),
        ('title="say ""hello"""', {"title": 'say "hello"'}, {"title": "hello"}),
        ('year="2020"', {"year": "2020"}, {"year": 2020}),
        ("title=two words", {"title": "two words"}, {"title": "two"}),
        ('"a=b, c"=x', {"a=b, c": "x"}, {"a": "x"}),
        ("tags=pump", {"tags": ("pump", "oil")}, {"tags": "pump, oil"}),
        ("tags!=pump", {"tags": ("oil",)}, {"tags": ("pump", "oil")}),
        ("tags=pump,tags=oil", {"tags": ("pump", "oil")}, {"tags": ("pump",)}),
        ("title=", {"title": ""}, {"title": " "}),
    ],
)
def test_pairs_have_comparisons_quotation_marks_and_lists(raw, metadata, others):
    condition = parse_filter(raw)
    assert matches(condition, metadata)
    assert not matches(condition, others)


def test_a_malformed_pair_says_how_a_value_with_a_comma_is_written():
    with pytest.raises(FilterError, match=r"filter 'part 2' .* title=\"Rules, part 2\""):
        parse_filter("title=Rules, part 2")


@pytest.mark.parametrize("raw", ['author="Ana', "author='Ana, year=2020", 'title="a" b'])
def test_a_quotation_mark_that_is_not_closed_is_an_error(raw):
    with pytest.raises(FilterError, match="begins with a quotation mark and does not end with it"):
        parse_filter(raw)


def test_a_mapping_of_fields_says_what_a_comparison_needs():
    with pytest.raises(
        FilterError, match=r"needs 'field', 'operator' and 'value': \{'lang': 'es'\}"
    ):
        parse_filter('{"lang": "es"}')


@pytest.mark.parametrize("value", [date(2022, 1, 1), datetime(2022, 1, 1, tzinfo=UTC), "2022"])
def test_a_range_takes_dates_as_haystack_does(value):
    condition = parse_filter({"field": "meta.date", "operator": ">=", "value": value})
    assert matches(condition, {"date": "2022-03-04"})
    assert not matches(condition, {"date": "2021-12-31"})
    assert not matches(condition, {"date": 2023})


def test_a_range_without_number_or_date_says_what_it_needs():
    with pytest.raises(FilterError, match="'>=' needs a number or a date such as 2024-01-31"):
        parse_filter("name>=abc")


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


@pytest.mark.parametrize(
    "raw",
    [
        " " * 200_000,
        "a" + " " * 200_000,
        "a=1, b" + " " * 200_000,
        "a='b'" + " " * 200_000 + "c",
        '"' + '""' * 100_000,
    ],
)
def test_a_long_filter_is_read_in_linear_time(raw):
    started = time.process_time()
    with suppress(FilterError):
        parse_filter(raw)
    assert time.process_time() - started < 2.0
