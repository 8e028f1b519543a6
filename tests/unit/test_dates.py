"""Which texts are dates, and how they compare."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvasir.core import dates
from kvasir.core.filters import Comparison, matches

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES)


def holds(actual, operator, value):
    return matches(Comparison("date", operator, value), {"date": actual})


@given(TIMES, TIMES)
def test_times_compare_as_their_points_in_time_whatever_their_zones(first, second):
    texts = first.isoformat(), second.isoformat()
    assert holds(texts[0], "<", texts[1]) == (first < second)
    assert holds(texts[0], "<=", texts[1]) == (first <= second)
    assert holds(texts[0], "==", texts[1]) == (first == second)


@given(TIMES, st.dates(date(2, 1, 1), date(9998, 1, 1)))
def test_a_time_is_before_in_or_after_a_day(time, day):
    relations = [holds(time.isoformat(), each, day.isoformat()) for each in ("<", "==", ">")]
    of_time = time.astimezone(UTC).date()
    assert relations == [of_time < day, of_time == day, of_time > day]
    assert holds(time.isoformat(), ">=", day.isoformat()) == (of_time >= day)
    assert holds(time.isoformat(), "<=", day.isoformat()) == (of_time <= day)


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "2024-03-15T", "2024-3-5", "20240315", "2024", "10:30", "2024-03-15 noon", "",
     "２０２４-03-15", "2024-03-15T25:00", "0000-01-01", "2024-03-15T10:00:00+99:00"],
)  # fmt: skip
def test_other_texts_are_no_dates(text):
    assert dates.parse(text) is None
    assert dates.keys(text) == ()
    assert dates.seconds(text) is None


@pytest.mark.parametrize("text", ["2024-13", "2024-00", "0000", "24", "2024-02-30", "abc"])
def test_impossible_months_and_days_limit_no_range(text):
    assert dates.bound(">=", text) is None


def test_years_and_months_limit_ranges_at_their_ends():
    assert dates.bound("<=", "2024-12") == dates.bound("<", "2025")
    assert dates.bound(">", "9999") == (">=", dates.seconds("9999-12-31") + 86400)
    assert dates.bound(">", "2024-02") == dates.bound(">=", "2024-03-01")


def test_the_first_and_the_last_time_have_points_in_time():
    for text in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        assert dates.seconds(text) is not None
        assert dates.keys(text) == ()
