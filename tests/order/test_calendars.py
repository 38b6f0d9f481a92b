"""Which month of a time zone an order falls in, however its clocks are put."""

from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from services.order import calendars
from services.runtime.codes import TIME_ZONES
from services.runtime.ids import first_id

MOMENTS = some.integers(1_104_537_600, 2_051_222_400).map(partial(datetime.fromtimestamp, tz=UTC))


def month_of(moment, zone):
    """The month that the edges say."""
    month = moment.date().replace(day=1)
    edges = {name: values[0] for name, values in calendars.edges(zone, month, month).items()}
    order_id = first_id(int(moment.timestamp() * 1000))
    for which, moved in (("earlier", calendars.before), ("later", calendars.after)):
        if edges[f"edge_{which}_begin"] <= moment < edges[f"edge_{which}_end"]:
            assert edges[f"edge_{which}_first_id"] <= order_id < edges[f"edge_{which}_last_id"]
            return moved(month)
    return month


@given(MOMENTS, some.sampled_from(sorted(TIME_ZONES)))
@example(datetime(2026, 10, 31, 22, 59, 59, 999999, UTC), "Europe/Berlin")
@example(datetime(2026, 10, 31, 23, 0, tzinfo=UTC), "Europe/Berlin")
@example(datetime(2027, 1, 1, 7, 59, tzinfo=UTC), "America/Los_Angeles")
def test_every_moment_is_of_the_month_that_the_clocks_show(moment, zone):
    local = moment.astimezone(ZoneInfo(zone))

    assert month_of(moment, zone) == date(local.year, local.month, 1)


@pytest.mark.parametrize("year", range(2005, 2035))
def test_so_is_every_hour_about_the_edges_of_all_months(year):
    for zone in (
        "Europe/London",
        "America/Santiago",
        "Pacific/Kiritimati",
        "Asia/Kathmandu",
        "Pacific/Chatham",
    ):
        for month in range(1, 13):
            edge = datetime(year, month, 1, tzinfo=UTC)
            for quarters in range(-60, 60):
                moment = edge + timedelta(minutes=15 * quarters)
                local = moment.astimezone(ZoneInfo(zone))
                assert month_of(moment, zone) == date(local.year, local.month, 1), (zone, moment)


@pytest.mark.parametrize(
    ("zone", "month", "begins"),
    [
        # Clocks skipped the first hour of the first of October.
        ("America/Asuncion", date(2017, 10, 1), datetime(2017, 10, 1, 4, tzinfo=UTC)),
        # They showed the first hour of November twice.
        ("America/Havana", date(2026, 11, 1), datetime(2026, 11, 1, 4, tzinfo=UTC)),
        ("UTC", date(2026, 11, 1), datetime(2026, 11, 1, tzinfo=UTC)),
        ("Europe/Berlin", date(2026, 11, 1), datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("Europe/Berlin", date(2026, 10, 1), datetime(2026, 9, 30, 22, tzinfo=UTC)),
    ],
)
def test_a_month_begins_at_the_first_moment_that_its_clocks_show(zone, month, begins):
    assert calendars.begin_of(month, ZoneInfo(zone)) == begins


@given(some.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_the_month_before_the_month_after_is_the_month(day):
    month = day.replace(day=1)

    assert calendars.before(calendars.after(month)) == month
    assert calendars.after(month) == (month + timedelta(days=32)).replace(day=1)
