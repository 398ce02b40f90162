"""A site with a past: fills a stopped server's database with sessions, each with two messages and an execution.

`python -m tests.benchmarks.stored COUNT` fills up to COUNT sessions, in the database itself, and prints the milliseconds of one
page of the owner's session list.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.support.server import ROOT, Server

if TYPE_CHECKING:
    from django.db.models import Model

PAGES = 31
BEGAN_MS = 1_767_225_600_000
ID = {
    "sqlite": "lower(%s || '7' || substr(hex(randomblob(2)), 2) || '8' || substr(hex(randomblob(8)), 2))",
    "postgresql": "(%s || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid",
}
"""A UUID v7, like those of the server: ordered by its first twelve digits, which say the millisecond."""
SESSION_MS = {"sqlite": f"printf('%%012x', {BEGAN_MS} + n)", "postgresql": f"lpad(to_hex({BEGAN_MS} + n), 12, '0')"}
ITS_MS = {"sqlite": "substr(new.id, 1, 12)", "postgresql": "substr(replace(new.id::text, '-', ''), 1, 12)"}
EARLIER = {
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f', old.last_message_at, '-' || n || ' seconds')",
    "postgresql": "old.last_message_at - n * interval '1 second'",
}
SERIES = "WITH RECURSIVE series(n) AS (SELECT %s UNION ALL SELECT n + 1 FROM series WHERE n < %s) "


def fill(server: Server, count: int) -> float:
    """Runs this module beside the stopped server; the milliseconds of a list page."""
    command = [sys.executable, "-m", "tests.benchmarks.stored", str(count)]
    return float(subprocess.run(command, cwd=ROOT, env=server.env, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    fill_up(int(sys.argv[1]))
    print(page_ms())


def fill_up(count: int) -> None:
    from django.db import connection, transaction

    from chat.models import ChatSession, Execution, Message

    have = ChatSession.objects.filter(name__startswith="stored-").count()
    template = template_session()
    session_id, its_id = (ID[connection.vendor] % ms[connection.vendor] for ms in (SESSION_MS, ITS_MS))
    earlier = EARLIER[connection.vendor]
    hurry()
    with transaction.atomic(), connection.cursor() as cursor:
        sql = copying(ChatSession, {"id": session_id, "name": "'stored-' || n", "last_message_at": earlier}) + ", series WHERE old.id = %s"
        cursor.execute(SERIES + sql, [have + 1, count, key(template)])
        for model in (Message, Execution):
            new = f", {quoted(ChatSession)} new WHERE old.session_id = %s AND new.name LIKE 'stored-%%' "
            missing = f"AND NOT EXISTS (SELECT 1 FROM {quoted(model)} there WHERE there.session_id = new.id)"
            cursor.execute(copying(model, {"id": its_id, "session_id": "new.id"}) + new + missing, [key(template)])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


def hurry() -> None:
    """SQLite fills faster with a large cache; this connection ends with the filling."""
    from django.db import connection

    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size=-1000000")
            cursor.execute("PRAGMA synchronous=OFF")


def template_session() -> "Model":
    """One session of the owner, with a turn; the others are copies of it."""
    from django.contrib.auth.models import User

    from agents.models import Agent
    from chat.models import ChatSession, Execution, Message

    owner, agent = User.objects.get(username="owner"), Agent.objects.get(name="burst")
    fields = {"agent": agent, "agent_name": agent.name, "owner": owner, "wire": "run", "message_count": 2, "next_position": 2}
    session, is_new = ChatSession.objects.get_or_create(namespace=f"user:{owner.pk}", name="template", defaults=fields)
    if is_new:
        for position, role in enumerate(("user", "assistant")):
            text = f"What the {role} said. " * 10
            Message.objects.create(
                session=session, position=position, role=role, text=text, parts=[{"type": "text", "text": text}], status="done"
            )
        Execution.objects.create(
            session=session, agent=agent, agent_name=agent.name, owner=owner, principal=f"user:{owner.pk}", status="success"
        )
    return session


def copying(model: "type[Model]", changed: Mapping[str, str]) -> str:
    """INSERT … SELECT of every column of `old`, but for those in `changed`."""
    columns = [field.column for field in model._meta.concrete_fields]
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(changed.get(column, f'old."{column}"') for column in columns)
    return f"INSERT INTO {quoted(model)} ({names}) SELECT {values} FROM {quoted(model)} old"


def quoted(model: "type[Model]") -> str:
    return f'"{model._meta.db_table}"'


def key(row: "Model") -> object:
    """The primary key as the database has it."""
    from django.db import connection

    return row._meta.pk.get_db_prep_value(row.pk, connection)


def page_ms() -> float:
    """The median of reading the newest 20 sessions of one owner and agent."""
    from chat import archive
    from chat.models import ChatSession

    session = ChatSession.objects.get(name="template")
    shelf = archive.Shelf(agent_id=session.agent_id, owner_id=session.owner_id)
    taken_s = []
    for _ in range(PAGES):
        begun = time.perf_counter()
        archive.sessions(shelf, limit=20)
        taken_s.append(time.perf_counter() - begun)
    return statistics.median(taken_s) * 1000


if __name__ == "__main__":
    main()
