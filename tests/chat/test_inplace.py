"""Short groups of writes are made on the event loop itself where the database is SQLite, and by the thread wherever they would wait."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from django.db import connection

from agents.ids import uuid7
from agents.models import CatalogVersion
from chat import inplace, sql, store
from chat.jobs import Job
from chat.models import Checkpoint

pytestmark = pytest.mark.django_db(transaction=True)
HERE = connection.vendor == "sqlite"
"""Where short groups are written in place; on PostgreSQL all are the thread's."""
COLUMNS = ("execution_id", "to_seq", "text")


def add(jobs: Sequence[Job]) -> None:
    """Stores (execution id, text) of each; the result says whether that was done on the event loop's thread."""
    sql.insert(Checkpoint, COLUMNS, [(job.value[0], 1, job.value[1]) for job in jobs])
    for job in jobs:
        job.result = threading.current_thread() is threading.main_thread()


def add_by_orm(jobs: Sequence[Job]) -> None:
    CatalogVersion.objects.count()
    add(jobs)


def add_after_reading(jobs: Sequence[Job]) -> None:
    sql.insert(Checkpoint, COLUMNS, [(job.value[0], 0, "before") for job in jobs])
    sql.take_time()
    add(jobs)


def add_badly(jobs: Sequence[Job]) -> None:
    add(jobs)
    if any(job.value[1] == "bad" for job in jobs):
        raise ValueError("bad")


def stored() -> list[str]:
    return list(Checkpoint.objects.order_by("id").values_list("text", flat=True))


@pytest_asyncio.fixture(autouse=True)
async def _open() -> AsyncIterator[None]:
    """The connection for the event loop is made beside the first writes: here it is there from the start."""
    await store.write(add, (uuid7(), "first"), short=True)
    opening = store.lanes[asyncio.get_running_loop()].opening
    if opening is not None:
        await opening
    await store.run(Checkpoint.objects.all().delete)
    yield


async def write(text: str, kind: Any = add, **options: Any) -> Any:
    return await store.write(kind, (uuid7(), text), **{"short": True, **options})


async def test_short_ones_are_written_on_the_event_loop() -> None:
    assert (await write("a"), await write("b")) == (HERE, HERE)
    assert await store.run(stored) == ["a", "b"]


async def test_long_ones_are_the_threads() -> None:
    assert await write("a", short=False) is False
    assert await store.run(stored) == ["a"]


async def test_one_long_one_takes_the_short_ones_of_its_moment_along() -> None:
    assert not any(await asyncio.gather(write("a"), write("b", short=False), write("c")))
    assert await store.run(stored) == ["a", "b", "c"]


@pytest.mark.parametrize("kind", [add_by_orm, add_after_reading])
async def test_what_would_wait_is_the_threads_and_done_once(kind: Any) -> None:
    assert await write("a", kind) is False
    found = await store.run(stored)
    assert found in (["a"], ["before", "a"])
    assert await write("b") is HERE


@contextmanager
def locked() -> Iterator[None]:
    """Another connection writes; on PostgreSQL that locks nobody out."""
    if not HERE:
        yield
        return
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_a_lock_of_another_connection_does_not_hold_up_the_event_loop() -> None:
    with locked():
        waiting = asyncio.create_task(write("a"))
        await asyncio.sleep(0.1)  # the event loop is free meanwhile
        later = asyncio.create_task(write("b"))
        await asyncio.sleep(0.1)
        assert [waiting.done(), later.done()] == [not HERE, not HERE]
    assert not any(await asyncio.gather(waiting, later))
    assert await store.run(stored) == ["a", "b"]


async def test_a_bad_member_fails_alone() -> None:
    results = await asyncio.gather(*[write(text, add_badly) for text in ("a", "bad", "b")], return_exceptions=True)
    assert [type(result) for result in results] == [bool, ValueError, bool]
    assert await store.run(stored) == ["a", "b"]
    assert await write("c") is HERE


class Broken:
    """A connection whose disk has failed."""

    in_transaction = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def cursor(self) -> sqlite3.Cursor:
        return self.connection.cursor()

    def rollback(self) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        self.connection.close()


async def test_a_connection_that_cannot_roll_back_is_given_up() -> None:
    """Else its transaction would keep the thread from writing for ever."""
    way = store.lanes[asyncio.get_running_loop()]._in_place
    if way._connection is not None:
        way._connection = Broken(way._connection)
    results = await asyncio.gather(write("a", add_badly), write("bad", add_badly), return_exceptions=True)
    assert [type(result) for result in results] == [bool, ValueError]
    assert await write("b") is False
    assert await store.run(stored) == ["a", "b"]


async def test_the_order_is_kept_while_the_thread_has_earlier_ones() -> None:
    texts = [f"{number}" for number in range(40)]
    waiting = []
    for number, text in enumerate(texts):
        waiting.append(asyncio.create_task(write(text, short=number % 7 != 0)))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert await store.run(stored) == texts


async def test_the_thread_gets_two_groups_whenever_the_log_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It folds the log into the file, and begins it anew."""
    monkeypatch.setattr(inplace, "_WRITES", 5)
    store.lanes[asyncio.get_running_loop()]._in_place._written = 0
    here = [await write(f"{number}") for number in range(12)]
    assert here == [HERE, HERE, HERE, HERE, False, False] * 2


async def test_the_log_does_not_grow_for_ever() -> None:
    """Unfolded it would have every page that was ever written, 90 MB; it is folded every 3000 of these writes at the latest."""
    await store.run(emptied_log)
    for _ in range(100):
        await asyncio.gather(*[write("x" * 8000) for _ in range(100)])
    assert log_bytes() < 60_000_000


def emptied_log() -> None:
    if HERE:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def log_bytes() -> int:
    return Path(f"{connection.settings_dict['NAME']}-wal").stat().st_size if HERE else 0
