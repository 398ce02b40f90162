"""Cron expressions: which are taken, and when they fire over both clock changes (AG-42, AG-43)."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SwitchboardError
from tasks.cron import FIELDS, check_cron, fire_times, instant, next_fire, zone_for

NOW = datetime(2026, 1, 7, 12, 30, tzinfo=UTC)  # a Wednesday
OSLO, NEW_YORK, LORD_HOWE, APIA = map(ZoneInfo, ("Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"))


def fires(expression: str, zone: str = "UTC", after: datetime = NOW, count: int = 3) -> list[str]:
    """The next firing times, in UTC, as `day hour:minute`."""
    return [f"{moment:%m-%d %H:%M}" for moment in islice(fire_times(expression, zone_for(zone), after), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * 1", ["01-12 09:00", "01-19 09:00", "01-26 09:00"]),
        ("0 9 * * mon", ["01-12 09:00", "01-19 09:00", "01-26 09:00"]),
        ("0 9 * * MON", ["01-12 09:00", "01-19 09:00", "01-26 09:00"]),
        ("0 9 * * 0", ["01-11 09:00", "01-18 09:00", "01-25 09:00"]),
        ("0 9 * * 7", ["01-11 09:00", "01-18 09:00", "01-25 09:00"]),
        ("0 9 * * sun", ["01-11 09:00", "01-18 09:00", "01-25 09:00"]),
        ("0 9 * * 1-5/2", ["01-09 09:00", "01-12 09:00", "01-14 09:00"]),
        ("0 9 * * */2", ["01-08 09:00", "01-10 09:00", "01-11 09:00"]),
        ("0 9 * * mon-wed,fri", ["01-09 09:00", "01-12 09:00", "01-13 09:00"]),
        ("0 9 * * 5-7", ["01-09 09:00", "01-10 09:00", "01-11 09:00"]),
        ("0 0 13 * 5", ["01-09 00:00", "01-13 00:00", "01-16 00:00"]),
        ("0 0 13 * *", ["01-13 00:00", "02-13 00:00", "03-13 00:00"]),
        ("0 0 1 jan,jul *", ["07-01 00:00", "01-01 00:00", "07-01 00:00"]),
        ("*/20 * * * *", ["01-07 12:40", "01-07 13:00", "01-07 13:20"]),
        ("10-30/10 12 * * *", ["01-08 12:10", "01-08 12:20", "01-08 12:30"]),
        ("30 12 * * *", ["01-08 12:30", "01-09 12:30", "01-10 12:30"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
        ("* * * * *", ["01-07 12:31", "01-07 12:32", "01-07 12:33"]),
    ],
)
def test_an_expression_fires_at(expression: str, expected: list[str]) -> None:
    assert fires(expression) == expected
    assert check_cron(expression, ZoneInfo("UTC"), NOW) == expression


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("5-1 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("１ * * * *", "minute"),
        ("jan * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* 1.5 * * *", "hour"),
        ("* * 0 * *", "day-of-month"),
        ("* * 32 * *", "day-of-month"),
        ("* * L * *", "day-of-month"),
        ("* * LW * *", "day-of-month"),
        ("* * 15W * *", "day-of-month"),
        ("* * ? * *", "day-of-month"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 31 4,6 *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * month *", "month"),
        ("* * * mon *", "month"),
        ("* * * * 8", "day-of-week"),
        ("* * * * 5L", "day-of-week"),
        ("* * * * 5#2", "day-of-week"),
        ("* * * * mon#1", "day-of-week"),
        ("* * * * ?", "day-of-week"),
        ("* * * * fre", "day-of-week"),
    ],
)
def test_what_cron_does_not_know_is_refused_by_its_field(expression: str, field: str) -> None:
    with pytest.raises(SwitchboardError) as refusal:
        check_cron(expression, OSLO, NOW)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_cron")
    assert f"The {field} field" in refusal.value.message


@pytest.mark.parametrize("expression", ["", "@daily", "* * * *", "* * * * * *", "0 0 9 * * 1"])
def test_there_are_exactly_five_fields(expression: str) -> None:
    with pytest.raises(SwitchboardError, match="five fields: minute hour day-of-month month day-of-week") as refusal:
        check_cron(expression, OSLO, NOW)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_cron")


def test_blanks_between_fields_become_single() -> None:
    assert check_cron(" 0  9\t* * mon ", OSLO, NOW) == "0 9 * * mon"


def test_a_day_that_comes_too_rarely_is_refused() -> None:
    """AG-42: it must fire within the next five years; between 2096 and 2104 there is no 29 February."""
    with pytest.raises(SwitchboardError, match="within the next five years"):
        check_cron("0 0 29 2 *", OSLO, datetime(2097, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", ["Europe/Oslo", "UTC", "US/Eastern", "Asia/Calcutta", "Europe/Kiev", "Etc/GMT+5", "EST"])
def test_zones_and_their_legacy_aliases_are_known(name: str) -> None:
    assert zone_for(name).key == name


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "utc+1", "America", "../etc/passwd", "/etc/localtime", "localtime", "Europe/Oslo\n", "x" * 300]
)
def test_other_zones_are_refused(name: str) -> None:
    with pytest.raises(SwitchboardError) as refusal:
        zone_for(name)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_timezone")


SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Oslo 2026: on 29 March 02:00 becomes 03:00 (01:00 UTC), on 25 October 03:00 becomes 02:00 again (01:00 UTC)
        ("30 2 * * *", "Europe/Oslo", SPRING, ["03-29 01:00", "03-30 00:30", "03-31 00:30"]),
        ("0 3 * * *", "Europe/Oslo", SPRING, ["03-29 01:00", "03-30 01:00", "03-31 01:00"]),
        ("*/15 2 * * *", "Europe/Oslo", SPRING, ["03-29 01:00", "03-30 00:00", "03-30 00:15"]),
        ("0 2,3 * * *", "Europe/Oslo", SPRING, ["03-29 01:00", "03-30 00:00", "03-30 01:00"]),
        ("59 1 * * *", "Europe/Oslo", SPRING, ["03-29 00:59", "03-29 23:59", "03-30 23:59"]),
        ("30 2 * * *", "Europe/Oslo", AUTUMN, ["10-25 00:30", "10-26 01:30", "10-27 01:30"]),
        ("0 2-3 * * *", "Europe/Oslo", AUTUMN, ["10-25 00:00", "10-25 02:00", "10-26 01:00"]),
        ("0 * * * *", "Europe/Oslo", datetime(2026, 10, 24, 23, 30, tzinfo=UTC), ["10-25 00:00", "10-25 02:00", "10-25 03:00"]),
        ("0 9 * * 1", "Europe/Oslo", SPRING, ["03-30 07:00", "04-06 07:00", "04-13 07:00"]),
        ("30 1 * * *", "US/Eastern", datetime(2026, 10, 31, 12, tzinfo=UTC), ["11-01 05:30", "11-02 06:30", "11-03 06:30"]),
        ("30 2 * * *", "America/New_York", datetime(2026, 3, 7, 12, tzinfo=UTC), ["03-08 07:00", "03-09 06:30", "03-10 06:30"]),
        # Lord Howe moves by half an hour
        ("15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 3, 0, tzinfo=UTC), ["10-03 15:30", "10-04 15:15", "10-05 15:15"]),
        # Samoa had no 30 December 2011
        ("0 9 * * *", "Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC), ["12-29 19:00", "12-30 10:00", "12-30 19:00"]),
    ],
)
def test_over_clock_changes(expression: str, zone: str, after: datetime, expected: list[str]) -> None:
    """AG-43: a skipped time fires once, at the end of the gap; one that comes twice fires the first time."""
    assert fires(expression, zone, after) == expected


def test_from_within_the_second_of_two_equal_hours_it_goes_on_after_them() -> None:
    again = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 in Oslo for the second time
    assert fires("30 * * * *", "Europe/Oslo", again, 1) == ["10-25 02:30"]


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
ZONES = st.sampled_from([OSLO, NEW_YORK, LORD_HOWE, APIA, ZoneInfo("America/Sao_Paulo"), ZoneInfo("Africa/Casablanca"), ZoneInfo("UTC")])


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)), ZONES)
def test_the_instant_of_a_local_time_shows_it_or_ends_its_gap(local: datetime, zone: ZoneInfo) -> None:
    moment = instant(local, zone)
    shown = moment.astimezone(zone)
    if shown.replace(tzinfo=None, fold=0) == local:
        assert shown.fold == 0
        return
    just_before = (moment - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
    assert just_before < local < shown.replace(tzinfo=None)


@given(st.tuples(st.integers(0, 59), st.integers(0, 23)), ZONES, MOMENTS)
def test_a_daily_schedule_fires_once_a_local_day(at: tuple[int, int], zone: ZoneInfo, after: datetime) -> None:
    moments = list(islice(fire_times(f"{at[0]} {at[1]} * * *", zone, after), 400))
    assert moments == sorted(set(moments))
    days = [moment.astimezone(zone).date() for moment in moments]
    assert [later - earlier for earlier, later in pairwise(days)] == [timedelta(days=1)] * 399


@given(st.sampled_from(["* * * * *", "*/7 2 * * *", "0 0 1 * 1", "15 1-3 * * 0,6", "30 2 * 3,10 *"]), ZONES, MOMENTS)
def test_asking_step_by_step_gives_the_same_times(expression: str, zone: ZoneInfo, after: datetime) -> None:
    """What is stored as next_run_at after each firing is what the whole list says."""
    at_once, one_by_one, moment = list(islice(fire_times(expression, zone, after), 20)), [], after
    for _ in range(20):
        found = next_fire(expression, zone, moment)
        assert found is not None
        assert found > moment
        moment = found
        one_by_one.append(found)
    assert at_once == one_by_one


@given(st.lists(st.text(st.sampled_from("0123456789*,-/LW#?@JANMOSU"), max_size=6), min_size=5, max_size=5), ZONES)
def test_any_five_words_are_taken_or_refused_by_field(words: list[str], zone: ZoneInfo) -> None:
    code, message = refusal_of(" ".join(words), zone)
    assert code in ("", "invalid_cron")
    assert any(field in message for field in FIELDS) == bool(code)


def refusal_of(expression: str, zone: ZoneInfo) -> tuple[str, str]:
    """Code and sentence of the refusal; empty when the expression is taken, and then it fires."""
    try:
        taken = check_cron(expression, zone, NOW)
    except SwitchboardError as error:
        return error.code, error.message
    return "", str(next_fire(taken, zone, NOW))
