"""Schedules of a live server fire by themselves: its beat finds what is due, its worker runs it (AG-43, AG-44, AG-46, AG-51)."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import scheduling
from tests.wire.scheduling import new_schedule, path_of

pytestmark = pytest.mark.live
OVER = ("success", "failed", "cancelled", "skipped")


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    scheduling.prepare(server)


def due(server: Server, schedule: dict[str, Any], minutes_ago: int = 0) -> None:
    """Its time has come: as if `minutes_ago` minutes had passed since."""
    moment = f"timezone.now() - timedelta(minutes={minutes_ago})"
    change = f"Schedule.objects.filter(pk='{schedule['id']}').update(next_run_at={moment})"
    server.manage(
        "shell", "-c", f"from datetime import timedelta; from django.utils import timezone; from tasks.models import Schedule; {change}"
    )


def runs(client: httpx.Client, schedule: dict[str, Any], wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The schedule's runs, oldest first, once they are as wanted."""
    return until(lambda: wanted(found := client.get(path_of(schedule, "/executions")).json()[::-1]) and found)


def ended(found: list[dict[str, Any]]) -> bool:
    return bool(found) and all(run["status"] in OVER for run in found)


def test_what_is_due_runs_and_the_next_time_is_set(server: Server, owner: httpx.Client) -> None:
    schedule = new_schedule(owner, message="/demo text It is Monday.")
    due(server, schedule)
    (run,) = runs(owner, schedule, ended)
    assert (run["status"], run["trigger"], run["wire"]) == ("success", "schedule", None)
    assert owner.get(f"/api/executions/{run['id']}").json()["response"] == "It is Monday."
    found = owner.get(path_of(schedule)).json()
    assert found["next_run_at"] == schedule["next_run_at"]
    assert found["last_run_at"] > schedule["created_at"]
    numbers = owner.get(path_of(schedule, "/analytics"), params={"window_hours": 24}).json()
    assert (numbers["total"], numbers["success"], numbers["success_rate"]) == (1, 1, 1.0)
    assert numbers["p50_ms"] == numbers["p99_ms"] == run["duration_ms"]


def test_what_was_missed_is_made_up_once(server: Server, owner: httpx.Client) -> None:
    """AG-44."""
    schedule = new_schedule(owner, cron_expression="*/10 * * * *", message="/demo text Late.")
    due(server, schedule, minutes_ago=300)
    found = runs(owner, schedule, lambda found: len(found) == 2 and ended(found))
    assert sorted((run["status"], run["error_code"]) for run in found) == [("skipped", "missed"), ("success", None)]
    assert datetime.fromisoformat(owner.get(path_of(schedule)).json()["next_run_at"]) > datetime.now(UTC)


def test_a_run_that_goes_on_is_not_joined_by_another(server: Server, owner: httpx.Client) -> None:
    """AG-44."""
    schedule = new_schedule(owner, message="/demo delay 2000\n/demo text one two three four five six seven eight nine ten")
    first = owner.post(path_of(schedule, "/trigger")).json()["execution_id"]
    due(server, schedule)
    found = runs(owner, schedule, lambda found: len(found) == 2)
    assert (found[1]["status"], found[1]["error_code"]) == ("skipped", "overlap")
    assert owner.get(f"/api/executions/{found[1]['id']}").json()["error"] == "Skipped: the run before was not over."
    owner.post(f"/api/executions/{first}/cancel")


def test_a_failed_run_waits_to_be_tried_again(server: Server, owner: httpx.Client) -> None:
    """Section 8: and the retry is listed with the schedule's runs (AG-46)."""
    schedule = new_schedule(owner, message="/demo error bad_request", max_retries=1, retry_delay_seconds=600)
    due(server, schedule)
    failed, retry = runs(owner, schedule, lambda found: len(found) == 2)
    assert (failed["status"], retry["status"], retry["retry_of_execution_id"]) == ("failed", "queued", failed["id"])
    owner.post(f"/api/executions/{retry['id']}/cancel")


def test_runs_on_demand_are_tried_again_too(owner: httpx.Client) -> None:
    schedule = new_schedule(owner, message="/demo error bad_request", max_retries=1, retry_delay_seconds=600)
    owner.post(path_of(schedule, "/trigger"))
    failed, retry = runs(owner, schedule, lambda found: len(found) == 2)
    assert (failed["status"], retry["retry_of_execution_id"]) == ("failed", failed["id"])
    owner.post(f"/api/executions/{retry['id']}/cancel")


def test_runs_inside_a_conversation(server: Server, owner: httpx.Client) -> None:
    """Section 8: `session_id`."""
    session_id = owner.post("/chat/run", json={"message": "/demo text One.", "agent": "planned"}).headers["x-session-id"]
    schedule = new_schedule(owner, message="/demo text Two.", session_id=session_id)
    due(server, schedule)
    (run,) = runs(owner, schedule, ended)
    assert run["session_id"] == session_id
    said = owner.get(f"/api/agents/planned/chat/sessions/{session_id}").json()["messages"]
    assert [message["content"] for message in said] == ["/demo text One.", "One.", "/demo text Two.", "Two."]


def test_a_call_of_the_webhook_runs_to_its_end(server: Server, owner: httpx.Client) -> None:
    """AG-51: the model is told the schedule's message, then the data between marks."""
    schedule = new_schedule(owner, message="Summarise this.")
    address = owner.post(path_of(schedule, "/webhook")).json()["webhook_url"]
    with scheduling.caller(server) as nobody:
        nobody.post(address, json={"context": "Forty units were sold."})
    (run,) = runs(owner, schedule, ended)
    assert (run["status"], run["trigger"]) == ("success", "webhook")
    assert "Forty units were sold." in run["message"]
    assert owner.get(path_of(schedule)).json()["last_run_at"]
