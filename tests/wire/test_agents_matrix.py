"""Every route of the agents wire, for everybody, in both database modes (AG-2 … AG-4, AG-90): who gets what, and the same on either."""

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.support import clients
from tests.support.server import Server

pytestmark = pytest.mark.live
A = "/api/agents/private"
"""The owner's, shared with the guest."""
CRON = {"name": "x", "cron_expression": "0 9 1 1 *", "message": "Hello"}
USER, OWN, MANAGER = (401, 404, 200, 200, 200), (401, 404, 404, 200, 200), (401, 404, 403, 200, 200)
"""The statuses for nobody, stranger, guest, owner, administrator: who may use the agent may; whose it is, and who manages it; managers."""
MINE = (401, 404, 404, 200, 404)
"""Conversations are their owners': managers read them, and change nothing in them."""
WRITTEN: dict[str, Any] = {"message": "Hello"}

ROUTES: list[tuple[str, str, Any, tuple[int, ...]]] = [
    ("GET", "/api/agents", None, (401, 200, 200, 200, 200)),
    ("GET", A, None, USER),
    ("POST", f"{A}/chat", WRITTEN, USER),
    ("POST", f"{A}/task", WRITTEN, (401, 404, 202, 202, 202)),
    ("POST", f"{A}/chat", {**WRITTEN, "session_id": "SESSION"}, MINE),
    ("POST", f"{A}/chat", {**WRITTEN, "session_id": "SESSION", "edit_of": "QUESTION"}, MINE),
    ("POST", f"{A}/chat", {"session_id": "SESSION", "regenerate_of": "ANSWER"}, MINE),
    ("POST", f"{A}/task", {**WRITTEN, "chat_session_id": "SESSION"}, (401, 404, 404, 202, 404)),
    ("GET", f"{A}/chat/sessions", None, USER),
    ("GET", f"{A}/chat/sessions?user=all", None, MANAGER),
    ("GET", f"{A}/chat/sessions/SESSION", None, OWN),
    ("GET", f"{A}/chat/sessions/SESSION/export", None, OWN),
    ("PUT", f"{A}/chat/messages/ANSWER/feedback", {"rating": 1}, MINE),
    ("PATCH", f"{A}/chat/sessions/SESSION", {"title": "Mine"}, MINE),
    ("POST", f"{A}/chat/sessions/SESSION/close", None, MINE),
    ("GET", f"{A}/chat/history", None, USER),
    ("GET", f"{A}/chat/history/persistent", None, USER),
    ("GET", f"{A}/chat/history/persistent?user_filter=false", None, MANAGER),
    ("GET", f"{A}/chat/session", None, USER),
    ("DELETE", f"{A}/chat/history", None, USER),
    ("GET", f"{A}/activity", None, USER),
    ("GET", f"{A}/activity/srv_000000000000", None, (401, 404, 404, 404, 404)),
    ("DELETE", f"{A}/activity", None, USER),
    ("GET", f"{A}/executions", None, USER),
    ("GET", f"{A}/executions/running", None, USER),
    *(("GET", f"{A}/executions/RUN{rest}", None, OWN) for rest in ("", "/log", "/stream")),
    ("POST", f"{A}/executions/RUN/terminate", None, OWN),
    ("GET", "/api/executions/RUN", None, OWN),
    ("GET", "/api/executions/RUN/stream", None, OWN),
    ("POST", "/api/executions/RUN/cancel", None, OWN),
    ("GET", f"{A}/schedules", None, MANAGER),
    ("POST", f"{A}/schedules", CRON, (401, 404, 403, 201, 201)),
    ("GET", f"{A}/schedules/SCHEDULE", None, MANAGER),
    ("PUT", f"{A}/schedules/SCHEDULE", {"name": "y"}, MANAGER),
    ("PATCH", f"{A}/schedules/SCHEDULE", {"name": "y"}, MANAGER),
    *(("POST", f"{A}/schedules/SCHEDULE/{what}", None, MANAGER) for what in ("enable", "disable")),
    ("POST", f"{A}/schedules/SCHEDULE/trigger", None, (401, 404, 403, 202, 202)),
    *(("GET", f"{A}/schedules/SCHEDULE/{what}", None, MANAGER) for what in ("executions", "analytics", "webhook")),
    ("POST", f"{A}/schedules/SCHEDULE/webhook", None, MANAGER),
    *((method, f"{A}/schedules/SCHEDULE/webhook/secret", None, MANAGER) for method in ("POST", "DELETE")),
    ("DELETE", f"{A}/schedules/SCHEDULE/webhook", None, MANAGER),
    *((method, f"{A}/webhook", None, MANAGER) for method in ("GET", "POST")),
    *((method, f"{A}/webhook/secret", None, MANAGER) for method in ("POST", "DELETE")),
    ("DELETE", f"{A}/webhook", None, MANAGER),
    ("GET", f"{A}/public-links", None, MANAGER),
    ("POST", f"{A}/public-links", {}, (401, 404, 403, 201, 201)),
    ("GET", f"{A}/public-links/LINK", None, MANAGER),
    ("PUT", f"{A}/public-links/LINK", {"name": "y"}, MANAGER),
    ("PATCH", f"{A}/public-links/LINK", {"name": "y"}, MANAGER),
    ("DELETE", f"{A}/public-links/LINK", None, (401, 404, 403, 204, 404)),
    ("DELETE", f"{A}/schedules/SCHEDULE", None, (401, 404, 403, 204, 404)),
    ("DELETE", f"{A}/chat/sessions/SESSION", None, (401, 404, 404, 204, 404)),
]  # fmt: skip
"""In an order in which each row may still use what those before left."""
CODES = {401: {"invalid_credentials"}, 403: {"manager_required"}}
NOT_FOUND = {"agent_not_found", "session_not_found", "message_not_found", "execution_not_found", "schedule_not_found", "not_found"}


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=[pytest.mark.redis, pytest.mark.postgres])])
def site(request: pytest.FixtureRequest) -> Server:
    """One process on SQLite, and one of two on Redis and PostgreSQL."""
    if request.param == "embedded":
        found: Server = request.getfixturevalue("server")
        return found
    both: tuple[Server, Server] = request.getfixturevalue("redis_pg_servers")
    return both[1]


@pytest.fixture(scope="module")
def people(site: Server) -> Iterator[dict[str, httpx.Client]]:
    found = {person: clients.http(site, person) for person in ("stranger", "guest", "owner", "admin")}
    yield found
    for client in found.values():
        client.close()


@pytest.fixture(scope="module")
def things(people: dict[str, httpx.Client]) -> dict[str, str]:
    """What the owner has."""
    owner = people["owner"]
    said = owner.post(f"{A}/chat", json={"message": "Mine", "new_session": True}).json()
    question, answer = owner.get(f"{A}/chat/sessions/{said['session_id']}").json()["messages"]
    made = {what: owner.post(f"{A}/{path}", json=body).json()["id"] for what, path, body in
            (("SCHEDULE", "schedules", CRON), ("LINK", "public-links", {}))}  # fmt: skip
    return made | {"SESSION": said["session_id"], "RUN": said["execution"]["id"], "QUESTION": question["id"], "ANSWER": answer["id"]}


@pytest.mark.parametrize(("method", "route", "body", "statuses"), ROUTES, ids=[f"{method} {route}" for method, route, *_ in ROUTES])
def test_who_gets_what(
    site: Server, people: dict[str, httpx.Client], things: dict[str, str], method: str, route: str, body: Any, statuses: tuple[int, ...]
) -> None:
    """AG-2: a stranger is told the same on every route of the agent; AG-3; AG-4: another user's id is as good as unknown."""
    body = {name: things.get(value, value) if isinstance(value, str) else value for name, value in body.items()} if body else body
    for name, value in things.items():
        route = route.replace(name, value)
    with clients.http(site, None) as nobody:  # each time from another address (R1.8)
        answers = [client.request(method, route, json=body) for client in (nobody, *people.values())]
    assert tuple(answer.status_code for answer in answers) == statuses
    for answer in answers:
        if answer.status_code >= 400:
            assert answer.json()["code"] in CODES.get(answer.status_code, NOT_FOUND)
    if statuses[1] == 404 and route.startswith(A):
        assert answers[1].json()["code"] == "agent_not_found"
