"""POST /api/agents/{name}/task against a live server with its worker inside (AG-30 … AG-34)."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import taskwire
from tests.wire.agentswire import script
from tests.wire.taskwire import done, ended, post, queued, run, running

pytestmark = pytest.mark.live
ANSWER = "Hello! How can I help?"
SLOW = script(chunks=30, delay_ms=50, text="tok ")
HANGS = script(hang=True)
ANSWER_KEYS = "response session_id execution metadata session execution_log execution_log_simplified timestamp task_execution_id"


@pytest.fixture(scope="module")
def task_server(module_server: NewServer) -> Server:
    server = module_server(env={**taskwire.NO_LIMITS, "CHAT_REQUEST_TIMEOUT": "3s"})
    taskwire.prepare(server)
    return server


@pytest.fixture
def owner(task_server: Server) -> Iterator[httpx.Client]:
    with clients.http(task_server) as client:
        yield client


@pytest.fixture
def guest(task_server: Server) -> Iterator[httpx.Client]:
    with clients.http(task_server, "guest") as client:
        yield client


def runs(client: httpx.Client, agent: str = "tasker") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/agents/{agent}/executions").json()
    return found


@pytest.fixture
def busy(owner: httpx.Client) -> Iterator[str]:
    """The one run that `single` may have at a time."""
    execution_id = queued(owner, HANGS, "single")
    running(owner, execution_id)
    yield execution_id
    for left in owner.get("/api/agents/single/executions/running").json()["executions"]:
        owner.post(f"/api/executions/{left['id']}/cancel")


# Accepted


def test_a_task_is_accepted_at_once_and_runs(owner: httpx.Client) -> None:
    """AG-30: 202 with Location; the run is a queued one with trigger `task` until it starts."""
    answer = post(owner, "Generate a report on Q1 sales data")
    body = answer.json()
    execution_id = body["execution_id"]
    where = f"/api/agents/tasker/executions/{execution_id}"
    assert (answer.status_code, answer.headers["location"], answer.headers["x-execution-id"]) == (202, where, execution_id)
    assert body == {
        "status": "queued", "execution_id": execution_id, "agent_name": "tasker", "async_mode": True,
        "message": f"Task accepted. Poll GET {where}",
    }  # fmt: skip
    found = ended(owner, execution_id)
    assert (found["status"], found["trigger"], found["wire"], found["response"]) == ("success", "task", "agents", ANSWER)
    assert (found["session_id"], found["message"], found["attempt_number"]) == (None, "Generate a report on Q1 sales data", 1)
    assert found["queued_at"] <= found["started_at"] <= found["completed_at"]


@pytest.mark.parametrize(("person", "status", "code"), [
    (None, 401, "invalid_credentials"), ("stranger", 404, "agent_not_found"),
    ("guest", 202, None), ("owner", 202, None), ("admin", 202, None),
])  # fmt: skip
def test_who_may_have_an_agent_work(task_server: Server, person: str | None, status: int, code: str | None) -> None:
    """AG-2, AG-3."""
    with clients.http(task_server, person) as client:
        answer = post(client)
    assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_a_key_that_may_only_read_starts_nothing(task_server: Server) -> None:
    """R1.4, AG-3: the scope `run`."""
    with clients.http(task_server, "owner:read") as client:
        assert post(client).json()["code"] == "insufficient_scope"


@pytest.mark.parametrize(("fields", "at"), [
    ({"message": "  "}, "message"), ({"message": 7}, "message"), ({"message": None}, "message"), ({"message": "x" * 200_001}, "message"),
    ({"async_mode": "yes"}, "async_mode"),
    ({"priority": 10}, "priority"), ({"priority": -1}, "priority"), ({"priority": True}, "priority"),
    ({"max_attempts": 0}, "max_attempts"), ({"max_attempts": 6}, "max_attempts"),
    ({"max_turns": 0}, "max_turns"), ({"max_turns": 101}, "max_turns"),
    ({"timeout_seconds": 0}, "timeout_seconds"), ({"timeout_seconds": 86_401}, "timeout_seconds"),
    ({"system_prompt": "x" * 20_001}, "system_prompt"), ({"system_prompt": 7}, "system_prompt"),
    ({"allowed_tools": "tk_clock"}, "allowed_tools"), ({"allowed_tools": ["nothing"]}, "allowed_tools"),
    ({"callback_url": "http://example.com/hook"}, "callback_url"), ({"callback_url": "https://"}, "callback_url"),
    ({"callback_url": "https://user:word@example.com/"}, "callback_url"), ({"callback_url": "https://example.com:x/"}, "callback_url"),
    ({"user_message": "x" * 200_001}, "user_message"), ({"save_to_session": 1}, "save_to_session"),
    ({"files": [{"name": "a.txt", "data_base64": "?"}]}, "files"), ({"attachments": [str(uuid4())]}, "attachments"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_stored(owner: httpx.Client, fields: dict[str, Any], at: str) -> None:
    """AG-1, AG-6, AG-7: 422 naming the field."""
    before = len(runs(owner))
    answer = post(owner, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"][0]["loc"][:2] == ["body", at]
    assert len(runs(owner)) == before


def test_null_is_absent(owner: httpx.Client) -> None:
    """R0.4."""
    optional = "async_mode model files attachments system_prompt allowed_tools max_turns timeout_seconds priority max_attempts callback_url"
    fields = dict.fromkeys([*optional.split(), "chat_session_id", "save_to_session", "user_message"])
    assert done(owner, **fields)["status"] == "success"


def test_another_model_is_refused_unless_the_agent_allows_it(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-6."""
    assert post(owner, model="gpt-9").json()["code"] == "model_not_allowed"
    found = done(owner, model="echo")
    assert (found["model_used"], upstream.last["body"]["model"]) == ("echo", "echo")


def test_an_agent_that_is_switched_off_takes_no_tasks(owner: httpx.Client) -> None:
    answer = post(owner, agent="resting")
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_not_running")


def test_a_full_queue_refuses(owner: httpx.Client) -> None:
    """AG-31: one runs, one waits, the third is 429 with the object of AG-15."""
    first = queued(owner, HANGS, "tiny")
    running(owner, first)
    second = queued(owner, HANGS, "tiny")
    answer = post(owner, agent="tiny")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "queue_full", "30")
    told = answer.json()["detail"]
    assert (told["error"], told["agent"], told["queue_length"], told["retry_after"]) == ("Agent queue is full", "tiny", 1, 30)
    for execution_id in (second, first):
        owner.post(f"/api/executions/{execution_id}/cancel")


# Twice is once


def test_the_same_key_is_the_same_task(owner: httpx.Client) -> None:
    """R4.3: for a call that is answered with 202 that is the stored answer, also while the run goes."""
    headers = {"idempotency-key": str(uuid4())}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(owner, SLOW, headers=headers), range(4)))
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409}
    again, other = post(owner, SLOW, headers=headers), post(owner, "Other.", headers=headers)
    assert len({answer.json()["execution_id"] for answer in (*accepted, again)}) == 1
    assert (again.status_code, again.headers["idempotent-replayed"], again.headers["x-idempotent-replay"]) == (202, "true", "true")
    assert (again.json(), again.headers["location"]) == (accepted[0].json(), accepted[0].headers["location"])
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    ended(owner, again.json()["execution_id"])


def test_a_refused_task_uses_up_no_key(owner: httpx.Client) -> None:
    """AG-6, R4.4."""
    headers = {"idempotency-key": str(uuid4())}
    assert post(owner, agent="resting", headers=headers).status_code == 503
    assert post(owner, agent="resting", headers=headers).status_code == 503
    assert post(owner, model="gpt-9", headers=headers).status_code == 422
    assert post(owner, headers=headers).status_code == 202


def test_who_waits_and_asks_twice_is_told_that_it_runs_and_then_what_came_of_it(owner: httpx.Client) -> None:
    """R4.2, R4.3 for async_mode false."""
    headers = {"idempotency-key": str(uuid4())}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, owner, SLOW, async_mode=False, headers=headers)
        until(lambda: any(row["status"] == "running" for row in runs(owner)))
        meanwhile = post(owner, SLOW, async_mode=False, headers=headers)
        first = waiting.result()
    assert (meanwhile.status_code, meanwhile.json()["detail"]["error"]) == (409, "request_in_progress")
    assert meanwhile.json()["detail"]["execution_id"] == first.json()["task_execution_id"]
    again = post(owner, SLOW, async_mode=False, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.json()["response"], again.json()["task_execution_id"]) == (first.json()["response"], first.json()["task_execution_id"])
    assert again.json()["session"] == first.json()["session"]  # of a run without one: not the sum of all such runs


# Waiting for the result


def test_who_waits_is_given_the_answer(owner: httpx.Client) -> None:
    """AG-33: the body of AG-12 and the run's id."""
    answer = post(owner, async_mode=False)
    body = answer.json()
    assert (answer.status_code, list(body), body["response"]) == (200, ANSWER_KEYS.split(), ANSWER)
    assert (body["session_id"], body["execution"]["was_queued"], body["execution"]["status"]) == (None, True, "success")
    assert body["task_execution_id"] == body["execution"]["id"] == answer.headers["x-execution-id"]


def test_who_waits_for_a_failed_task_is_told_so_by_the_status(owner: httpx.Client) -> None:
    """AG-33, AG-13: never 200; asking again blindly would run tools again."""
    answer = post(owner, script(status=400, error='{"error": {"message": "no"}}'), async_mode=False)
    assert (answer.status_code, answer.json()["code"], answer.headers["x-should-retry"]) == (502, "provider_error", "false")
    assert run(owner, answer.json()["execution_id"])["status"] == "failed"


def test_who_waits_for_a_cancelled_task_is_told_so(owner: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, owner, HANGS, "armed", async_mode=False)
        (found,) = until(lambda: [row for row in runs(owner, "armed") if row["status"] == "running"])
        owner.post(f"/api/executions/{found['id']}/cancel")
        answer = waiting.result()
    assert (answer.status_code, answer.json()["code"], answer.json()["execution_id"]) == (409, "cancelled", found["id"])


def test_waiting_ends_with_the_request_timeout_and_the_task_goes_on(owner: httpx.Client) -> None:
    """AG-33: 504 with the run's id."""
    answer = post(owner, HANGS, async_mode=False)
    execution_id = answer.json()["execution_id"]
    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert run(owner, execution_id)["status"] == "running"
    owner.post(f"/api/executions/{execution_id}/cancel")


def test_a_task_that_needs_approval_waits_for_it_and_goes_on(owner: httpx.Client) -> None:
    """AG-13, R15.3: 200 with `paused`; the same run goes on when it is decided."""
    message = script("Time?", tools=[{"name": "tk_clock", "arguments": {"timezone": "UTC"}}], text="Late.")
    body = post(owner, message, "asking", async_mode=False).json()
    assert body["execution"]["status"] == "paused"
    (approval,) = body["approvals"]
    execution_id = body["task_execution_id"]
    decided = owner.post(f"/api/executions/{execution_id}/approvals/{approval['tool_call_id']}", json={"approve": True})
    assert decided.status_code == 200
    found = until(lambda: (seen := run(owner, execution_id))["status"] == "success" and seen)
    assert (found["response"], found["attempt_number"]) == ("Late.", 1)


# What is asked of the agent


def test_the_callers_prompt_follows_the_agents_and_never_replaces_it(owner: httpx.Client, upstream: FakeUpstream) -> None:
    done(owner, "Go.", system_prompt="Answer in Norwegian.")
    system, user = upstream.last["body"]["messages"]
    assert system["content"].startswith("You are careful.")
    assert system["content"].endswith("Answer in Norwegian.")
    assert user == {"role": "user", "content": "Go."}


@pytest.mark.parametrize(("allowed", "offered"), [(None, ["tk_clock", "tk_time"]), (["tk_time"], ["tk_time"]), ([], [])])
def test_only_the_tools_that_are_named_are_offered(owner: httpx.Client, upstream: FakeUpstream, allowed: Any, offered: list[str]) -> None:
    done(owner, agent="armed", allowed_tools=allowed)
    assert [tool["function"]["name"] for tool in upstream.last["body"].get("tools", ())] == offered


def test_a_task_has_no_more_model_calls_than_it_was_given(owner: httpx.Client) -> None:
    found = done(owner, script("Time?", tools=[{"name": "tk_time", "arguments": {}}]), "armed", max_turns=1)
    assert (found["status"], found["error_code"], found["usage"]["model_calls"]) == ("failed", "max_steps_reached", 1)


def test_a_task_has_no_more_time_than_it_was_given(owner: httpx.Client) -> None:
    found = done(owner, HANGS, timeout_seconds=1)
    assert (found["status"], found["error_code"]) == ("failed", "timeout")


def test_a_file_comes_with_its_task(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-7."""
    done(owner, "Read this.", files=[{"name": "notes.txt", "mimetype": "text/plain", "data_base64": "VGhlIGFuc3dlciBpcyA0Mi4="}])
    assert "The answer is 42." in orjson.dumps(upstream.last["body"]).decode()


# Order, capacity, stopping


def test_a_run_beyond_the_capacity_waits_and_its_watchers_see_its_place(owner: httpx.Client, busy: str) -> None:
    """AG-31, AG-20, AG-38: status lines with the position, then the run itself, live."""
    queued(owner, "First.", "single")
    second = queued(owner, "Second.", "single")
    told: list[dict[str, Any]] = []
    stopped = False
    with clients.http_of(owner) as watcher, watcher.stream("GET", f"/api/agents/single/executions/{second}/stream") as response:
        for frame in clients.frames(response.iter_lines()):
            if frame.data:
                told.append(orjson.loads(frame.data))
            if not stopped:
                stopped = owner.post(f"/api/executions/{busy}/cancel").status_code == 200
    assert told[0] == {"type": "status", "status": "queued", "position": 2}
    kinds = [line["type"] for line in told if line["type"] != "status"]
    assert (kinds[0], kinds[1], kinds[-3:]) == ("system", "stream_event", ["assistant", "result", "stream_end"])


def test_higher_priority_starts_first(owner: httpx.Client, busy: str) -> None:
    """AG-31."""
    waiting = {priority: queued(owner, str(priority), "single", priority=priority) for priority in (1, 5, 9)}
    owner.post(f"/api/executions/{busy}/cancel")
    began = {priority: ended(owner, execution_id)["started_at"] for priority, execution_id in waiting.items()}
    assert sorted(began, key=lambda priority: began[priority]) == [9, 5, 1]


def test_a_waiting_task_is_cancelled_at_once_and_never_starts(owner: httpx.Client, busy: str) -> None:
    """R6.5, AG-40."""
    first, second = queued(owner, agent="single"), queued(owner, agent="single")
    answer = owner.post(f"/api/executions/{first}/cancel")
    assert answer.json() == {"execution_id": first, "status": "cancelled", "result": "cancelled_while_queued"}
    answer = owner.post(f"/api/agents/single/executions/{second}/terminate")
    assert answer.json() == {"status": "cancelled_while_queued", "execution_id": second}
    owner.post(f"/api/executions/{busy}/cancel")
    assert done(owner, agent="single")["status"] == "success"
    for execution_id in (first, second):
        found = run(owner, execution_id)
        assert (found["status"], found["started_at"]) == ("cancelled", None)


def test_a_running_task_is_cancelled_and_keeps_what_it_said(owner: httpx.Client) -> None:
    execution_id = queued(owner, script(endless=True, delay_ms=20, text="tok "))
    running(owner, execution_id)
    with owner.stream("GET", f"/api/executions/{execution_id}/stream") as response:
        told = clients.frames(response.iter_lines())
        next(frame for frame in told if "tok" in frame.data)
        with clients.http_of(owner) as other:
            assert other.post(f"/api/executions/{execution_id}/cancel").json()["result"] == "terminated"
        last = [orjson.loads(frame.data) for frame in told if frame.data][-2:]
    assert (last[0]["subtype"], last[1]["type"]) == ("cancelled", "stream_end")
    found = run(owner, execution_id)
    assert (found["status"], found["response"][:3]) == ("cancelled", "tok")


def test_others_do_not_see_a_task(guest: httpx.Client, owner: httpx.Client) -> None:
    """AG-4: a user sees his own; the manager all."""
    mine, theirs = queued(owner), queued(guest)
    assert guest.get(f"/api/executions/{mine}").status_code == 404
    assert guest.post(f"/api/executions/{mine}/cancel").status_code == 404
    assert run(owner, theirs)["id"] == theirs


# Conversations


def session_of(client: httpx.Client, message: str = "Remember 42.", agent: str = "tasker") -> str:
    return str(client.post(f"/api/agents/{agent}/chat", json={"message": message, "new_session": True}).json()["session_id"])


def said(client: httpx.Client, session_id: str, agent: str = "tasker") -> list[tuple[str, str, str]]:
    messages = client.get(f"/api/agents/{agent}/chat/sessions/{session_id}").json()["messages"]
    return [(message["role"], message["content"], message["source"]) for message in messages]


def test_a_task_in_a_session_has_its_history_and_is_stored_there(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-34, AG-22."""
    session_id = session_of(owner)
    body = post(owner, "What was it, in full?", chat_session_id=session_id, user_message="What was it?", async_mode=False).json()
    assert body["chat_session_id"] == body["session_id"] == session_id
    assert [message["content"] for message in upstream.last["body"]["messages"][1:]] == ["Remember 42.", ANSWER, "What was it, in full?"]
    assert said(owner, session_id)[2:] == [("user", "What was it?", "task"), ("assistant", ANSWER, "task")]
    owner.post("/api/agents/tasker/chat", json={"message": "And now?", "session_id": session_id})
    assert [message["content"] for message in upstream.last["body"]["messages"][3:]] == ["What was it?", ANSWER, "And now?"]


def test_a_task_in_a_session_takes_its_turn(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-34: the session's lock; a chat turn waits for the task, and sees it."""
    session_id = session_of(owner)
    first = queued(owner, script("A long one.", chunks=15, delay_ms=40, text="task "), chat_session_id=session_id)
    running(owner, first)
    answer = owner.post("/api/agents/tasker/chat", json={"message": "And then?", "session_id": session_id}).json()
    assert answer["execution"]["was_queued"]
    assert upstream.last["body"]["messages"][-2]["content"] == "task " * 15
    assert run(owner, first)["status"] == "success"


def test_two_tasks_in_one_session_run_one_after_the_other(owner: httpx.Client) -> None:
    session_id = session_of(owner)
    both = [queued(owner, script(f"Number {n}.", chunks=5, delay_ms=40, text=f"{n} "), chat_session_id=session_id) for n in (1, 2)]
    first, second = (ended(owner, execution_id) for execution_id in both)
    assert first["completed_at"] <= second["started_at"]
    assert [content for role, content, _ in said(owner, session_id) if role == "assistant"][1:] == ["1 " * 5, "2 " * 5]


def test_a_task_is_added_to_the_current_session_when_that_is_asked(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """Section 6: question and answer in the active session; the model does not see that session's history (AG-34)."""
    session_id = session_of(owner)
    body = post(owner, "The long question.", save_to_session=True, user_message="The question.", async_mode=False).json()
    assert (body["chat_session_id"], body["session_id"]) == (session_id, None)
    assert [message["content"] for message in upstream.last["body"]["messages"][1:]] == ["The long question."]
    assert said(owner, session_id)[2:] == [("user", "The question.", "task"), ("assistant", ANSWER, "task")]


def test_a_task_that_is_saved_waits_for_the_turn_that_runs_there(owner: httpx.Client) -> None:
    """Its own run needs no turn lock; what it adds goes between two turns."""
    session_id = session_of(owner)
    chat = threading.Thread(target=lambda: ask_slowly(owner, session_id))
    chat.start()
    until(lambda: any(row["status"] == "running" and row["trigger"] == "chat" for row in runs(owner)))
    execution_id = queued(owner, "Aside.", save_to_session=True)
    assert ended(owner, execution_id)["status"] == "success"
    chat.join()
    found = until(lambda: (seen := said(owner, session_id)) and len(seen) == 6 and seen)
    assert [source for _, _, source in found[2:]] == ["text", "text", "task", "task"]


def ask_slowly(client: httpx.Client, session_id: str) -> None:
    with clients.http_of(client) as other:
        other.post("/api/agents/tasker/chat", json={"message": script(slow_headers_ms=1000), "session_id": session_id})


def test_without_a_session_one_is_made_for_a_task_that_is_saved(guest: httpx.Client) -> None:
    body = post(guest, "Keep this.", save_to_session=True, async_mode=False).json()
    assert said(guest, body["chat_session_id"]) == [("user", "Keep this.", "task"), ("assistant", ANSWER, "task")]


def foreign(server: Server) -> str:
    with clients.http(server, "guest") as client:
        return session_of(client)


UNKNOWN: list[Callable[[Server], str]] = [lambda server: str(uuid4()), lambda server: "no id", foreign]


@pytest.mark.parametrize("which", UNKNOWN)
def test_a_session_that_is_not_ones_own_does_not_exist(task_server: Server, owner: httpx.Client, which: Callable[[Server], str]) -> None:
    """R2.2: 404 before anything runs."""
    session_id = which(task_server)
    before = len(runs(owner))
    answer = post(owner, chat_session_id=session_id)
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    assert len(runs(owner)) == before


def test_a_session_of_another_agent_does_not_exist_either(owner: httpx.Client) -> None:
    answer = post(owner, chat_session_id=session_of(owner, agent="armed"))
    assert answer.json()["code"] == "session_not_found"
