"""Two schedulers running by mistake fire once (AG-44): two processes tick at the same moment on a real PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import psycopg
import pytest

from tests.support import cast, services
from tests.support.server import ROOT, Server
from tests.support.waiting import until

pytestmark = pytest.mark.postgres
SCHEDULES = 40
Process = subprocess.Popen[str]
FILL = f"""
from django.utils import timezone
from agents.models import Agent
from django.contrib.auth.models import User
from tasks.models import Schedule
now = timezone.now()
Schedule.objects.bulk_create(
    Schedule(agent=Agent.objects.get(name="private"), created_by=User.objects.get(username="owner"), name=f"{{now}} {{number}}",
             message="Now.", cron_expression="0 0 1 1 *", next_run_at=now, max_retries=number % 2) for number in range({SCHEDULES}))
"""
TICK = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
from tasks.schedules import tick
print("ready", flush=True)
for _ in sys.stdin:
    print(sum(tick() for _ in range(20)), flush=True)
"""


def test_each_due_time_fires_once(tmp_path: Path, postgres_url: str) -> None:
    url = services.new_database(postgres_url, "two_schedulers")
    site = Server(tmp_path / "data", env={"DATABASE_URL": url})
    cast.fill(site.env, "http://127.0.0.1:1")
    with scheduler(site) as one, scheduler(site) as other:
        until(lambda: both_see(site, one, other))
    with psycopg.connect(url) as connection:
        made = connection.execute("SELECT count(*) FROM tasks_schedule").fetchone() or (0,)
        runs = connection.execute("SELECT status, count(*), count(DISTINCT schedule_id) FROM chat_execution GROUP BY status").fetchall()
        claims = connection.execute("SELECT count(*), count(DISTINCT schedule_id) FROM tasks_firing").fetchone()
    assert runs == [("queued", *made, *made)]
    assert claims == (*made, *made)


@contextmanager
def scheduler(site: Server) -> Iterator[Process]:
    """A process that ticks when it is told to, and says how many due schedules it saw."""
    with subprocess.Popen([sys.executable, "-c", TICK], cwd=ROOT, env=site.env, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def both_see(site: Server, *schedulers: Process) -> bool:
    """Many schedules are due at once. On a busy machine one process may be through before the other looks: then they did not meet."""
    site.manage("shell", "-c", FILL)
    for each in schedulers:
        assert each.stdin
        each.stdin.write("now\n")
        each.stdin.flush()
    return min([int(each.stdout.readline()) for each in schedulers if each.stdout]) > 0
