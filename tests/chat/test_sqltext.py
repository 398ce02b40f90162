"""Values as SQLite keeps them: what Django wrote before, and what it compares with, looks the same."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat import sqltext
from chat.models import Execution

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])


@given(value=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=ZONES))
def test_times_are_written_as_django_writes_them(value):
    assert sqltext.naive(value) == str(value.astimezone(UTC).replace(tzinfo=None))


@given(value=st.uuids())
def test_and_so_are_ids(value):
    adapt = dict(sqltext.adapters(Execution, ("id",)))
    assert adapt[0](value) == value.hex


@pytest.mark.parametrize("value", [None, True, False, 0, 1, 1.5, "text"])
def test_nothing_and_yes_and_no_reach_sqlite_as_they_are(value):
    with sqlite3.connect(":memory:") as database:
        assert database.execute("SELECT ?", [value]).fetchall() == [(value,)]
