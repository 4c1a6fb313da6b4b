from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.times import iso, microseconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026", "2026-01-01T00:00:00+00:00"),
        ("2026-03", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("20260301", "2026-03-01T00:00:00+00:00"),
        (" 2026-03-01 12:30 ", "2026-03-01T12:30:00+00:00"),
        ("2026-03-01T12:30:00Z", "2026-03-01T12:30:00+00:00"),
        ("2026-03-01T00:30:00+02:00", "2026-02-28T22:30:00+00:00"),
        ("2026-03-01T12:30:00.25", "2026-03-01T12:30:00.250000+00:00"),
        ("1700000000", "2023-11-14T22:13:20+00:00"),
        ("1700000000.0", "2023-11-14T22:13:20+00:00"),
        ("1700000000000", "2023-11-14T22:13:20+00:00"),
        ("1700000000000000", "2023-11-14T22:13:20+00:00"),
        ("1700000000000000000", "2023-11-14T22:13:20+00:00"),
        ("-0.5", "1969-12-31T23:59:59.500000+00:00"),
    ],
)
def test_a_time_is_read_as_people_and_programs_write_it(text, moment):
    found = microseconds(text)
    assert found is not None
    assert iso(found) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "03/04/2026", "2026-13-01", "0001-01-01T00:00+05:00", "1" * 5_000]
)
def test_what_is_no_time_or_may_be_several_is_none(text):
    assert microseconds(text) is None


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.integers(-12 * 60, 14 * 60),
)
def test_the_zone_counts_and_nothing_is_lost(moment, minutes):
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    found = microseconds(zoned.isoformat())
    assert found is not None
    assert datetime.fromisoformat(iso(found)) == zoned.astimezone(UTC)
