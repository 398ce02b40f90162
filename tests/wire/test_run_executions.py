"""Any run by its id, against a live server: who sees what, live streams, stopping, approvals (R2, R6.5, R7, R15, AG-35 … AG-38)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.support import clients
from tests.support.clients import Frame, frames
from tests.support.server import Server
from tests.support.upstream import FakeUpstream, Hold
from tests.support.waiting import until
from tests.wire import runwire
from tests.wire.inturn import statuses
from tests.wire.runwire import PAUSES, ask

pytestmark = pytest.mark.live
FIELDS = """id agent_name agent_version status trigger triggered_by wire schedule_id session_id message started_at completed_at
queued_at duration_ms model_used cost context_used context_max source_user_id source_user_email error_code skip_reason attempt_number
retry_of_execution_id response error tool_calls usage execution_log log_truncated approvals"""
USAGE = "input_tokens output_tokens cache_read_tokens cache_write_tokens reasoning_tokens model_calls tool_calls estimated"


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    runwire.prepare(server)


def run_of(client: httpx.Client, message: str = "Hello", agent: str = "root", **fields: Any) -> str:
    answer = ask(client, message, agent=agent, **fields)
    assert "x-execution-id" in answer.headers, answer.text
    return str(answer.headers["x-execution-id"])


def get(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    return until(lambda: (found := get(client, execution_id))["status"] not in ("queued", "running") and found)


def watch(client: httpx.Client, execution_id: str, **query: Any) -> list[Frame]:
    with client.stream("GET", f"/api/executions/{execution_id}/stream", params=query) as response:
        assert response.status_code == 200
        return [frame for frame in frames(response.iter_lines()) if frame.data]


def objects(found: list[Frame]) -> list[dict[str, Any]]:
    return [orjson.loads(frame.data) for frame in found]


# What a run looks like


def test_a_run_in_full(any_server: Server) -> None:
    """AG-36, R10.1, R0.3."""
    with clients.http(any_server) as client:
        found = get(client, run_of(client))
    assert list(found) == FIELDS.split()
    assert found | {"status": "success", "trigger": "chat", "wire": "run", "agent_name": "root", "message": "Hello"} == found
    assert found["response"] == "Hello! How can I help?"
    assert list(found["usage"]) == USAGE.split()
    assert (found["usage"]["input_tokens"], found["cost"], found["source_user_email"]) == (412, None, "owner@example.com")
    assert found["started_at"].endswith("Z")
    assert len(found["started_at"]) == len("2026-01-05T09:30:00.000Z")
    assert [line["type"] for line in found["execution_log"]] == ["system", "assistant", "result"]


def test_tool_calls_of_a_run(owner: httpx.Client) -> None:
    """AG-22, AG-17: an array, with what came of each call."""
    found = get(owner, run_of(owner, runwire.PAUSES, "run-clock"))
    call = found["tool_calls"][0]
    assert list(call) == ["id", "tool", "input", "output", "success", "duration_ms"]
    assert call["id"].startswith("srv_")
    assert (call["tool"], call["input"], call["success"]) == ("run_clock", {"timezone": "Europe/Oslo"}, True)
    assert "Europe/Oslo" in call["output"]
    assert found["usage"]["tool_calls"] == 1


def test_a_failed_run_tells_managers_more(server: Server, owner: httpx.Client) -> None:
    """R3.3, AG-36: the fixed sentence for the caller, the provider's words for managers only."""
    broken = orjson.dumps({"status": 400, "error": '{"error":{"message":"the upstream detail"}}'}).decode()
    execution_id = run_of(owner, broken)
    found = get(owner, execution_id)
    assert (found["status"], found["response"], found["error_code"]) == ("failed", None, "provider_error")
    assert found["error"] == "The model provider returned an error."
    assert "error_detail" not in found
    with clients.http(server, "admin") as admin:
        assert "the upstream detail" in get(admin, execution_id)["error_detail"]


# Who sees it

ROUTES = [("GET", ""), ("GET", "/stream"), ("POST", "/cancel"), ("POST", "/approvals/srv_x")]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_what_one_may_not_see_does_not_exist(server: Server, owner: httpx.Client, method: str, route: str) -> None:
    """R2.2, AG-4, R0.2: a stranger's, an unknown and an impossible id are the same 404."""
    tried = [run_of(owner, agent="private"), str(uuid4()), str(uuid4()).upper(), "x", "%00", "0" * 300, "None"]
    with clients.http(server, "guest", **{"x-request-id": "same"}) as guest:
        answers = [guest.request(method, f"/api/executions/{each}{route}", json={"approve": True}) for each in tried]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Execution not found","code":"execution_not_found","request_id":"same"}')
    }


def test_managers_and_administrators_see_it(server: Server, guest: httpx.Client, owner: httpx.Client) -> None:
    """AG-4, AG-3: the agent's owner sees what a guest asked, if his key may manage; an administrator sees all."""
    execution_id = run_of(guest, agent="private")
    assert get(owner, execution_id)["source_user_email"] == "guest@example.com"
    with clients.http(server, "admin") as admin:
        assert get(admin, execution_id)["id"] == execution_id
    with clients.http(server, "stranger") as stranger, clients.http(server, "owner:read+run") as narrow:
        assert stranger.get(f"/api/executions/{execution_id}").status_code == 404
        assert narrow.get(f"/api/executions/{execution_id}").status_code == 404


def test_read_is_implied_for_what_the_key_began(server: Server, owner: httpx.Client) -> None:
    """R1.4."""
    with clients.http(server, "owner:run") as client:
        assert get(client, run_of(client))["status"] == "success"
        refused = client.get(f"/api/executions/{run_of(owner)}")
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_without_a_credential_nothing(server: Server, method: str, route: str) -> None:
    """R1.8."""
    with clients.http(server, None) as client:
        answer = client.request(method, f"/api/executions/{uuid4()}{route}")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


# Watching


def test_watching_a_live_run_from_the_middle(any_server: Server) -> None:
    """R5.3, R7.3, AG-18: two watchers see the same; one that comes back loses nothing and repeats nothing."""
    message = orjson.dumps({"chunks": 20, "delay_ms": 40, "text": "tok "}).decode()
    with clients.http(any_server) as client:
        with client.stream("POST", "/chat/stream", json={"message": message, "agent": "root"}) as response:
            execution_id = response.headers["x-execution-id"]
            lines = response.iter_lines()
            next(lines)
            with clients.http_of(client) as other:
                live = watch(other, execution_id)
        again = watch(client, execution_id)
        rest = watch(client, execution_id, after=int(live[4].id))
    assert objects(live) == objects(again)
    assert objects(rest) == objects(live)[5:]
    told = objects(live)
    assert (told[0]["subtype"], told[-2]["subtype"], told[-1]) == ("init", "success", {"type": "stream_end"})
    deltas = "".join(line["event"]["delta"]["text"] for line in told if line["type"] == "stream_event")
    assert deltas == told[-2]["result"] == "tok " * 20


def test_watching_without_the_deltas(owner: httpx.Client) -> None:
    """AG-18."""
    told = objects(watch(owner, run_of(owner, runwire.PAUSES, "run-clock"), partial="false"))
    assert [line["type"] for line in told] == ["system", "assistant", "user", "assistant", "result", "stream_end"]
    assert told[-2]["result"] == "I look.\n\nIt is late."


def test_whoever_has_seen_all_is_told_the_end(owner: httpx.Client) -> None:
    """AG-21: clients that wait for `stream_end` end."""
    execution_id = run_of(owner)
    last = watch(owner, execution_id)[-1]
    assert objects(watch(owner, execution_id, after=int(last.id))) == [{"type": "stream_end"}]


@pytest.mark.parametrize("number", ["-1", "x", "1.0", "", "1e3"])
def test_a_bad_number_is_refused(owner: httpx.Client, number: str) -> None:
    """R7.3."""
    execution_id = run_of(owner)
    by_query = owner.get(f"/api/executions/{execution_id}/stream", params={"after": number})
    by_header = owner.get(f"/api/executions/{execution_id}/stream?after=0", headers={"last-event-id": number})
    for answer in (by_query, by_header):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("number", ["9" * 18, "9" * 30, "9" * 5000])
def test_after_a_number_that_no_event_has_there_is_only_the_end(owner: httpx.Client, waiting: tuple[str, Hold], number: str) -> None:
    """R7.3: an integer like any other; of a run that is over, and of one that waits."""
    assert objects(watch(owner, run_of(owner), after=number)) == [{"type": "stream_end"}]
    told = watched(owner, waiting, after=number)
    assert told[-1] == {"type": "stream_end"}
    assert not [line for line in told if line["type"] in ("system", "assistant", "stream_event")]


@pytest.fixture
def waiting(owner: httpx.Client, upstream: FakeUpstream) -> Iterator[tuple[str, Hold]]:
    """The id of a run that waits for the agent's only slot, and what to release for it to begin."""
    held, key = upstream.hold(), {"idempotency-key": str(uuid4())}
    body = {"message": "Hello", "agent": "run-single"}
    with ThreadPoolExecutor(2) as threads:
        threads.submit(ask, owner, held.message, agent="run-single")
        held.wait()
        threads.submit(owner.post, "/chat/run", json=body, headers=key)
        until(lambda: "queued" in statuses(owner, "run-single"))
        refused = owner.post("/chat/run", json=body, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "request_in_progress")
        yield str(refused.headers["x-execution-id"]), held
        held.release()


def watched(client: httpx.Client, waiting: tuple[str, Hold], **query: Any) -> list[dict[str, Any]]:
    """All that is told of a run that waits at first."""
    execution_id, held = waiting
    with client.stream("GET", f"/api/executions/{execution_id}/stream", params=query) as response:
        read = frames(response.iter_lines())
        first = next(read)
        held.release()
        return objects([first, *read])


def test_watching_a_run_that_waits(owner: httpx.Client, waiting: tuple[str, Hold]) -> None:
    """AG-20, AG-38: a queued run is 200, first with its place, then with its events."""
    assert get(owner, waiting[0])["status"] == "queued"
    told = watched(owner, waiting)
    assert told[0] == {"type": "status", "status": "queued", "position": 1}
    assert [line["type"] for line in told if line["type"] != "stream_event"] == ["status", "system", "assistant", "result", "stream_end"]


def test_stopping_a_run_that_waits(owner: httpx.Client, waiting: tuple[str, Hold]) -> None:
    """R6.5."""
    answer = owner.post(f"/api/executions/{waiting[0]}/cancel").json()
    assert (answer["status"], answer["result"]) == ("cancelled", "cancelled_while_queued")
    assert ended(owner, waiting[0])["status"] == "cancelled"


# Stopping


def test_stopping_is_idempotent_and_tells_what_became_of_it(owner: httpx.Client) -> None:
    """R6.5."""
    execution_id = run_of(owner)
    for _ in range(2):
        answer = owner.post(f"/api/executions/{execution_id}/cancel")
        assert answer.json() == {"execution_id": execution_id, "status": "success", "result": "already_finished"}


def test_stopping_a_paused_run_denies_what_waits(owner: httpx.Client) -> None:
    """R6.5."""
    execution_id = run_of(owner, PAUSES, "run-approval")
    waiting = get(owner, execution_id)["approvals"]
    answer = owner.post(f"/api/executions/{execution_id}/cancel", content=b"")
    assert answer.json() == {"execution_id": execution_id, "status": "cancelled", "result": "cancelled_while_paused"}
    found = get(owner, execution_id)
    assert (found["status"], found["approvals"]) == ("cancelled", [])
    late = owner.post(f"/api/executions/{execution_id}/approvals/{waiting[0]['tool_call_id']}", json={"approve": True})
    assert late.status_code == 409


def test_stopping_needs_the_scope_run(server: Server, owner: httpx.Client) -> None:
    with clients.http(server, "owner:read") as client:
        assert client.post(f"/api/executions/{run_of(owner)}/cancel").status_code == 403


@pytest.mark.parametrize("value", ["nonsense", "", "0", "False"])
def test_partial_is_true_or_false(owner: httpx.Client, value: str) -> None:
    """AG-5, AG-18: on every stream of a run."""
    execution_id = run_of(owner)
    for path in (f"/api/executions/{execution_id}/stream", f"/api/agents/root/executions/{execution_id}/stream"):
        answer = owner.get(path, params={"partial": value})
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
        assert answer.json()["detail"][0]["loc"] == ["query", "partial"]


# Approving


def paused(client: httpx.Client, agent: str = "run-approval") -> tuple[str, str]:
    """A run that waits: the path of its approval, and its id."""
    execution_id = run_of(client, PAUSES, agent)
    waiting = get(client, execution_id)["approvals"]
    assert list(waiting[0]) == ["tool_call_id", "name", "arguments", "approver", "expires_at"]
    return f"/api/executions/{execution_id}/approvals/{waiting[0]['tool_call_id']}", execution_id


def test_approving_lets_the_same_run_go_on(any_server: Server) -> None:
    """R15.2, R15.3: the same decision again is the same answer, the opposite is refused."""
    runwire.prepare(any_server)
    with clients.http(any_server) as client:
        path, execution_id = paused(client)
        first = client.post(path, json={"approve": True})
        assert first.status_code == 200
        assert list(first.json()) == ["execution_id", "tool_call_id", "decision", "status", "pending"]
        assert first.json() | {"decision": "approved", "status": "running", "pending": 0} == first.json()
        found = ended(client, execution_id)
        assert (found["status"], found["response"]) == ("success", "I look.\n\nIt is late.")
        assert (found["tool_calls"][0]["success"], found["usage"]["model_calls"]) == (True, 2)
        assert client.post(path, json={"approve": True}).json()["decision"] == "approved"
        opposite = client.post(path, json={"approve": False})
        assert (opposite.status_code, opposite.json()["code"]) == (409, "already_decided")
        told = objects(watch(client, execution_id, partial="false"))
        assert [line["type"] for line in told] == ["system", "assistant", "user", "assistant", "result", "stream_end"]


def test_denying_tells_the_model_why(owner: httpx.Client) -> None:
    """R15.3."""
    path, execution_id = paused(owner)
    assert owner.post(path, json={"approve": False, "reason": "too late"}).json()["decision"] == "denied"
    call = ended(owner, execution_id)["tool_calls"][0]
    assert (call["success"], call["output"]) == (False, "denied: too late")


def test_arguments_may_be_replaced(owner: httpx.Client) -> None:
    """R15.2: and must fit the tool's schema."""
    path, execution_id = paused(owner)
    wrong = owner.post(path, json={"approve": True, "arguments": {"timezone": 7}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_error")
    assert owner.post(path, json={"approve": True, "arguments": {"timezone": "Asia/Tokyo"}}).status_code == 200
    assert "Asia/Tokyo" in ended(owner, execution_id)["tool_calls"][0]["output"]


def test_some_calls_only_managers_may_decide(server: Server, owner: httpx.Client, guest: httpx.Client) -> None:
    """R15.2."""
    path, execution_id = paused(guest, "run-manager")
    refused = guest.post(path, json={"approve": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_an_approver")
    assert owner.post(path, json={"approve": True}).status_code == 200
    assert ended(guest, execution_id)["status"] == "success"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"[]", 400, "invalid_request"),
        (b"{}", 422, "validation_error"),
        (b'{"approve":"yes"}', 422, "validation_error"),
        (b'{"approve":true,"reason":"' + b"x" * 1001 + b'"}', 422, "validation_error"),
        (b'{"approve":true,"arguments":[]}', 422, "validation_error"),
    ],
)
def test_bad_decisions(owner: httpx.Client, body: bytes, status: int, code: str) -> None:
    """R15.2, R0.4."""
    path, _ = paused(owner)
    answer = owner.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_unknown_call_is_not_found(owner: httpx.Client) -> None:
    """R15.3."""
    _, execution_id = paused(owner)
    answer = owner.post(f"/api/executions/{execution_id}/approvals/srv_none", json={"approve": True})
    assert answer.status_code == 404
