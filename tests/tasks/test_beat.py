"""Beat fires schedules itself and passes on what else it is given."""

from types import SimpleNamespace

import pytest
from django.db import OperationalError

from config.celery import app
from tasks import beat
from tasks.beat import Scheduler

pytestmark = pytest.mark.django_db


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(app=app, lazy=True)


def test_the_settings_name_the_entry_that_it_knows() -> None:
    assert [entry["task"] for entry in app.conf.beat_schedule.values()] == [beat.TICK]
    assert app.conf.beat_scheduler == "tasks.beat:Scheduler"


def test_its_own_entry_is_done_here(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(beat, "tick", lambda: done.append("fired"))
    monkeypatch.setattr(Scheduler, "apply_async", lambda *_, **__: done.append("sent"))
    scheduler.apply_entry(SimpleNamespace(name="schedules", task=beat.TICK))
    assert done == ["fired"]
    scheduler.apply_entry(SimpleNamespace(name="cleanup", task="celery.backend_cleanup"))
    assert done == ["fired", "sent"]


def test_it_outlives_a_database_that_is_away(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(beat, "tick", away)
    scheduler.apply_entry(SimpleNamespace(name="schedules", task=beat.TICK))
    assert "what is due fires later" in caplog.text
