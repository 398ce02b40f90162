"""/api/agents/{name}/executions…: an agent's runs, to whom they are told, and how they are stopped (AG-35 … AG-40)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.clients import frames
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import toolhouse
from tests.wire.runwire import ask
from tests.wire.toolhouse import LookUp, calls, get, looked_up

pytestmark = pytest.mark.live
PATH = "/api/agents/house/executions"
SUMMARY = """id agent_name agent_version status trigger triggered_by wire schedule_id session_id message started_at completed_at
queued_at duration_ms model_used cost context_used context_max source_user_id source_user_email error_code skip_reason attempt_number
retry_of_execution_id"""
MORE = "response error tool_calls usage execution_log log_truncated approvals"
TERMINATED = {"terminated", "already_finished", "cancelled_while_queued", "cancelled_while_paused"}


@pytest.fixture(scope="module")
def site() -> Iterator[LookUp]:
    with toolhouse.look_up() as running:
        yield running


@pytest.fixture(scope="module")
def house(module_server: NewServer, site: LookUp) -> Server:
    server = module_server(env=toolhouse.ENV)
    toolhouse.prepare(server, site)
    return server


@pytest.fixture(scope="module")
def narrow(house: Server) -> dict[str, dict[str, str]]:
    """Credentials of the owner that have one scope alone."""
    return {scope: {"authorization": f"Bearer {house.keys[f'owner:{scope}']}"} for scope in ("run", "read")}


@pytest.fixture
def owner(house: Server) -> Iterator[httpx.Client]:
    with clients.http(house) as client:
        yield client


@pytest.fixture
def guest(house: Server) -> Iterator[httpx.Client]:
    with clients.http(house, "guest") as client:
        yield client


def said(client: httpx.Client, message: str = "Hello", agent: str = "house", **fields: Any) -> str:
    """A run, by its id."""
    return str(ask(client, message, agent=agent, **fields).headers["x-execution-id"])


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [run["id"] for run in found]


# The list


def test_the_list_is_an_array_newest_first(guest: httpx.Client) -> None:
    """AG-35: with the message cut, and without the large fields."""
    runs = [said(guest), said(guest, "long " * 200), said(guest)]
    found = get(guest, PATH)
    assert ids(found)[:3] == runs[::-1]
    assert {tuple(run) for run in found} == {tuple(SUMMARY.split())}
    told = {"agent_name": "house", "status": "success", "trigger": "chat", "triggered_by": "chat", "wire": "run", "attempt_number": 1}
    assert found[1] | told | {"source_user_email": "guest@example.com", "schedule_id": None} == found[1]
    assert found[1]["message"] == ("long " * 200)[:500]


def test_pages_follow_each_other_without_gap_or_repetition(guest: httpx.Client) -> None:
    """AG-5: the Link keeps the filters; the last page has none."""
    runs = [said(guest) for _ in range(5)][::-1]
    seen: list[str] = []
    path: str | None = f"{PATH}?limit=2&status=success&wire=run"
    while path and len(seen) < 5:
        answer = guest.get(path)
        seen += ids(answer.json())
        path = answer.links["next"]["url"] if "next" in answer.links else None
        assert path is None or ("status=success" in path and "limit=2" in path)
    assert seen[:5] == runs
    everything = guest.get(PATH, params={"limit": 200})
    assert "link" not in everything.headers
    assert get(guest, PATH, before=everything.json()[-1]["id"]) == []


def test_every_filter_leaves_only_what_it_names(guest: httpx.Client) -> None:
    """AG-35."""
    failed = said(guest, orjson.dumps({"status": 400}).decode())
    good = said(guest)
    since = get(guest, f"{PATH}/{good}")["started_at"]
    assert failed in ids(get(guest, PATH, status="failed")) and good not in ids(get(guest, PATH, status="failed"))  # noqa: PT018
    assert good in ids(get(guest, PATH, status="success", trigger="chat", triggered_by="chat", wire="run"))
    assert ids(get(guest, PATH, since=since)) == [good]
    assert ids(get(guest, PATH, since=since.removesuffix("Z"))) == [good]
    assert ids(get(guest, PATH, since=since.replace("Z", "+00:00"))) == [good]
    assert get(guest, PATH, since="2999-01-01") == []
    for nothing in ({"trigger": "task"}, {"wire": "openai"}, {"schedule_id": str(uuid4())}, {"status": "skipped"}):
        assert get(guest, PATH, **nothing) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("limit=1.5", "limit"),
        ("before=x", "before"), ("before=", "before"), (f"before={UUID(int=7)}", "before"),
        (f"before={str(UUID(int=0xABC << 64)).upper()}", "before"),
        ("status=done", "status"), ("status=", "status"), ("status=Success", "status"), ("status=success&status=failed", "status"),
        ("trigger=cron", "trigger"), ("triggered_by=", "triggered_by"), ("trigger=chat&triggered_by=task", "triggered_by"),
        ("wire=http", "wire"), ("schedule_id=7", "schedule_id"), ("since=yesterday", "since"), ("since=", "since"),
        ("since=2026-13-01T00:00:00Z", "since"), ("since=0001-01-01T00:00:00%2B14:00", "since"), ("since=%00", "since"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_never_taken_for_no_filter(guest: httpx.Client, query: str, field: str) -> None:
    """AG-5."""
    answer = guest.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"][0]["loc"] == ["query", field]


def test_before_must_be_a_run_of_this_list(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-5, R2.2: neither another agent's nor another user's."""
    for foreign in (said(guest, agent="other-house"), said(owner)):
        assert guest.get(PATH, params={"before": foreign}).status_code == 422


def test_users_see_their_own_runs_and_managers_all(
    house: Server, owner: httpx.Client, guest: httpx.Client, narrow: dict[str, dict[str, str]]
) -> None:
    """AG-4."""
    runs = {said(owner), said(guest)}
    with clients.http(house, "admin") as admin, clients.http(house, None, **narrow["read"]) as reader:
        seen = [set(ids(get(client, PATH))) & runs for client in (owner, admin, guest, reader)]
    assert [len(each) for each in seen] == [2, 2, 1, 1]
    assert seen[2] != seen[3]


# What runs


def test_what_is_not_over(guest: httpx.Client, owner: httpx.Client, site: LookUp) -> None:
    """AG-39: running and queued; the word `running` is no id. Without a conversation a run is there before it is stored (R0.6)."""
    site.hold()
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(looked_up, guest, {"hold": True})
        found = until(lambda: get(guest, f"{PATH}/running")["executions"])
        assert (list(found[0]), found[0]["status"], found[0]["completed_at"]) == (SUMMARY.split(), "running", None)
        assert ids(get(owner, f"{PATH}/running")["executions"]) == ids(found)
        until(lambda: ids(get(guest, PATH, status="running")) == ids(found))
        site.release()
        assert run.result() == found[0]["id"]
    assert get(guest, f"{PATH}/running") == {"executions": []}


def test_what_waits_is_not_over(owner: httpx.Client) -> None:
    """AG-39: paused, and queued behind the agent's only slot, also without a conversation."""
    ask(owner, calls({}), agent="house-paused")
    assert [run["status"] for run in get(owner, "/api/agents/house-paused/executions/running")["executions"]] == ["paused"]
    path = "/api/agents/house-single/executions/running"
    with ThreadPoolExecutor(3) as threads:
        threads.submit(ask, owner, orjson.dumps({"hang": True}).decode(), agent="house-single", conversation_id="one")
        until(lambda: len(get(owner, path)["executions"]) == 1)
        for fields in ({"conversation_id": "two"}, {}):
            threads.submit(ask, owner, agent="house-single", message="Hello", **fields)
        found = until(lambda: len(now := get(owner, path)["executions"]) == 3 and now)
        assert [(run["status"], bool(run["started_at"]), bool(run["queued_at"])) for run in found] == [
            ("queued", False, True), ("queued", False, True), ("running", True, False),
        ]  # fmt: skip
        assert [terminate(owner, run["id"], "house-single") for run in found] == [*["cancelled_while_queued"] * 2, "terminated"]


# One run


def test_a_run_in_full_is_the_same_under_both_paths(guest: httpx.Client) -> None:
    """AG-36."""
    run = looked_up(guest, {"q": "latest"})
    found = get(guest, f"{PATH}/{run}")
    assert list(found) == [*SUMMARY.split(), *MORE.split()]
    assert found == get(guest, f"/api/executions/{run}")
    call = found["tool_calls"][0]
    assert list(call) == ["id", "tool", "input", "output", "success", "duration_ms"]
    assert (call["tool"], call["input"], call["output"], call["success"]) == ("look_up", {"q": "latest"}, "10 results ", True)
    assert (found["usage"]["model_calls"], found["usage"]["tool_calls"]) == (2, 1)
    assert [line["type"] for line in found["execution_log"]] == ["system", "assistant", "user", "assistant", "result"]
    assert (found["log_truncated"], found["approvals"]) == (False, [])


def test_a_log_keeps_its_newest_lines(guest: httpx.Client) -> None:
    """AG-36: 2 000 of them, and says so. (Calls with bad arguments are answered at once.)"""
    run = looked_up(guest, *({"q": number} for number in range(2100)))
    found = get(guest, f"{PATH}/{run}")
    assert (len(found["execution_log"]), found["log_truncated"]) == (2000, True)
    assert found["execution_log"][-1]["type"] == "result"
    assert len(found["tool_calls"]) == 2100


def test_the_approvals_of_a_run_are_those_that_wait(owner: httpx.Client) -> None:
    """AG-36, AG-40."""
    body = ask(owner, calls({"q": "x"}), agent="house-paused").json()
    path = f"/api/agents/house-paused/executions/{body['execution_id']}"
    assert [waiting["tool_call_id"] for waiting in get(owner, path)["approvals"]] == [body["approvals"][0]["tool_call_id"]]
    assert terminate(owner, body["execution_id"], "house-paused") == "cancelled_while_paused"
    assert (get(owner, path)["approvals"], get(owner, path)["status"]) == ([], "cancelled")


def test_the_log_of_a_run(guest: httpx.Client) -> None:
    """AG-37."""
    run = said(guest)
    found, full = get(guest, f"{PATH}/{run}/log"), get(guest, f"{PATH}/{run}")
    assert list(found) == ["execution_id", "agent_name", "has_log", "log", "started_at", "completed_at", "status"]
    assert (found["execution_id"], found["agent_name"], found["has_log"], found["status"]) == (run, "house", True, "success")
    assert (found["log"], found["started_at"], found["completed_at"]) == (
        full["execution_log"], full["started_at"], full["completed_at"],
    )  # fmt: skip


def watched(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    with client.stream("GET", path, params=query) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [orjson.loads(frame.data) for frame in frames(response.iter_lines()) if frame.data]


def test_a_stream_of_a_run(guest: httpx.Client) -> None:
    """AG-38: the same as under /api/executions, from any number on."""
    run = said(guest)
    told = watched(guest, f"{PATH}/{run}/stream")
    assert told == watched(guest, f"/api/executions/{run}/stream")
    assert (told[0]["subtype"], told[-1]) == ("init", {"type": "stream_end"})
    assert watched(guest, f"{PATH}/{run}/stream", after=told[2]["seq"]) == told[3:]
    assert guest.get(f"{PATH}/{run}/stream", params={"after": "x"}).status_code == 400


def test_each_step_has_its_own_time_in_the_model(house: Server, guest: httpx.Client) -> None:
    """What the admin shows of a step is not the sum of those before."""
    run = said(guest, orjson.dumps({"slow_headers_ms": 200, "tools": [{"name": "look_up", "arguments": {}}]}).decode())
    read = f"from chat.models import Execution; row = Execution.objects.get(pk='{run}'); "
    told = house.manage("shell", "-v0", "-c", read + "print(row.model_ms, *(step['model_ms'] for step in row.steps))")
    total, *steps = map(int, told.split())
    assert len(steps) == 2
    assert abs(total - sum(steps)) <= 2


# Stopping


def terminate(client: httpx.Client, run: str, agent: str = "house") -> str:
    answer = client.post(f"/api/agents/{agent}/executions/{run}/terminate")
    assert answer.status_code == 200, answer.text
    assert answer.json()["execution_id"] == run
    assert list(answer.json()) == ["status", "execution_id"]
    assert answer.json()["status"] in TERMINATED
    return str(answer.json()["status"])


def test_terminating_stops_this_run_alone(guest: httpx.Client, site: LookUp) -> None:
    """AG-40: cancelled, not failed; other runs of the agent go on."""
    site.hold()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(looked_up, guest, {"hold": True})
        stopped = until(lambda: get(guest, f"{PATH}/running")["executions"])[0]["id"]
        second = threads.submit(looked_up, guest, {"hold": True})
        until(lambda: len(get(guest, f"{PATH}/running")["executions"]) == 2)
        assert terminate(guest, stopped) == "terminated"
        assert stopped not in ids(get(guest, f"{PATH}/running")["executions"])
        site.release()
        assert get(guest, f"{PATH}/{second.result()}")["status"] == "success"
        with pytest.raises(AssertionError, match="cancelled"):
            first.result()
    assert get(guest, f"{PATH}/{stopped}")["status"] == "cancelled"
    assert terminate(guest, stopped) == "already_finished"


@pytest.mark.redis
@pytest.mark.postgres
def test_lists_and_stops_over_two_processes(redis_pg_servers: tuple[Server, Server]) -> None:
    """Issue 3, acceptance 1: on PostgreSQL the same; a run of one process is listed, followed and stopped from the other (R12.4)."""
    path = "/api/agents/private/executions"
    with clients.http(redis_pg_servers[0], "guest") as here, clients.http(redis_pg_servers[1], "guest") as there:
        runs = [said(here, agent="private") for _ in range(3)][::-1]
        first = there.get(path, params={"limit": 2, "status": "success"})
        assert ids(first.json()) == runs[:2]
        assert ids(there.get(first.links["next"]["url"]).json())[0] == runs[2]
        assert ids(get(there, path, since=first.json()[0]["started_at"])) == runs[:1]
        assert there.get(path, params={"before": str(uuid4())}).status_code == 422
        silent = orjson.dumps({"hang": True}).decode()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(ask, here, silent, agent="private", conversation_id=f"stop-{uuid4()}")
            (run,) = until(lambda: get(there, f"{path}/running")["executions"])
            live = until(lambda: get(there, f"{path}/{run['id']}/log")["log"])
            assert live[0]["subtype"] == "init"
            assert terminate(there, run["id"], "private") == "terminated"
        assert get(here, f"{path}/{run['id']}")["status"] == "cancelled"


# Who may

ROUTES = [("GET", ""), ("GET", "/running"), ("GET", "/ID"), ("GET", "/ID/log"), ("GET", "/ID/stream"), ("POST", "/ID/terminate")]
OF_ONE_RUN = ROUTES[2:]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_an_agent_one_may_not_use_does_not_exist(house: Server, guest: httpx.Client, method: str, route: str) -> None:
    """AG-2, R2.1: before anything else of the request is looked at."""
    route = route.replace("ID", said(guest)) + "?limit=x&after=x"
    with clients.http(house, "stranger", **{"x-request-id": "same"}) as stranger:
        answers = [stranger.request(method, f"/api/agents/{name}/executions{route}") for name in ("house", "nobody", "a b", "%00")]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Agent not found","code":"agent_not_found","request_id":"same"}')
    }


@pytest.mark.parametrize(("method", "route"), OF_ONE_RUN)
def test_a_run_one_may_not_see_does_not_exist(house: Server, owner: httpx.Client, guest: httpx.Client, method: str, route: str) -> None:
    """AG-36, R2.2: another user's, another agent's, an unknown and an impossible one alike."""
    tried = [said(owner), said(guest, agent="other-house"), str(uuid4()), said(guest).upper(), "x", "%00", "0" * 300]
    with clients.http(house, "guest", **{"x-request-id": "same"}) as client:
        answers = [client.request(method, PATH + route.replace("ID", each)) for each in tried]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Execution not found","code":"execution_not_found","request_id":"same"}')
    }


@pytest.mark.parametrize(("method", "route"), OF_ONE_RUN)
def test_the_owner_the_manager_and_the_administrator_may(house: Server, guest: httpx.Client, method: str, route: str) -> None:
    """AG-3, AG-4."""
    path = PATH + route.replace("ID", said(guest))
    for person in ("guest", "owner", "admin"):
        with clients.http(house, person) as client:
            assert client.request(method, path).status_code == 200


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_credential_with_the_right_scope_is_needed(
    house: Server, owner: httpx.Client, narrow: dict[str, dict[str, str]], method: str, route: str
) -> None:
    """R1.8, R1.4: `read`, and `run` to stop; what the key began itself it may read without."""
    path, lacking = PATH + route.replace("ID", said(owner)), "run" if method == "GET" else "read"
    with clients.http(house, None) as client:
        assert client.request(method, path).status_code == 401
        client.headers.update(narrow[lacking])
        refused = client.request(method, path)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        if lacking == "run" and "ID" in route:
            assert client.get(PATH + route.replace("ID", said(client))).status_code == 200


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_other_methods_are_told_what_is_allowed(owner: httpx.Client, method: str, route: str) -> None:
    """R3.1; and a slash at the end changes nothing (R0.1)."""
    answer = owner.request("PUT", PATH + route + "/")
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", method)
