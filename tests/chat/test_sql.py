"""The few statements every turn writes, as SQLite and PostgreSQL take them (chat.sql)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection

from chat import sql, sqlpipe
from chat.models import ChatSession, Checkpoint, Execution

pytestmark = pytest.mark.django_db(transaction=True)
COLUMNS = (
    "id", "agent_name", "agent_version", "principal", "trigger", "wire", "status", "message", "context_window", "model_used", "process",
    "request_id", "labels", "cost_usd", "created_at",
)  # fmt: skip
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def row(message: str = "Hello", labels: object = None) -> tuple[object, ...]:
    return (
        uuid4(), "root", 1, "user:1", "chat", "run", "running", message, 8000, "model", "here", "request", labels or {},
        Decimal("0.000123"), WHEN,
    )  # fmt: skip


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many round trips there were since it was last asked; SQLite has none."""
    made: list[int] = []
    exchange = sqlpipe.Pipe._exchange

    def counted(pipe: sqlpipe.Pipe, waiting: Sequence[sqlpipe.Sent]) -> Exception | None:
        made.append(len(waiting))
        return exchange(pipe, waiting)

    monkeypatch.setattr(sqlpipe.Pipe, "_exchange", counted)

    def count() -> int:
        found = len(made)
        made.clear()
        return found

    return count


def test_values_come_back_as_they_went_in() -> None:
    rows = [row("“Grüße”", {"a": [1, None, {"b": "c"}]}), row()]
    assert sql.insert(Execution, COLUMNS, rows).count == 2
    found = {each[0]: each for each in sql.select(Execution, COLUMNS, *sql.among("id", [each[0] for each in rows]))}
    assert [tuple(map(plain, found[each[0]])) for each in rows] == [tuple(map(plain, each)) for each in rows]


def plain(value: object) -> object:
    return round(float(value), 6) if isinstance(value, Decimal | float) else value


def test_a_character_that_postgresql_refuses_is_left_out() -> None:
    stored = row("a\0b" if connection.vendor == "postgresql" else "ab", {"a": "b\0c"})
    sql.insert(Execution, COLUMNS, [stored])
    assert sql.select(Execution, ("message", "labels"), *sql.among("id", [stored[0]])) == [("ab", {"a": "bc"})]


def test_each_row_is_changed_by_its_own_values() -> None:
    rows = [row() for _ in range(3)]
    sql.insert(Execution, COLUMNS, rows)
    changes = [(f"said {n}", each[0], "running" if n else "queued") for n, each in enumerate(rows)]
    assert sql.update(Execution, ("response", "steps = steps"), "id = %s AND status = %s", ("response", "id", "status"), changes).count == 2
    said = {found.id: found.response for found in Execution.objects.all()}
    assert [said[each[0]] for each in rows] == ["", "said 1", "said 2"]


def test_nothing_of_a_transaction_that_failed_is_there() -> None:
    known = row()
    sql.insert(Execution, COLUMNS, [known])
    with pytest.raises(DatabaseError):
        write_twice(known)
    assert (Execution.objects.count(), Checkpoint.objects.count()) == (1, 0)
    with sql.transaction():
        sql.insert(Checkpoint, ("execution_id", "to_seq", "text"), [(known[0], 1, "text")])
    assert Checkpoint.objects.count() == 1


@sql.transaction()
def write_twice(known: tuple[object, ...]) -> None:
    sql.insert(Execution, COLUMNS, [row()])
    sql.insert(Execution, COLUMNS, [known])
    sql.insert(Checkpoint, ("execution_id", "to_seq", "text"), [(known[0], 1, "text")])


def test_what_hangs_on_nothing_fails_at_the_end() -> None:
    """Foreign keys are checked when the transaction ends."""
    with pytest.raises(DatabaseError), sql.transaction():
        sql.insert(Execution, (*COLUMNS, "session"), [(*row(), uuid4())])
    assert not Execution.objects.exists()


def test_the_orm_sees_what_was_written_before() -> None:
    with sql.transaction():
        sql.insert(Execution, COLUMNS, [row("first")])
        assert Execution.objects.get().message == "first"
        Execution.objects.update(message="second")
        assert sql.select(Execution, ("message",), "status = %s", ["running"]) == [("second",)]
    assert Execution.objects.get().message == "second"


def test_a_transaction_takes_a_trip_for_each_answer_and_one(trips: Callable[[], int]) -> None:
    known = row()
    sql.insert(Execution, COLUMNS, [known])
    with sql.transaction():
        pass
    trips()
    with sql.transaction():
        none: UUID = uuid4()
        first, second = sql.ask(Execution, ("message",), *sql.among("id", [none])), sql.ask(ChatSession, ("id",), "version = %s", [1])
        assert (first.rows, second.rows) == ([], [])
        sql.insert(Execution, COLUMNS, [row()])
        sql.update(Execution, ("response",), "id = %s", ("response", "id"), [("said", known[0])])
    assert trips() == (2 if connection.vendor == "postgresql" else 0)
    assert Execution.objects.filter(response="said").count() == 1
