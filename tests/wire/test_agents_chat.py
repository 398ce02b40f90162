"""POST /api/agents/{name}/chat against a live server: three renderings, sessions, files, models, keys (AG-6 … AG-21)."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.support import clients, files
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until
from tests.wire import agentswire
from tests.wire.agentswire import ANSWER, NDJSON, SSE, ask, fresh, get, path, script, session, streamed, texts, told

pytestmark = pytest.mark.live
KEYS = "response session_id execution metadata session execution_log execution_log_simplified timestamp"
EXECUTION = "id task_execution_id queue_status was_queued status"
METADATA = (
    "cost_usd duration_ms num_turns tool_count input_tokens output_tokens cache_read_tokens cache_creation_tokens context_window "
    "model_name session_id execution_id status error_code error_type error_message"
)
TOOLS = [{"name": "ag_clock", "arguments": {"timezone": "UTC"}}, {"name": "ag_time", "arguments": {}}]
TWO_TOOLS = script("What time is it?", tools=TOOLS, text="It is late.")


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    agentswire.prepare(server)


# The answer


def test_the_whole_answer_has_all_its_keys(any_server: Server) -> None:
    """AG-12, on both servers."""
    agentswire.prepare(any_server)
    with clients.http(any_server) as client:
        answer = ask(client, "Hello", new_session=True)
    body = answer.json()
    assert list(body) == KEYS.split()
    assert (list(body["execution"]), list(body["metadata"])) == (EXECUTION.split(), METADATA.split())
    assert body["response"] == ANSWER
    assert answer.headers["x-session-id"] == body["session_id"] == body["metadata"]["session_id"]
    assert answer.headers["x-execution-id"] == body["execution"]["id"] == body["metadata"]["execution_id"]
    assert body["execution"] | {"id": 0, "task_execution_id": 0} == {
        "id": 0, "task_execution_id": 0, "queue_status": "running", "was_queued": False, "status": "success",
    }  # fmt: skip
    assert (body["metadata"]["input_tokens"], body["metadata"]["output_tokens"], body["metadata"]["num_turns"]) == (412, 9, 1)
    assert body["session"] == {
        "total_cost_usd": None, "context_tokens": 412, "context_window": 128000, "message_count": 2, "model": "fake",
    }  # fmt: skip
    assert [line["type"] for line in body["execution_log"]] == ["system", "assistant", "result"]


def test_context_is_the_last_call_and_metadata_the_sum(owner: httpx.Client) -> None:
    """AG-12: a turn with two model calls and two tools between them."""
    body = told(owner, TWO_TOOLS, "two-tools", new_session=True)
    assert (body["metadata"]["num_turns"], body["metadata"]["tool_count"], body["metadata"]["input_tokens"]) == (2, 2, 824)
    assert body["session"]["context_tokens"] == 412
    simplified = body["execution_log_simplified"]
    assert sorted((entry["type"], entry["tool"]) for entry in simplified) == [
        ("tool_result", "ag_clock"), ("tool_result", "ag_time"), ("tool_use", "ag_clock"), ("tool_use", "ag_time"),
    ]  # fmt: skip
    assert [entry["timestamp"] for entry in simplified] == sorted(entry["timestamp"] for entry in simplified)
    uses, results = ([entry for entry in simplified if entry["type"] == kind] for kind in ("tool_use", "tool_result"))
    assert {tuple(entry) for entry in uses} == {("id", "type", "tool", "input", "timestamp")}
    assert {tuple(entry) for entry in results} == {("id", "type", "tool", "output", "success", "duration_ms", "timestamp")}
    assert all(entry["success"] for entry in results)


# The three renderings


@pytest.mark.parametrize(
    ("accept", "query", "stream", "type_"),
    [
        ("*/*", None, None, "application/json"),
        ("application/json", None, True, NDJSON),
        ("*/*", None, True, NDJSON),
        ("*/*", "true", None, NDJSON),
        ("*/*", "ndjson", None, NDJSON),
        ("*/*", "sse", None, SSE),
        (SSE, None, None, SSE),
        (NDJSON, None, True, NDJSON),
        (f"application/json, {SSE};q=0.5", "ndjson", True, SSE),
        (f"{SSE};q=0", None, None, "application/json"),
        (SSE, "sse", False, "application/json"),
        ("*/*", "false", None, "application/json"),
    ],
)
def test_the_form_of_the_answer(owner: httpx.Client, accept: str, query: str | None, stream: bool | None, type_: str) -> None:
    """AG-9."""
    params = {"stream": query} if query else {}
    answer = ask(owner, "Hello", headers={"accept": accept}, params=params, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == type_


def test_the_three_renderings_say_the_same(owner: httpx.Client) -> None:
    """AG-16 … AG-21, AG-90: a turn with two tools, read by a line parser, by an SSE parser and whole."""
    whole = told(owner, TWO_TOOLS, "two-tools", new_session=True)
    lines = agentswire.lines(ask(owner, TWO_TOOLS, "two-tools", new_session=True, stream=True))
    numbered = agentswire.frames(ask(owner, TWO_TOOLS, "two-tools", new_session=True, headers={"accept": SSE}))
    frames = [told for _, told in numbered]
    shape = ["system", "assistant", "user", "user", "assistant", "result"]
    assert [line["type"] for line in lines if line["type"] != "stream_event"] == shape
    assert [frame["type"] for frame in frames if frame["type"] != "stream_event"] == [*shape, "stream_end"]
    assert [line["type"] for line in whole["execution_log"]] == shape
    assert whole["response"] == lines[-1]["result"] == frames[-2]["result"] == "It is late."
    assert written(lines) == written(frames) == "It is late."
    assert [number for number, _ in numbered] == sorted(number for number, _ in numbered if number)
    assert numbered[-1][0] == numbered[-2][0]
    for told_lines in (lines, frames[:-1], whole["execution_log"]):
        spent = sum(line["message"]["usage"]["input_tokens"] for line in told_lines if line["type"] == "assistant")
        assert spent == told_lines[-1]["usage"]["input_tokens"] == 824
        assert told_lines[0]["tools"] == ["ag_clock", "ag_time"]


def written(told: list[dict[str, Any]]) -> str:
    return "".join(line["event"]["delta"]["text"] for line in told if line["type"] == "stream_event")


def test_partial_text_can_be_left_out(owner: httpx.Client) -> None:
    """AG-18."""
    answer = ask(owner, "Hello", params={"stream": "ndjson", "partial": "false"})
    assert [line["type"] for line in agentswire.lines(answer)] == ["system", "assistant", "result"]


def test_stream_headers(owner: httpx.Client) -> None:
    """R12.2, AG-12."""
    answer = ask(owner, "Hello", headers={"accept": SSE})
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert {"x-session-id", "x-execution-id", "x-switchboard-agent", "x-ratelimit-limit-requests"} <= set(answer.headers)


# Failing


def test_failing_is_a_status_for_whole_answers(owner: httpx.Client) -> None:
    """AG-13: also when some text exists; 200 never carries it."""
    answer = ask(owner, "/demo text tok tok\n/demo cut", "acting")
    assert answer.status_code in (502, 503)
    assert answer.json()["execution_id"] == answer.headers["x-execution-id"]
    assert answer.headers["x-should-retry"] == "false"
    assert "tok" not in answer.text


@pytest.mark.parametrize("accept", [NDJSON, SSE])
def test_failing_later_is_told_in_band(owner: httpx.Client, accept: str) -> None:
    """AG-20, AG-21: error, result, and on SSE stream_end."""
    answer = ask(owner, script(chunks=3, cut=True), headers={"accept": accept})
    assert answer.status_code == 200
    told = [frame for _, frame in agentswire.frames(answer)] if accept == SSE else agentswire.lines(answer)
    end = ["error", "result"] + (["stream_end"] if accept == SSE else [])
    assert [line["type"] for line in told][-len(end) :] == end
    error, result = told[-len(end)], told[-len(end) + 1]
    assert list(error) == ["type", "seq", "session_id", "message", "code", "retryable"]
    assert (result["is_error"], result["subtype"], result["result"]) == (True, "error_during_execution", "tok tok tok ")


@pytest.mark.parametrize("accept", ["*/*", NDJSON, SSE])
def test_failing_at_once_is_a_status_in_every_rendering(owner: httpx.Client, accept: str) -> None:
    """R5.1, R3.3."""
    answer = ask(owner, script(status=400, error='{"error":{"message":"secret-upstream-detail"}}'), headers={"accept": accept})
    assert (answer.status_code, answer.json()["code"]) == (502, "provider_error")
    assert "secret-upstream-detail" not in answer.text


def test_a_disabled_agent_is_not_running(owner: httpx.Client) -> None:
    answer = ask(owner, "Hello", "switched-off")
    assert (answer.status_code, answer.json()["detail"], answer.json()["code"]) == (503, "Agent is not running", "agent_not_running")
    assert int(answer.headers["retry-after"]) >= 1


# Bad input


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "message"),
        ({"message": None}, "message"),
        ({"message": ""}, "message"),
        ({"message": " \n"}, "message"),
        ({"message": 5}, "message"),
        ({"message": "x" * 200_001}, "message"),
        ({"message": "x", "session_id": 5}, "session_id"),
        ({"message": "x", "new_session": "yes"}, "new_session"),
        ({"message": "x", "new_session": True, "session_id": str(uuid4())}, "new_session"),
        ({"message": "x", "new_session": True, "edit_of": str(uuid4())}, "new_session"),
        ({"message": "x", "stream": 1}, "stream"),
        ({"message": "x", "edit_of": str(uuid4()), "regenerate_of": str(uuid4())}, "message"),
        ({"edit_of": str(uuid4()), "regenerate_of": str(uuid4())}, "edit_of"),
        ({"message": "x", "model": 5}, "model"),
        ({"message": "x", "files": [{"name": "a", "data_base64": "!"}]}, "files"),
        ({"message": "x", "files": [{"name": "a", "data_base64": "eA=="}] * 4}, "files"),
        ({"message": "x", "attachments": ["x"] * 21}, "attachments"),
        ({"message": "x", "attachments": [str(uuid4())]}, "attachments"),
    ],
)
def test_bad_fields_are_422_with_their_place(owner: httpx.Client, body: dict[str, Any], place: str) -> None:
    """AG-6, AG-7, AG-10, AG-26, R3.2."""
    answer = owner.post(path("chatter", "chat"), json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["detail"][0]["loc"][:2] == ["body", place]


@pytest.mark.parametrize("query", ["stream=yes", "stream=", "partial=1"])
def test_a_query_that_means_nothing_is_422(owner: httpx.Client, query: str) -> None:
    """AG-5."""
    answer = owner.post(f"{path('chatter', 'chat')}?{query}", json={"message": "x"})
    assert (answer.status_code, answer.json()["detail"][0]["loc"][0]) == (422, "query")


@pytest.mark.parametrize(
    ("content", "type_", "status", "code"),
    [
        (b"", "application/json", 400, "invalid_json"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_request"),
        (b"message=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"message": "\\u0000"}', "application/json", 400, "invalid_json"),
        (b'{"message": "' + b"x" * 11_000_000 + b'"}', "application/json", 413, "request_too_large"),
    ],
)
def test_malformed_bodies(owner: httpx.Client, content: bytes, type_: str, status: int, code: str) -> None:
    """R0.4, R12.1."""
    answer = owner.post(path("chatter", "chat"), content=content, headers={"content-type": type_})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_agent_is_looked_for_before_the_body(server: Server) -> None:
    """AG-2, R0.5: the same bytes for what is not there and what one may not use."""
    with clients.http(server, "stranger", **{"x-request-id": "same"}) as client:
        answers = {client.post(path(name, "chat"), content=b"{").content for name in ("chatter", "nobody", "a b", "x" * 65)}
    assert answers == {b'{"detail":"Agent not found","code":"agent_not_found","request_id":"same"}'}


def test_the_scope_is_asked_after_the_body(server: Server) -> None:
    """R0.5, R1.4."""
    with clients.http(server, "guest:read") as client:
        assert ask(client, "").status_code == 422
        answer = ask(client)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


# Models


def test_only_allowed_models_may_be_asked_for(owner: httpx.Client) -> None:
    """AG-6: the refusal makes no Execution and uses up no key."""
    key = {"idempotency-key": f"model-{uuid4()}"}
    before = owner.get(path("choosy", "executions")).json()
    refused = ask(owner, "Hello", "choosy", model="gpt-9", headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "model_not_allowed")
    assert owner.get(path("choosy", "executions")).json() == before
    for model, answer in (("echo", "Hello"), ("fake", ANSWER), ("", ANSWER), (None, ANSWER)):
        body = told(owner, "Hello", "choosy", model=model, new_session=True)
        assert (body["response"], body["metadata"]["model_name"]) == (answer, model or "fake")
    assert ask(owner, "Hello", "choosy", headers=key).status_code == 200


def test_the_model_is_kept_over_a_pause(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-6, R15.3."""
    calls = script(tools=[{"name": "ag_time", "arguments": {}}], text="Done.")
    body = told(owner, calls, "choosy", model="echo", new_session=True)
    assert body["execution"]["status"] == "paused"
    assert [list(approval) for approval in body["approvals"]] == [["tool_call_id", "name", "arguments"]]
    decided = owner.post(
        f"/api/executions/{body['execution']['id']}/approvals/{body['approvals'][0]['tool_call_id']}", json={"approve": True}
    )
    assert decided.status_code == 200
    run = until(lambda: ended(owner, body["execution"]["id"]))
    assert (run["status"], run["response"]) == ("success", "Done.")
    assert upstream.last["body"]["model"] == "echo"


def ended(client: httpx.Client, execution_id: str) -> dict[str, Any] | None:
    run: dict[str, Any] = client.get(f"/api/executions/{execution_id}").json()
    return run if run["status"] in ("success", "failed", "cancelled") else None


# Files


def inline(name: str, content: bytes, mimetype: str = "") -> dict[str, Any]:
    return {"name": name, "mimetype": mimetype, "data_base64": base64.b64encode(content).decode(), "size": 1}


def test_files_reach_the_model(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-7: images as images, text as text, archives by their name; their names are shown with the message."""
    sent = [inline("cat.png", files.png()), inline("notes.txt", b"Buy milk", "text/plain"), inline("all.zip", files.archive())]
    session_id = fresh(owner, "What is this?", files=sent)
    content = str(upstream.last["body"]["messages"][-1]["content"])
    assert "data:image/png;base64," in content
    assert "Buy milk" in content
    assert "all.zip" in content
    question = session(owner, session_id)["messages"][0]
    assert [file["mimetype"] for file in question["files"]] == ["image/png", "text/plain", "application/octet-stream"]
    assert question["content"] == "What is this?"


def test_uploads_are_named_by_their_id(server: Server, owner: httpx.Client, guest: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-7: own ones only."""
    uploaded = owner.post("/attachment/v1/upload", files={"file": ("plan.txt", b"Attack at dawn", "text/plain")})
    attachment_id = uploaded.json()["attachmentId"]
    fresh(owner, "Read it", attachments=[attachment_id])
    assert "Attack at dawn" in str(upstream.last["body"]["messages"][-1]["content"])
    refused = ask(guest, "Read it", attachments=[attachment_id])
    assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "attachments"])


# Which session


def test_messages_go_to_the_current_session(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-10, AG-11: the conversation is the model's."""
    first = fresh(owner, "My name is Ada")
    assert told(owner, "Who am I?")["session_id"] == first
    assert [message["content"] for message in upstream.last["body"]["messages"]][-3:] == ["My name is Ada", ANSWER, "Who am I?"]
    second = fresh(owner)
    assert second != first
    assert session(owner, first)["session"]["status"] == "closed"
    assert told(owner)["session_id"] == second


def test_naming_a_session_makes_it_the_current_one(owner: httpx.Client) -> None:
    """AG-10, AG-25: also one that was closed, which is open again."""
    first = fresh(owner)
    second = fresh(owner)
    assert told(owner, session_id=first)["session_id"] == first
    assert session(owner, first)["session"]["status"] == "active"
    assert told(owner)["session_id"] == first
    assert session(owner, second)["session"]["status"] == "active"


def test_a_closed_session_is_not_picked_up_again(owner: httpx.Client) -> None:
    """AG-25."""
    first = fresh(owner)
    for _ in range(2):
        closed = owner.post(path("chatter", "chat", "sessions", first, "close"))
        assert (closed.status_code, closed.json()) == (200, {"status": "closed", "session_id": first})
    assert get(owner, "session")["session_id"] is None
    assert told(owner)["session_id"] != first


def test_two_users_never_share_a_session(owner: httpx.Client, guest: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-4, AG-11."""
    mine = fresh(owner, "My secret is 7")
    theirs = fresh(guest, "What is the secret?")
    assert mine != theirs
    assert "My secret is 7" not in str(upstream.last["body"]["messages"])
    refused = ask(guest, session_id=mine)
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")


def test_sessions_of_other_wires_are_never_picked_up(owner: httpx.Client) -> None:
    """AG-10: but they can be named."""
    before = fresh(owner, agent="other")
    run = owner.post("/chat/run", json={"message": "Hello", "agent": "other"})
    run_session = run.headers["x-session-id"]
    assert told(owner, agent="other")["session_id"] == before
    assert told(owner, agent="other", session_id=run_session)["session_id"] == run_session
    assert told(owner, agent="other")["session_id"] == before


def test_a_session_of_another_agent_is_unknown(owner: httpx.Client) -> None:
    elsewhere = fresh(owner, agent="other")
    for unknown in (elsewhere, str(uuid4()), "nonsense", elsewhere.upper(), "x" * 300):
        answer = ask(owner, session_id=unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found"), unknown


def test_parallel_first_messages_make_one_session(owner: httpx.Client) -> None:
    """AG-10, R8.4."""
    owner.delete(path("other", "chat", "history"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: told(owner, f"Message {number}", "other"), range(8)))
    (session_id,) = {answer["session_id"] for answer in answers}
    said = session(owner, session_id, "other")
    assert said["message_count"] == 16
    assert [message["role"] for message in said["messages"]] == ["user", "assistant"] * 8


def test_parallel_new_sessions_are_each_their_own(owner: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: fresh(owner, agent="other"), range(4)))
    assert len(set(ids)) == 4
    open_ones = {row["id"] for row in get(owner, "sessions", agent="other", status="active")["sessions"]} & set(ids)
    assert open_ones == {get(owner, "session", agent="other")["session_id"]}


def test_a_refused_turn_moves_nothing(owner: httpx.Client) -> None:
    """R4.4: a new session that was refused leaves the old one open."""
    before = fresh(owner)
    assert ask(owner, new_session=True, model="unknown").status_code == 422
    assert ask(owner, new_session=True, attachments=[str(uuid4())]).status_code == 422
    assert get(owner, "session")["session_id"] == before


def test_a_chat_is_told_as_running_before_the_model_and_as_over_before_the_answer_ends(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """AG-14: claim, slot, message and execution come before the model; the end and its sums, slot and claim before the last bytes."""
    held, key = upstream.hold(), {"idempotency-key": str(uuid4())}

    def chat() -> httpx.Response:
        return ask(owner, held.message, "narrow", new_session=True, headers=key)

    def seen(*rest: str) -> Any:
        return owner.get(path("narrow", *rest)).json()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(chat)
        held.wait()
        (begun,), activity, repeated = seen("executions", "running")["executions"], seen("activity"), chat()
        question = session(owner, begun["session_id"], "narrow")["messages"]
        held.release()
        answer = asked.result()
    over, idle, after = seen("executions", begun["id"]), seen("activity"), session(owner, begun["session_id"], "narrow")
    assert (begun["status"], begun["trigger"], begun["wire"], activity["status"]) == ("running", "chat", "agents", "running")
    assert (texts(question), question[0]["status"]) == ([held.message], "pending")
    assert (repeated.status_code, repeated.json()["code"]) == (409, "request_in_progress")
    assert (over["status"], over["usage"]["output_tokens"], idle["status"]) == ("success", 9, "idle")
    assert (texts(after["messages"]), after["session"]["message_count"]) == ([held.message, ANSWER], 2)
    assert chat().content == answer.content
    assert told(owner, agent="narrow")["execution"]["was_queued"] is False


# Two at once, and leaving


def test_a_second_message_waits_for_its_turn(owner: httpx.Client) -> None:
    """R8.1, AG-12: and says that it waited."""
    session_id = fresh(owner)
    slow = script(chunks=10, delay_ms=40)
    with ThreadPoolExecutor(1) as pool, streamed(owner, slow, session_id=session_id) as first:
        second = pool.submit(told, owner, "Second", session_id=session_id)
        first.read()
        waited = second.result()
    assert (waited["execution"]["queue_status"], waited["execution"]["was_queued"]) == ("queued", True)
    assert texts(session(owner, session_id)["messages"])[2:] == [slow, "tok " * 10, "Second", ANSWER]


def test_a_busy_session_may_refuse(owner: httpx.Client) -> None:
    """R8.1, R3.5."""
    session_id = fresh(owner, agent="rejecting")
    with streamed(owner, script(chunks=20, delay_ms=50), "rejecting", session_id=session_id) as first:
        read = first.iter_lines()
        next(read)
        refused = ask(owner, "Second", "rejecting", session_id=session_id)
        list(read)
    assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
    assert int(refused.headers["retry-after"]) >= 1


def test_beyond_its_capacity_an_agent_says_so_in_an_object(owner: httpx.Client, guest: httpx.Client) -> None:
    """AG-15: exactly these keys."""
    with ThreadPoolExecutor(1) as pool, streamed(owner, script(chunks=40, delay_ms=50), "narrow", new_session=True) as first:
        read = first.iter_lines()
        next(read)
        waiting = pool.submit(told, owner, "Second", "narrow", new_session=True)
        until(lambda: len(owner.get(path("narrow", "executions", "running")).json()["executions"]) == 2)
        refused = ask(guest, "Third", "narrow", new_session=True)
        list(read)
        assert waiting.result()["execution"]["was_queued"]
    wait_s = refused.json()["detail"]["retry_after"]
    assert refused.headers["retry-after"] == str(wait_s)
    assert refused.json() == {
        "detail": {
            "error": "Agent queue is full",
            "agent": "narrow",
            "queue_length": 1,
            "retry_after": wait_s,
            "message": f"The agent is busy. Try again in {wait_s} seconds.",
        },
        "code": "queue_full",
        "request_id": refused.headers["x-request-id"],
    }


def test_a_turn_goes_on_when_its_client_leaves(owner: httpx.Client) -> None:
    """R6.2: stored, and watched by its id."""
    session_id = fresh(owner)
    with streamed(owner, script(chunks=20, delay_ms=30), session_id=session_id) as response:
        execution_id = response.headers["x-execution-id"]
        next(response.iter_lines())
    run = until(lambda: ended(owner, execution_id))
    assert (run["status"], run["response"]) == ("success", "tok " * 20)
    assert texts(session(owner, session_id)["messages"])[-1] == "tok " * 20


def test_a_paused_turn_is_an_answer(owner: httpx.Client) -> None:
    """AG-13, AG-19, R15: whole and streamed."""
    asks = script(tools=[{"name": "ag_clock", "arguments": {}}], text="Done.")
    whole = ask(owner, asks, "careful-chat", new_session=True)
    assert (whole.status_code, whole.json()["execution"]["status"]) == (200, "paused")
    assert [approval["name"] for approval in whole.json()["approvals"]] == ["ag_clock"]
    result = agentswire.lines(ask(owner, asks, "careful-chat", new_session=True, stream=True))[-1]
    assert (result["subtype"], result["is_error"], len(result["approvals"])) == ("paused", False, 1)


# Asking twice


def test_the_same_key_gives_the_same_answer(owner: httpx.Client) -> None:
    """R4.3: same status, same body, also when the conversation has moved on; no model is called."""
    key = {"idempotency-key": f"same-{uuid4()}"}
    first = ask(owner, TWO_TOOLS, "two-tools", new_session=True, headers=key)
    told(owner, "Something else", "two-tools")
    again = ask(owner, TWO_TOOLS, "two-tools", new_session=True, headers=key)
    assert again.status_code == first.status_code == 200
    assert again.json() == first.json()
    assert (again.headers["idempotent-replayed"], again.headers["x-idempotent-replay"]) == ("true", "true")
    assert again.headers["x-session-id"] == first.headers["x-session-id"]
    assert "idempotent-replayed" not in first.headers
    assert session(owner, first.json()["session_id"], "two-tools")["message_count"] == 4


def test_a_stream_is_given_again_with_the_same_text(owner: httpx.Client) -> None:
    """R4.3."""
    key = {"idempotency-key": f"stream-{uuid4()}"}
    first, again = (ask(owner, "Hello", new_session=True, stream=True, headers=key) for _ in range(2))
    assert again.headers["x-idempotent-replay"] == "true"
    assert written(agentswire.lines(again)) == written(agentswire.lines(first)) == ANSWER


def test_a_failure_is_given_again_as_that_failure(owner: httpx.Client) -> None:
    """R4.3: after its first event; before it, the key is free (R4.4)."""
    key = {"idempotency-key": f"failed-{uuid4()}"}
    first, again = (ask(owner, script(chunks=3, cut=True), headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (again.status_code, first.status_code)
    assert again.headers["x-idempotent-replay"] == "true"
    free = {"idempotency-key": f"free-{uuid4()}"}
    assert ask(owner, script(status=400), headers=free).status_code == 502
    assert "idempotent-replayed" not in ask(owner, script(status=400), headers=free).headers


def test_another_request_with_the_key_is_refused(owner: httpx.Client) -> None:
    """R4.2: another body, or another form of the answer."""
    key = {"idempotency-key": f"other-{uuid4()}"}
    ask(owner, "One", headers=key)
    for refused in (ask(owner, "Two", headers=key), ask(owner, "One", headers=key, params={"stream": "sse"})):
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


def test_while_the_first_runs_the_key_is_busy(owner: httpx.Client) -> None:
    """R4.2, AG-1: told as an object."""
    headers, body = {"idempotency-key": f"busy-{uuid4()}"}, {"message": script(chunks=20, delay_ms=50), "stream": True}
    with owner.stream("POST", path("chatter", "chat"), json=body, headers=headers) as first:
        read = first.iter_lines()
        next(read)
        second = owner.post(path("chatter", "chat"), json=body, headers=headers)
        list(read)
    assert second.status_code == 409
    assert list(second.json()) == ["detail", "code", "request_id"]
    assert second.json()["detail"] | {"message": ""} == {
        "error": "request_in_progress", "message": "", "execution_id": first.headers["x-execution-id"],
    }  # fmt: skip
    assert second.headers["x-execution-id"] == first.headers["x-execution-id"]
    assert int(second.headers["retry-after"]) >= 1


def test_double_submission_runs_once(owner: httpx.Client) -> None:
    """R4: two copies at the same moment."""
    key, barrier = {"idempotency-key": f"double-{uuid4()}"}, threading.Barrier(2)

    def submit(_: int) -> httpx.Response:
        barrier.wait()
        return ask(owner, "Twice", "other", headers=key)

    session_id = fresh(owner, agent="other")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(submit, range(2)))
    assert 200 in {answer.status_code for answer in answers} <= {200, 409}
    assert texts(session(owner, session_id, "other")["messages"]).count("Twice") == 1


@pytest.mark.parametrize("key", [b"", b"a b", b"\xc3\xa4", b"x" * 256])
def test_malformed_keys_are_400(owner: httpx.Client, key: bytes) -> None:
    """R4.1."""
    answer = ask(owner, "Hello", headers={b"idempotency-key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_silent_repeat_joins_the_first(owner: httpx.Client) -> None:
    """R4.1: SDKs that count their retries and send no key."""
    session_id = fresh(owner)
    first = ask(owner, "Once", session_id=session_id, headers={"x-stainless-retry-count": "0"})
    again = ask(owner, "Once", session_id=session_id, headers={"x-stainless-retry-count": "1"})
    assert again.headers["x-execution-id"] == first.headers["x-execution-id"]
    assert texts(session(owner, session_id)["messages"]).count("Once") == 1
