"""Schedules against a live server: who may, what is taken, what a change changes, runs on demand (agents.md section 8)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.wire import scheduling
from tests.wire.scheduling import MONDAYS, new_schedule, path_of, schedules

pytestmark = pytest.mark.live
FIELDS = """id agent_name name cron_expression run_at message enabled timezone description timeout_seconds allowed_tools model max_retries
retry_delay_seconds session_id workflow params created_at updated_at last_run_at next_run_at"""


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    scheduling.prepare(server)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def in_a_day() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).isoformat()


# Who may


ROUTES = [
    ("GET", ""), ("POST", ""), ("GET", "/ID"), ("PUT", "/ID"), ("PATCH", "/ID"), ("POST", "/ID/enable"), ("POST", "/ID/disable"),
    ("POST", "/ID/trigger"), ("GET", "/ID/executions"), ("GET", "/ID/analytics"), ("GET", "/ID/webhook"), ("POST", "/ID/webhook"),
    ("POST", "/ID/webhook/secret"), ("DELETE", "/ID/webhook/secret"), ("DELETE", "/ID/webhook"), ("DELETE", "/ID"),
]  # fmt: skip
DONE = {("POST", ""): 201, ("POST", "/ID/trigger"): 202, ("DELETE", "/ID"): 204}
PEOPLE = [(None, 401, "invalid_credentials"), ("stranger", 404, "agent_not_found"), ("guest", 403, "manager_required")]


def ask(client: httpx.Client, route: tuple[str, str], schedule_id: str, agent: str = "private") -> httpx.Response:
    method, rest = route
    body = MONDAYS if route == ("POST", "") else {} if method in ("PUT", "PATCH") else None
    return client.request(method, schedules(agent) + rest.replace("ID", schedule_id), json=body)


@pytest.mark.parametrize(("person", "status", "code"), PEOPLE)
def test_only_managers_may(server: Server, owner: httpx.Client, person: str | None, status: int, code: str) -> None:
    """AG-2, AG-3: on all routes, and nothing changes."""
    schedule = new_schedule(owner, "private")
    with clients.http(server, person) as client:
        for route in ROUTES:
            assert refusal(ask(client, route, schedule["id"])) == (status, code), route
    assert owner.get(path_of(schedule)).json() == schedule
    assert owner.get(path_of(schedule, "/executions")).json() == []


def test_the_owner_may(owner: httpx.Client) -> None:
    schedule = new_schedule(owner, "private")
    for route in ROUTES:
        assert ask(owner, route, schedule["id"]).status_code == DONE.get(route, 200), route


def test_a_key_needs_the_scope_manage(server: Server) -> None:
    """R1.4."""
    with clients.http(server, "owner:read+run") as client:
        for route in ROUTES:
            assert refusal(ask(client, route, str(uuid4()))) == (403, "insufficient_scope"), route


@pytest.mark.parametrize(
    "schedule_id", ["00000000-0000-4000-8000-000000000000", "nope", "%00", "x" * 300, "C3F1D2E4-5A6B-4C7D-8E9F-0A1B2C3D4E5F"]
)
def test_unknown_schedules_and_ids_that_cannot_be_are_not_found(owner: httpx.Client, schedule_id: str) -> None:
    """AG-46, R0.2."""
    for route in ROUTES[2:]:
        assert refusal(ask(owner, route, schedule_id)) == (404, "schedule_not_found"), route


def test_a_schedule_of_another_agent_is_not_found(owner: httpx.Client) -> None:
    """AG-46."""
    schedule = new_schedule(owner, "planned")
    for route in ROUTES[2:]:
        assert refusal(ask(owner, route, schedule["id"], "planned-too")) == (404, "schedule_not_found"), route
    assert owner.get(path_of(schedule)).json() == schedule


def test_the_agent_is_looked_for_before_any_field(server: Server, owner: httpx.Client) -> None:
    """AG-2."""
    assert refusal(owner.post(schedules("nobody"), content=b"{")) == (404, "agent_not_found")
    with clients.http(server, "guest") as client:
        assert refusal(client.post(schedules("private"), json={})) == (422, "validation_error")


# What is stored


def test_a_new_schedule(owner: httpx.Client) -> None:
    """AG-41: all keys, the defaults, and when it runs next."""
    answer = owner.post(schedules(), json=MONDAYS)
    schedule = answer.json()
    assert answer.status_code == 201
    assert list(schedule) == FIELDS.split()
    defaults = {"description": None, "timeout_seconds": None, "allowed_tools": None, "model": None, "session_id": None, "run_at": None}
    assert schedule | MONDAYS | defaults | {"enabled": True, "max_retries": 0, "retry_delay_seconds": 60, "last_run_at": None} == schedule
    following = datetime.fromisoformat(schedule["next_run_at"])
    assert following > datetime.now(UTC)
    assert schedule["next_run_at"].endswith(":00:00.000Z")
    assert (following.weekday(), following.hour) in ((0, 7), (0, 8))
    assert owner.get(path_of(schedule)).json() == schedule


def test_lists_are_by_name(owner: httpx.Client) -> None:
    """AG-41."""
    for name in ("b", "a", "c"):
        new_schedule(owner, "planned-too", name=name)
    assert [row["name"] for row in owner.get(schedules("planned-too")).json()] == ["a", "b", "c"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_absent_fields_stay_and_null_clears(owner: httpx.Client, method: str) -> None:
    """AG-41."""
    whole = {
        "description": "d", "timeout_seconds": 60, "allowed_tools": ["planned_clock"], "model": "demo-fast", "max_retries": 3,
        "retry_delay_seconds": 30,
    }  # fmt: skip
    schedule = new_schedule(owner, **whole)
    changed = owner.request(method, path_of(schedule), json={"name": "Renamed"}).json()
    assert changed == schedule | {"name": "Renamed", "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > schedule["updated_at"]
    cleared = owner.request(method, path_of(schedule), json=dict.fromkeys([*whole, "timezone"])).json()
    empty = {
        "description": None,
        "timeout_seconds": None,
        "allowed_tools": None,
        "model": None,
        "max_retries": 0,
        "retry_delay_seconds": 60,
    }
    assert cleared | empty | {"timezone": "UTC"} == cleared
    assert cleared["next_run_at"] != schedule["next_run_at"]


def test_from_cron_to_a_single_run_and_back(owner: httpx.Client) -> None:
    schedule = new_schedule(owner)
    once = in_a_day()
    both = owner.patch(path_of(schedule), json={"run_at": once})
    assert refusal(both) == (422, "validation_error")
    single = owner.patch(path_of(schedule), json={"run_at": once, "cron_expression": None}).json()
    assert (single["cron_expression"], single["next_run_at"]) == (None, single["run_at"])
    back = owner.patch(path_of(schedule), json={"run_at": None, "cron_expression": "0 9 * * 1"}).json()
    assert (back["run_at"], back["next_run_at"]) == (None, schedule["next_run_at"])


def test_a_single_run_without_an_offset_is_in_the_schedules_zone(owner: httpx.Client) -> None:
    year = datetime.now(UTC).year + 1
    fields = {"cron_expression": None, "run_at": f"{year}-07-01T09:00:00", "timezone": "America/New_York"}
    assert new_schedule(owner, **fields)["run_at"] == f"{year}-07-01T13:00:00.000Z"


def test_switching_off_and_on(owner: httpx.Client) -> None:
    """AG-43, AG-45: repeatable; there is no next run while it is off."""
    schedule = new_schedule(owner)
    for _ in range(2):
        answer = owner.post(path_of(schedule, "/disable"))
        assert (answer.status_code, answer.json()) == (200, {"status": "disabled", "schedule_id": schedule["id"]})
        found = owner.get(path_of(schedule)).json()
        assert (found["enabled"], found["next_run_at"]) == (False, None)
    for _ in range(2):
        answer = owner.post(path_of(schedule, "/enable"))
        assert (answer.status_code, answer.json()) == (200, {"status": "enabled", "schedule_id": schedule["id"]})
        assert owner.get(path_of(schedule)).json()["next_run_at"] == schedule["next_run_at"]


def test_a_single_run_that_is_over_cannot_be_switched_on(server: Server, owner: httpx.Client) -> None:
    schedule = new_schedule(owner, cron_expression=None, run_at=in_a_day(), enabled=False)
    past = f"from tasks.models import Schedule; Schedule.objects.filter(pk='{schedule['id']}').update(run_at='2026-01-01T00:00Z')"
    server.manage("shell", "-c", past)
    assert refusal(owner.post(path_of(schedule, "/enable"))) == (422, "validation_error")
    assert owner.patch(path_of(schedule), json={"description": "over"}).status_code == 200


def test_deleting_keeps_the_runs(owner: httpx.Client) -> None:
    """AG-41."""
    schedule = new_schedule(owner)
    run = owner.post(path_of(schedule, "/trigger")).json()["execution_id"]
    answer = owner.delete(path_of(schedule))
    assert (answer.status_code, answer.content) == (204, b"")
    assert refusal(owner.get(path_of(schedule))) == (404, "schedule_not_found")
    assert owner.get(f"/api/executions/{run}").json()["schedule_id"] == schedule["id"]


# What is refused


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"name": ""}, 422, "validation_error"),
        ({"name": "x" * 101}, 422, "validation_error"),
        ({"name": None}, 422, "validation_error"),
        ({"name": 7}, 422, "validation_error"),
        ({"message": " "}, 422, "validation_error"),
        ({"message": None}, 422, "validation_error"),
        ({"message": "x" * 200_001}, 422, "validation_error"),
        ({"cron_expression": None}, 422, "validation_error"),
        ({"cron_expression": ""}, 422, "validation_error"),
        ({"cron_expression": 5}, 422, "validation_error"),
        ({"cron_expression": "x" * 201}, 422, "validation_error"),
        ({"cron_expression": "@daily"}, 400, "invalid_cron"),
        ({"cron_expression": "0 0 9 * * 1"}, 400, "invalid_cron"),
        ({"cron_expression": "0 0 30 2 *"}, 400, "invalid_cron"),
        ({"cron_expression": "0 9 * * 5L"}, 400, "invalid_cron"),
        ({"run_at": "2030-01-01T00:00:00Z"}, 422, "validation_error"),
        ({"cron_expression": None, "run_at": "2020-01-01T00:00:00Z"}, 422, "validation_error"),
        ({"cron_expression": None, "run_at": "tomorrow"}, 422, "validation_error"),
        ({"cron_expression": None, "run_at": 1_900_000_000}, 422, "validation_error"),
        ({"cron_expression": None, "run_at": "9999-12-31T23:59:59-12:00"}, 422, "validation_error"),
        ({"timezone": "Mars/Base"}, 400, "invalid_timezone"),
        ({"timezone": 1}, 422, "validation_error"),
        ({"enabled": "yes"}, 422, "validation_error"),
        ({"description": "x" * 501}, 422, "validation_error"),
        ({"timeout_seconds": 0}, 422, "validation_error"),
        ({"timeout_seconds": 86_401}, 422, "validation_error"),
        ({"timeout_seconds": 1801}, 400, "schedule_timeout_exceeds_agent_cap"),
        ({"timeout_seconds": 1.5}, 422, "validation_error"),
        ({"allowed_tools": ["planned_clock", "nothing"]}, 422, "validation_error"),
        ({"allowed_tools": "planned_clock"}, 422, "validation_error"),
        ({"model": "gpt-none"}, 422, "model_not_allowed"),
        ({"max_retries": 6}, 422, "validation_error"),
        ({"max_retries": -1}, 422, "validation_error"),
        ({"retry_delay_seconds": 29}, 422, "validation_error"),
        ({"retry_delay_seconds": 601}, 422, "validation_error"),
        ({"session_id": "00000000-0000-4000-8000-000000000000"}, 404, "session_not_found"),
        ({"session_id": "nope"}, 404, "session_not_found"),
    ],
)
def test_bad_fields(owner: httpx.Client, fields: dict[str, Any], status: int, code: str) -> None:
    """Section 8; the same for a new schedule and for a change."""
    number = len(owner.get(schedules()).json())
    assert refusal(owner.post(schedules(), json={**MONDAYS, **fields})) == (status, code)
    assert len(owner.get(schedules()).json()) == number
    schedule = new_schedule(owner)
    assert refusal(owner.patch(path_of(schedule), json=fields)) == (status, code)
    assert owner.get(path_of(schedule)).json() == schedule


def test_the_cap_is_told_as_an_object(owner: httpx.Client) -> None:
    """AG-1."""
    detail = owner.post(schedules(), json={**MONDAYS, "timeout_seconds": 1801}).json()["detail"]
    assert detail.pop("message")
    assert detail == {"error": "schedule_timeout_exceeds_agent_cap", "agent_cap_seconds": 1800, "requested_seconds": 1801}


def test_the_field_of_a_bad_expression_is_named(owner: httpx.Client) -> None:
    """AG-42."""
    answer = owner.post(schedules(), json={**MONDAYS, "cron_expression": "0 9 L * *"})
    assert "day-of-month" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"name": "a\\u0000b"}'])
def test_bodies_that_are_no_object(owner: httpx.Client, body: bytes) -> None:
    """R0.4."""
    assert owner.post(schedules(), content=body).status_code == 400


def test_somebody_elses_conversation_is_not_found(owner: httpx.Client, guest: httpx.Client) -> None:
    foreign = guest.post("/chat/run", json={"message": "Hello", "agent": "planned"}).headers["x-session-id"]
    own = owner.post("/chat/run", json={"message": "Hello", "agent": "planned"}).headers["x-session-id"]
    elsewhere = owner.post("/chat/run", json={"message": "Hello", "agent": "planned-too"}).headers["x-session-id"]
    for session_id in (foreign, elsewhere):
        assert refusal(owner.post(schedules(), json={**MONDAYS, "session_id": session_id})) == (404, "session_not_found")
    assert new_schedule(owner, session_id=own)["session_id"] == own


# Runs on demand


def test_triggering(owner: httpx.Client) -> None:
    """AG-45: also while it is off; the next run stays where it is."""
    schedule = new_schedule(owner, enabled=False)
    answer = owner.post(path_of(schedule, "/trigger"))
    told = answer.json()
    assert answer.status_code == 202
    assert told == {
        "status": "triggered", "execution_id": told["execution_id"], "schedule_id": schedule["id"], "schedule_name": "Monday report",
        "agent_name": "planned", "message": "Schedule triggered",
    }  # fmt: skip
    assert answer.headers["x-execution-id"] == told["execution_id"]
    found = owner.get(path_of(schedule)).json()
    assert (found["enabled"], found["next_run_at"], bool(found["last_run_at"])) == (False, None, True)
    (run,) = owner.get(path_of(schedule, "/executions")).json()
    assert (run["id"], run["trigger"], run["wire"], run["message"]) == (told["execution_id"], "schedule", None, "Weekly report")
    assert run["schedule_id"] == schedule["id"]


def test_a_key_triggers_once(owner: httpx.Client) -> None:
    """R4: the 202 is given again, whether or not the run is over; another schedule is another route."""
    first, second = new_schedule(owner), new_schedule(owner)
    key = {"idempotency-key": f"k-{uuid4()}"}
    once, again = (owner.post(path_of(first, "/trigger"), headers=key) for _ in range(2))
    assert (once.status_code, again.status_code, again.json()) == (202, 202, once.json())
    assert (again.headers["idempotent-replayed"], again.headers["x-idempotent-replay"]) == ("true", "true")
    assert "idempotent-replayed" not in once.headers
    assert len(owner.get(path_of(first, "/executions")).json()) == 1
    other = owner.post(path_of(second, "/trigger"), headers=key)
    assert other.json()["execution_id"] != once.json()["execution_id"]
    assert owner.post(path_of(first, "/trigger"), headers={"idempotency-key": "with blank"}).status_code == 400


def test_a_disabled_agent_runs_nothing(owner: httpx.Client) -> None:
    """R0.5 (13)."""
    schedule = new_schedule(owner, "planned-off")
    answer = owner.post(path_of(schedule, "/trigger"))
    assert refusal(answer) == (503, "agent_not_running")
    assert int(answer.headers["retry-after"]) >= 1
    assert owner.get(path_of(schedule, "/executions")).json() == []


def test_runs_come_page_by_page(owner: httpx.Client) -> None:
    """AG-5, AG-46."""
    schedule = new_schedule(owner)
    ids = [owner.post(path_of(schedule, "/trigger")).json()["execution_id"] for _ in range(5)]
    listed = path_of(schedule, "/executions")
    first = owner.get(listed, params={"limit": 2})
    assert [run["id"] for run in first.json()] == ids[:2:-1]
    assert first.headers["link"].endswith('; rel="next"')
    following = owner.get(first.headers["link"].partition("<")[2].partition(">")[0])
    assert [run["id"] for run in following.json()] == [ids[2], ids[1]]
    last = owner.get(listed, params={"limit": 2, "before": ids[1]})
    assert [run["id"] for run in last.json()] == [ids[0]]
    assert "link" not in last.headers


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"before": "nope"}, {"before": str(uuid4())}])
def test_bad_pages(owner: httpx.Client, query: dict[str, str]) -> None:
    """AG-5."""
    schedule = new_schedule(owner)
    assert refusal(owner.get(path_of(schedule, "/executions"), params=query)) == (422, "validation_error")


@pytest.mark.parametrize("hours", ["24", "168", "720"])
def test_analytics_without_runs(owner: httpx.Client, hours: str) -> None:
    """AG-46."""
    schedule = new_schedule(owner)
    assert owner.get(path_of(schedule, "/analytics"), params={"window_hours": hours}).json() == {
        "window_hours": int(hours), "total": 0, "success": 0, "failed": 0, "skipped": 0, "success_rate": None,
        "p50_ms": None, "p95_ms": None, "p99_ms": None, "total_cost": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("hours", ["", "0", "25", "168.0", "x"])
def test_other_windows_are_refused(owner: httpx.Client, hours: str) -> None:
    schedule = new_schedule(owner)
    assert refusal(owner.get(path_of(schedule, "/analytics"), params={"window_hours": hours})) == (422, "validation_error")
