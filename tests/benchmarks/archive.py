"""Lists of a principal with 100,000 sessions on a real PostgreSQL: `python -m tests.benchmarks.archive [SESSIONS]`.

Prints the median and the worst of each reading in ms, and with EXPLAIN=1 how the database does it. Others have as many sessions.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import services
from tests.support.environment import cleaned

ROUNDS = 15
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    if "DATABASE_URL" not in os.environ:
        with services.postgres(durable=True) as url, tempfile.TemporaryDirectory() as folder:
            env = {**cleaned(os.environ), "DATABASE_URL": services.new_database(url, "archive"), "DATA_DIR": folder}
            return subprocess.run([sys.executable, "-m", "tests.benchmarks.archive", *sys.argv[1:]], env=env, check=False).returncode
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    return 0


def measure(count: int) -> None:
    from chat import archive
    from chat.archive import Shelf
    from chat.models import ChatSession

    shelf = filled() or fill(count)
    everybody = Shelf(agent_id=shelf.agent_id, owner_id=None)
    rows = ChatSession.objects.filter(owner_id=shelf.owner_id).order_by("-last_message_at")
    middle, oldest = rows[count // 2], rows[count - 100]
    deep = archive.messages(middle.id).rows[0].id
    readings: dict[str, Callable[[], Any]] = {
        "sessions": lambda: archive.sessions(shelf, limit=50),
        "sessions, 200": lambda: archive.sessions(shelf, limit=200),
        "sessions, middle page": lambda: archive.sessions(shelf, limit=50, before=middle.id),
        "sessions, last page": lambda: archive.sessions(shelf, limit=50, before=oldest.id),
        "sessions, active": lambda: archive.sessions(shelf, limit=50, status="active"),
        "sessions, closed": lambda: archive.sessions(shelf, limit=50, status="closed"),
        "sessions, everybody's": lambda: archive.sessions(everybody, limit=50),
        "one session": lambda: archive.messages(middle.id, limit=100),
        "history": lambda: archive.recent(shelf, limit=100),
        "history, 1000": lambda: archive.recent(shelf, limit=1000),
        "history, middle page": lambda: archive.recent(shelf, limit=100, before=deep),
        "history, everybody's": lambda: archive.recent(everybody, limit=100),
        "search, found at once": lambda: archive.sessions(shelf, limit=50, search="number"),
        "search, found nowhere": lambda: archive.sessions(shelf, limit=50, search="nowhere"),
    }
    for name, read in readings.items():
        show(name, read)


def show(name: str, read: Callable[[], Any]) -> None:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        read()
        times.append((time.perf_counter() - began) * 1000)
    print(f"{name:28} {statistics.median(times):8.2f} {max(times):8.2f}", flush=True)
    if os.environ.get("EXPLAIN"):
        explain(read)


def explain(read: Callable[[], Any]) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        read()
    for query in captured.captured_queries[:4]:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN (ANALYZE, COSTS OFF, SUMMARY OFF) " + query["sql"])
            print("   ", "\n    ".join(row[0] for row in cursor.fetchall()))


def filled() -> Any:
    """The database of an earlier run that was kept (DATABASE_URL)."""
    from agents.models import Agent
    from chat.archive import Shelf
    from chat.models import ChatSession

    first = ChatSession.objects.order_by("id").first()
    return Shelf(agent_id=Agent.objects.get(name="archived").id, owner_id=first.owner_id) if first else None


def fill(count: int) -> Any:
    """One agent, two people with `count` sessions each; all but the newest thousand are closed."""
    from django.contrib.auth.models import User
    from django.db import connection

    from agents.models import Agent, Provider
    from chat.archive import Shelf
    from chat.models import ChatSession, Execution, Message

    provider = Provider.objects.create(name="demo", kind="demo")
    agent = Agent.objects.create(name="archived", provider=provider, model="demo")
    mine, others = (User.objects.create_user(name) for name in ("mine", "others"))
    for batch in batches(count, agent, [mine, others]):
        for model, rows in zip((ChatSession, Execution, Message), batch, strict=True):
            model.objects.bulk_create(rows, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return Shelf(agent_id=agent.id, owner_id=mine.pk)


def batches(count: int, agent: Any, people: list[Any], size: int = 5000) -> Iterator[tuple[list[Any], list[Any], list[Any]]]:
    for start in range(0, count, size):
        made = [turn_of(number, count, agent, person) for number in range(start, min(start + size, count)) for person in people]
        yield [each[0] for each in made], [each[1] for each in made], [row for each in made for row in each[2]]


def turn_of(number: int, count: int, agent: Any, person: Any) -> tuple[Any, Any, list[Any]]:
    from chat.models import ChatSession, Execution, Message

    began = BEGAN + timedelta(seconds=60 * number + person.pk)
    ended = began + timedelta(seconds=5)
    text = f"Question number {number} about something or other"
    session = ChatSession(
        namespace=f"user:{person.pk}", agent=agent, agent_name=agent.name, owner=person, wire="agents", title=text, next_position=2,
        status="active" if number > count - 1000 else "closed", message_count=2, created_at=began, last_message_at=ended,
    )  # fmt: skip
    run = Execution(
        agent=agent, agent_name=agent.name, owner=person, session=session, principal=f"user:{person.pk}", wire="agents", status="success",
        message=text, created_at=began, started_at=began, completed_at=ended,
    )  # fmt: skip
    parts = [{"type": "text", "block": 1, "text": "An answer of some length. " * 20}]
    said: list[tuple[str, str, list[Any]]] = [("user", text, [{"type": "text", "text": text}]), ("assistant", parts[0]["text"], parts)]
    messages = [
        Message(
            session=session,
            execution_id=run.id,
            position=at,
            role=role,
            text=words,
            parts=kept,
            status="done",
            created_at=(began, ended)[at],
        )
        for at, (role, words, kept) in enumerate(said)
    ]
    return session, run, messages


if __name__ == "__main__":
    sys.exit(main())
