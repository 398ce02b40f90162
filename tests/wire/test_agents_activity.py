"""/api/agents/{name}/activity…: what tools are doing and did, to whom it may be told (AG-28, AG-29)."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.conftest import NewServer
from tests.support import cast, clients, services
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import toolhouse
from tests.wire.runwire import ask
from tests.wire.toolhouse import LookUp, calls, get, looked_up

pytestmark = pytest.mark.live
PATH = "/api/agents/house/activity"
ITEM = "id execution_id tool input input_summary output_summary duration_ms started_at ended_at success status"
ONE = "id tool input output duration_ms started_at ended_at success"
EMPTY = {
    "status": "idle",
    "active_tool": None,
    "tool_counts": {},
    "totals": {"calls": 0, "duration_ms": 0, "started_at": None},
    "timeline": [],
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


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
        client.delete(PATH)
        yield client


def test_an_agent_that_did_nothing_is_idle(owner: httpx.Client) -> None:
    """AG-28: as is one that is disabled, never 5xx."""
    for name in ("other-house", "house-closed"):
        assert get(owner, f"/api/agents/{name}/activity") == EMPTY


def test_calls_that_are_over(guest: httpx.Client) -> None:
    """AG-28, AG-29: of a conversation and of a call without one, newest first."""
    looked_up(guest, {"q": "first"}, conversation_id=f"c-{uuid4()}")
    last = looked_up(guest, {"q": "second"}, {"size": 3})
    found = get(guest, PATH)
    assert list(found) == list(EMPTY)
    assert (found["status"], found["active_tool"], found["tool_counts"]) == ("idle", None, {"look_up": 3})
    assert [item["input"] for item in found["timeline"]][2] == {"q": "first"}
    newest = next(item for item in found["timeline"] if item["input"] == {"q": "second"})
    assert list(newest) == ITEM.split()
    told = {"execution_id": last, "tool": "look_up", "input_summary": "second", "output_summary": "10 results", "success": True}
    assert newest | told | {"status": "completed"} == newest
    assert TIME.fullmatch(newest["started_at"])
    assert TIME.fullmatch(newest["ended_at"])
    totals = found["totals"]
    assert (totals["calls"], totals["duration_ms"]) == (3, sum(item["duration_ms"] for item in found["timeline"]))
    assert totals["started_at"] == min(item["started_at"] for item in found["timeline"])
    one = get(guest, f"{PATH}/{newest['id']}")
    assert list(one) == ONE.split()
    assert one == {name: newest[name] for name in one if name != "output"} | {"output": "10 results "}


def test_a_call_is_seen_while_it_runs(guest: httpx.Client, site: LookUp) -> None:
    """AG-28: with its start and without its end; afterwards it is the same call."""
    site.hold()
    with ThreadPoolExecutor(1) as threads:
        run = threads.submit(looked_up, guest, {"q": "latest", "hold": True})
        found = until(lambda: (now := get(guest, PATH))["active_tool"] and now)
        item = found["timeline"][0]
        assert (found["status"], found["tool_counts"]["look_up"], found["totals"]["calls"]) == ("running", 1, 1)
        assert found["active_tool"] == {"name": "look_up", "input_summary": "q: latest, hold: true", "started_at": item["started_at"]}
        open_item = {"status": "running", "duration_ms": None, "ended_at": None, "success": None, "output_summary": None}
        assert item | open_item | {"input": {"q": "latest", "hold": True}} == item
        live = get(guest, f"{PATH}/{item['id']}")
        assert (live["output"], live["ended_at"]) == (None, None)
        site.release()
        assert run.result() == item["execution_id"]
    after = get(guest, PATH)
    assert (after["status"], after["active_tool"], after["totals"]["calls"]) == ("idle", None, 1)
    done = after["timeline"][0]
    assert (done["id"], done["started_at"], done["status"]) == (item["id"], item["started_at"], "completed")


def test_a_call_that_was_cut_off_stays_on_record(guest: httpx.Client, site: LookUp, upstream: Any) -> None:
    """R9.1: it may have had effects; nobody knows whether it succeeded. The next turn's model is told of no call without result (R9.2b)."""
    name = f"cut-{uuid4()}"
    site.hold()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(ask, guest, calls({"hold": True}), agent="house", conversation_id=name)
        run = until(lambda: (now := get(guest, PATH))["active_tool"] and now["timeline"][0])["execution_id"]
        assert guest.post(f"/api/executions/{run}/cancel").json()["status"] == "cancelled"
        site.release()
    item = get(guest, PATH)["timeline"][0]
    assert (item["execution_id"], item["status"], item["success"], item["output_summary"]) == (run, "completed", None, None)
    call = get(guest, f"/api/executions/{run}")["tool_calls"][0]
    assert (call["id"], call["success"], call["output"]) == (item["id"], None, None)
    assert ask(guest, "And now?", agent="house", conversation_id=name).status_code == 200
    assert not [message for message in upstream.last["body"]["messages"] if message["role"] == "tool" or "tool_calls" in message]


def test_a_call_that_waits_for_approval_does_not_run(owner: httpx.Client, site: LookUp) -> None:
    """It shows when it runs: from the moment at which the run goes on."""
    path = "/api/agents/house-paused/activity"
    answer = ask(owner, calls({"q": "approved", "hold": True}), agent="house-paused")
    call_id = answer.json()["approvals"][0]["tool_call_id"]
    assert get(owner, path) == EMPTY
    site.hold()
    assert owner.post(f"/api/executions/{answer.json()['execution_id']}/approvals/{call_id}", json={"approve": True}).status_code == 200
    item = until(lambda: get(owner, path)["timeline"])[0]
    assert (item["id"], item["status"]) == (call_id, "running")
    site.release()
    done = until(lambda: (found := get(owner, path)["timeline"][0])["status"] == "completed" and found)
    assert (done["id"], done["started_at"], done["success"]) == (call_id, item["started_at"], True)
    assert get(owner, path)["totals"]["calls"] == 1


def test_the_summary_is_short_and_the_call_is_whole(guest: httpx.Client) -> None:
    """AG-28: summaries of at most 200 characters; AG-29: the full output."""
    asked = {"q": "long " * 500, "size": 5000}
    looked_up(guest, asked)
    item = get(guest, PATH)["timeline"][0]
    assert (len(item["input_summary"]), len(item["output_summary"]), len(item["input"]["q"])) == (200, 200, 200)
    assert item["input"]["size"] == 5000
    one = get(guest, f"{PATH}/{item['id']}")
    assert (one["input"], one["output"]) == (asked, "10 results " + "x" * 5000)


def test_secrets_are_masked(guest: httpx.Client) -> None:
    """R0.9."""
    looked_up(guest, {"q": "sk-fake-upstream-key"})
    item = get(guest, PATH)["timeline"][0]
    assert (item["input"], item["input_summary"]) == ({"q": "[redacted]"}, "[redacted]")


def test_the_timeline_has_a_limit_and_the_counts_have_none(guest: httpx.Client) -> None:
    looked_up(guest, *({"q": str(number)} for number in range(5)))
    found = get(guest, PATH, limit=2)
    assert (len(found["timeline"]), found["totals"]["calls"]) == (2, 5)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.0", " 5", "٣", "9" * 30])
def test_a_bad_limit_is_422(guest: httpx.Client, limit: str) -> None:
    """AG-5."""
    answer = guest.get(PATH, params={"limit": limit})
    assert (answer.status_code, answer.json()["code"], answer.json()["detail"][0]["loc"]) == (422, "validation_error", ["query", "limit"])


def test_clearing_hides_what_is_there_from_ones_own_summary(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-29: repeatable; runs and everybody else's summary stay as they are."""
    run = looked_up(guest)
    item = get(guest, PATH)["timeline"][0]
    for _ in range(2):
        assert guest.delete(PATH).json() == {"status": "cleared", "message": "Activity cleared"}
    assert get(guest, PATH) == EMPTY
    assert item["id"] in [each["id"] for each in get(owner, PATH)["timeline"]]
    assert get(guest, f"{PATH}/{item['id']}")["output"] == "10 results "
    assert get(guest, f"/api/executions/{run}")["tool_calls"][0]["id"] == item["id"]
    looked_up(guest, {"q": "new"})
    assert [each["input"] for each in get(guest, PATH)["timeline"]] == [{"q": "new"}]


def test_what_is_older_than_a_day_is_not_shown(house: Server, guest: httpx.Client) -> None:
    """AG-28; and after two days the row is gone."""
    looked_up(guest)
    item = get(guest, PATH)["timeline"][0]
    aged = "from datetime import timedelta; from django.utils import timezone; from chat import toolrows; "
    aged += f"row = toolrows.ToolCall.objects.filter(pk='{item['id']}'); row.update(started_at=timezone.now() - timedelta(hours=HOURS)); "
    aged += "toolrows._purge(); print(row.count())"
    assert house.manage("shell", "-v0", "-c", aged.replace("HOURS", "25")) == "1"
    assert item["id"] not in [each["id"] for each in get(guest, PATH)["timeline"]]
    assert house.manage("shell", "-v0", "-c", aged.replace("HOURS", "49")) == "0"
    assert guest.get(f"{PATH}/{item['id']}").status_code == 404


# Who may


def test_users_see_their_own_calls_and_managers_all(
    house: Server, owner: httpx.Client, guest: httpx.Client, narrow: dict[str, dict[str, str]]
) -> None:
    """AG-4: by a credential that may manage; a guest does not see the owner's, whatever the credential."""
    own, others = looked_up(owner, {"q": "owner's"}), looked_up(guest, {"q": "guest's"})
    with clients.http(house, "admin") as admin, clients.http(house, None, **narrow["read"]) as reader:
        seen = {who: {item["execution_id"] for item in get(client, PATH)["timeline"]} & {own, others}
                for who, client in (("owner", owner), ("admin", admin), ("guest", guest), ("reader", reader))}  # fmt: skip
        assert seen == {"owner": {own, others}, "admin": {own, others}, "guest": {others}, "reader": {own}}
        call_id = get(owner, f"/api/executions/{own}")["tool_calls"][0]["id"]
        assert owner.get(f"{PATH}/{call_id}").status_code == admin.get(f"{PATH}/{call_id}").status_code == 200
        assert guest.get(f"{PATH}/{call_id}").status_code == 404


ROUTES = [("GET", ""), ("DELETE", ""), ("GET", "/srv_x")]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_an_agent_one_may_not_use_does_not_exist(house: Server, method: str, route: str) -> None:
    """AG-2, R2.1."""
    with clients.http(house, "stranger", **{"x-request-id": "same"}) as stranger:
        answers = [stranger.request(method, f"/api/agents/{name}/activity{route}") for name in ("house", "nobody", "a b", "%00")]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Agent not found","code":"agent_not_found","request_id":"same"}')
    }


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_a_credential_with_the_scope_read_is_needed(house: Server, narrow: dict[str, dict[str, str]], method: str, route: str) -> None:
    """R1.8, R1.4."""
    with clients.http(house, None) as client:
        assert client.request(method, PATH + route).status_code == 401
        client.headers.update(narrow["run"])
        refused = client.request(method, PATH + route)
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


def test_a_call_of_another_agent_or_of_none_is_404(owner: httpx.Client) -> None:
    """R0.2, R2.2."""
    call_id = get(owner, f"/api/executions/{looked_up(owner)}")["tool_calls"][0]["id"]
    tried = [f"/api/agents/other-house/activity/{call_id}", *(f"{PATH}/{each}" for each in ("x", "%00", "y" * 300, call_id.upper()))]
    assert {(answer := owner.get(path)).status_code for path in tried} == {404}
    assert answer.json()["code"] == "not_found"


# Several processes


@pytest.fixture(scope="module")
def houses(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, postgres_url: str, upstream: Any, site: LookUp
) -> Iterator[tuple[Server, Server]]:
    """Two web processes of one site, whose tools may reach the test's website."""
    database = services.new_database(postgres_url, "two_houses")
    shared = {"REDIS_URL": redis_url, "DATABASE_URL": database, "SECRET_KEY": "one-secret-key-for-both-houses" * 2, **toolhouse.ENV}
    shared["ENCRYPTION_KEYS"] = "c3dpdGNoYm9hcmQtdGVzdHMtMzItYnl0ZXMtbG9uZyE="
    first, second = (Server(tmp_path_factory.mktemp(f"house{number}") / "data", env=shared) for number in (1, 2))
    first.keys = second.keys = cast.fill(first.env, upstream.url)
    with first, second:
        for server in (first, second):
            toolhouse.prepare(server, site)
        yield first, second


@pytest.mark.redis
@pytest.mark.postgres
def test_the_other_process_tells_the_same(houses: tuple[Server, Server], site: LookUp) -> None:
    """R12.4: a call that runs elsewhere is seen while it runs, with those of its run that are over, and once."""
    site.hold()
    with clients.http(houses[0]) as here, clients.http(houses[1]) as there, ThreadPoolExecutor(1) as threads:
        looked_up(here, {"q": "before"})
        run = threads.submit(looked_up, here, {"q": "over"}, {"q": "held", "hold": True}, conversation_id=f"two-{uuid4()}")
        found = until(lambda: (now := get(there, PATH))["active_tool"] and len(now["timeline"]) == 3 and now)
        assert found["status"] == "running"
        until(lambda: [item["status"] for item in get(there, PATH)["timeline"]].count("completed") == 2)
        told = get(there, PATH)
        assert told == get(here, PATH)
        held = next(item for item in told["timeline"] if item["status"] == "running")
        assert get(there, f"{PATH}/{held['id']}")["input"] == {"q": "held", "hold": True}
        detail = get(there, f"/api/executions/{held['execution_id']}")
        assert {call["id"]: call["success"] for call in detail["tool_calls"]}[held["id"]] is None
        site.release()
        run.result()
        after = get(there, PATH)
        assert (after["status"], after["totals"]["calls"], len(after["timeline"])) == ("idle", 3, 3)
        assert after == get(here, PATH)
