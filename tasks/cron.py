"""Cron expressions and the moments they fire at (AG-42, AG-43): cronsim finds local times, here they become instants.

An expression is accepted because its next firing was computed; there is no second grammar.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from agents.errors import SwitchboardError

FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
HORIZON = timedelta(days=5 * 365 + 2)
"""An expression that does not fire within five years never does, for its author."""
_TERM = re.compile(r"\*|[0-9]{1,4}|[A-Za-z]{3}")
_NOT_IANA = frozenset(("Factory", "localtime"))


def zone_for(name: str) -> ZoneInfo:
    """The IANA zone of that name, legacy aliases included. Raises invalid_timezone."""
    if name not in _zone_names():
        raise SwitchboardError("invalid_timezone", f"{name[:64]!r} is not the name of a time zone, as Europe/Oslo is one.")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones() - _NOT_IANA)


def check_cron(expression: str, zone: ZoneInfo, now: datetime) -> str:
    """The expression with single blanks. Raises invalid_cron, naming the field at fault."""
    parts = expression.split()
    if len(parts) != len(FIELDS):
        raise SwitchboardError("invalid_cron", f"A cron expression has five fields: {' '.join(FIELDS)}; this one has {len(parts)}.")
    for field, part in zip(FIELDS, parts, strict=True):
        if not all(_TERM.fullmatch(term) for term in re.split(r"[,/-]", part)):
            raise _invalid(field)
    normal = " ".join(parts)
    if next_fire(normal, zone, now) is None:
        raise _invalid("day-of-month", "never comes within the next five years")
    return normal


def next_fire(expression: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first firing time after `after`; None when there is none within five years. Raises invalid_cron."""
    moment = next(fire_times(expression, zone, after), None)
    return moment if moment is not None and moment <= after + HORIZON else None


def fire_times(expression: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """All firing times after `after`, in UTC, ascending.

    cronsim counts local times without a zone: its own rules for clock changes differ from AG-43.
    """
    try:
        matching = CronSim(expression, after.astimezone(zone).replace(tzinfo=None))
    except CronSimError as error:
        raise _invalid(str(error).removeprefix("Bad ")) from None
    last = after
    for local in matching:
        moment = instant(local, zone)
        if moment > last:
            last = moment
            yield moment


def instant(local: datetime, zone: ZoneInfo) -> datetime:
    """When a clock of the zone shows `local`: the first time if it does so twice, the end of the gap if it never does."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    return _end_of_gap(local, zone)


def _end_of_gap(local: datetime, zone: ZoneInfo) -> datetime:
    """The clock jumped over `local`. Read with the offset after the jump it lies before the jump, and the other way round."""
    before, after = (int(local.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (1, 0))
    offset = datetime.fromtimestamp(before, zone).utcoffset()
    jump = bisect_left(range(before, after), True, key=lambda second: datetime.fromtimestamp(second, zone).utcoffset() != offset)
    return datetime.fromtimestamp(before + jump, UTC)


def _invalid(field: str, why: str = "is not valid") -> SwitchboardError:
    return SwitchboardError("invalid_cron", f"The {field} field of the cron expression {why}.", extra={"field": field})
