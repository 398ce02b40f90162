"""Two schedulers running by mistake fire once (AG-44): two processes tick at the same moment on a real PostgreSQL."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.support import cast, services
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.postgres
SCHEDULES = 40
FILL = f"""
from django.utils import timezone
from agents.models import Agent
from django.contrib.auth.models import User
from tasks.models import Schedule
now = timezone.now()
Schedule.objects.bulk_create(
    Schedule(agent=Agent.objects.get(name="private"), created_by=User.objects.get(username="owner"), name=str(number), message="Now.",
             cron_expression="0 0 1 1 *", next_run_at=now, max_retries=number % 2) for number in range({SCHEDULES}))
"""
TICK = """
import sys, time
from tasks.schedules import tick
time.sleep(max(0, float(sys.argv[-1]) - time.time()))
print(sum(tick() for _ in range(20)))
"""


def test_each_due_time_fires_once(tmp_path: Path, postgres_url: str) -> None:
    url = services.new_database(postgres_url, "two_schedulers")
    site = Server(tmp_path / "data", env={"DATABASE_URL": url})
    cast.fill(site.env, "http://127.0.0.1:1")
    site.manage("shell", "-c", FILL)
    moment = str(time.time() + 6)
    program = f"import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings'; django.setup()\n{TICK}"
    command = [sys.executable, "-c", program, moment]
    both = [subprocess.Popen(command, cwd=ROOT, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    with psycopg.connect(url) as connection:
        runs = connection.execute("SELECT status, count(*), count(DISTINCT schedule_id) FROM chat_execution GROUP BY status").fetchall()
        claims = connection.execute("SELECT count(*), count(DISTINCT schedule_id) FROM tasks_firing").fetchone()
    assert runs == [("queued", SCHEDULES, SCHEDULES)]
    assert claims == (SCHEDULES, SCHEDULES)
    seen = [int(out) for out, _ in printed]
    assert min(seen) > 0, "the other process saw nothing due: the two never met"
