"""The run wire when things go otherwise: pauses, failures, leaving, resuming, two turns at once, every status of its table."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import orjson
import pytest

from tests.support import clients
from tests.support.clients import frames
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.support.upstream_script import HELLO
from tests.support.waiting import until
from tests.wire import runwire
from tests.wire.inturn import in_turn
from tests.wire.runwire import PAUSES, ask, resume, stream, streamed, text, told

pytestmark = pytest.mark.live
SLOW: dict[str, Any] = {"chunks": 40, "delay_ms": 50, "text": "tok "}


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    runwire.prepare(server)


def script(**written: Any) -> str:
    return orjson.dumps(written).decode()


def execution(client: httpx.Client, execution_id: str) -> dict[str, Any]:
    answer = client.get(f"/api/executions/{execution_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# Failing


def test_failing_before_the_first_event_is_a_status(owner: httpx.Client) -> None:
    """RUN-24, R5.1: on both routes; the sentence is ours, never the provider's (R3.3)."""
    broken = script(status=400, error='{"error":{"message":"secret-upstream-detail"}}')
    for answer in (ask(owner, broken, agent="root"), stream(owner, broken, agent="root")[0]):
        assert (answer.status_code, answer.json()["code"]) == (502, "provider_error")
        assert "secret-upstream-detail" not in answer.text
        assert answer.headers["x-execution-id"]


def test_failing_later_is_the_final_event(owner: httpx.Client) -> None:
    """RUN-23: and for the whole answer an error status without any text (section 10)."""
    cut = script(chunks=3, cut=True)
    _, found = stream(owner, cut, agent="root")
    final = told(found)[-1]
    assert text(found) == "tok tok tok "
    assert (final["is_final"], final["status"], final["content"]) == (True, "failed", "")
    assert final["code"] in ("provider_error", "provider_unavailable")
    assert list(final)[-3:] == ["status", "error", "code"]
    answer = ask(owner, "/demo text tok tok\n/demo cut", agent="run-clock")
    assert answer.status_code in (502, 503)
    assert "tok" not in answer.text
    assert answer.headers["x-should-retry"] == "false"


def test_a_failed_turn_poisons_nothing(owner: httpx.Client) -> None:
    """RUN-35."""
    name = f"failed-{uuid4()}"
    assert ask(owner, script(status=500), agent="root", conversation_id=name).status_code in (502, 503)
    assert ask(owner, "Hello", conversation_id=name).status_code == 200


# Pausing


def test_a_paused_turn_says_what_waits(owner: httpx.Client) -> None:
    """RUN-16, RUN-25, R15: and after the decision the whole text can be had from the resume route."""
    name = f"paused-{uuid4()}"
    answer = ask(owner, PAUSES, agent="run-approval", conversation_id=name)
    body = answer.json()
    assert answer.headers["x-execution-status"] == "paused"
    assert list(body) == ["response", "conversation_id", "status", "execution_id", "approvals"]
    assert body["response"] == "I look."
    waiting = body["approvals"][0]
    assert waiting | {"tool_call_id": ""} == {"tool_call_id": "", "name": "run_clock", "arguments": {"timezone": "Europe/Oslo"}}
    path = f"/api/executions/{body['execution_id']}/approvals/{waiting['tool_call_id']}"
    assert owner.post(path, json={"approve": True}).json()["decision"] == "approved"
    until(lambda: execution(owner, body["execution_id"])["status"] == "success")
    _, found = resume(owner, name)
    assert text(found) == "I look.\n\nIt is late."
    assert told(found)[-1]["status"] == "success"


def test_a_paused_stream_ends_and_goes_on_by_its_number(owner: httpx.Client) -> None:
    """RUN-25, R7.1: numbers go on after the pause."""
    name = f"paused-{uuid4()}"
    response, found = stream(owner, PAUSES, agent="run-approval", conversation_id=name)
    final = told(found)[-1]
    assert (final["status"], final["is_final"]) == ("paused", True)
    path = f"/api/executions/{response.headers['x-execution-id']}/approvals/{final['approvals'][0]['tool_call_id']}"
    assert owner.post(path, json={"approve": False, "reason": "not now"}).json()["decision"] == "denied"
    until(lambda: execution(owner, response.headers["x-execution-id"])["status"] == "success")
    _, rest = resume(owner, name, after=int(found[-1].id))
    assert int(rest[0].id) > int(found[-1].id)
    assert text(found) + text(rest) == "I look.\n\nIt is late."


# Leaving and resuming


def test_leaving_a_conversation_leaves_the_run_alone(any_server: Server) -> None:
    """RUN-39, RUN-27: it can be resumed in the middle of a word, without loss or repetition."""
    name = f"left-{uuid4()}"
    with clients.http(any_server) as client:
        seen = []
        with streamed(client, script(**SLOW), agent="root", conversation_id=name) as response:
            for frame in frames(response.iter_lines()):
                seen.append(frame)
                if len(seen) == 3:
                    break
        _, rest = resume(client, name, after=int(seen[-1].id))
        assert text(seen) + text(rest) == "tok " * 40
        assert int(rest[0].id) == int(seen[-1].id) + 1
        assert told(rest)[-1]["status"] == "success"
        _, again = resume(client, name, after=int(seen[-1].id))
        assert told(again) == told(rest)


def test_once_the_headers_are_out_a_nameless_stream_may_be_left(server: Server, owner: httpx.Client) -> None:
    """RUN-39."""
    with streamed(owner, script(**SLOW), agent="root") as response:
        execution_id = response.headers["x-execution-id"]
    assert until(lambda: execution(owner, execution_id)["status"] == "success")


def test_leaving_a_nameless_call_early_cancels_it(server: Server, upstream: FakeUpstream) -> None:
    """RUN-39, R6.1: nobody knows the conversation, so the provider's connection is closed."""
    before, held = upstream.stats["disconnects"], upstream.hold()
    with clients.http(server) as client:
        clients.leave(client, "/chat/run", {"message": held.message, "agent": "root"}, held.wait)
    until(lambda: upstream.stats["disconnects"] == before + 1)


def test_leaving_a_named_call_early_lets_it_end(server: Server, owner: httpx.Client, upstream: FakeUpstream) -> None:
    """RUN-39."""
    name, held = f"left-{uuid4()}", upstream.hold(text="late")
    with clients.http(server) as client:
        clients.leave(client, "/chat/run", {"message": held.message, "agent": "root", "conversation_id": name}, held.wait)
    held.release()
    _, found = resume(owner, name)
    assert (text(found), told(found)[-1]["status"]) == ("late", "success")


def test_the_turn_that_is_named_is_followed(owner: httpx.Client) -> None:
    """RUN-29: also when a newer one exists; without a name it is the newest."""
    name = f"two-{uuid4()}"
    first = ask(owner, script(text="one"), agent="root", conversation_id=name).headers["x-execution-id"]
    ask(owner, script(text="two"), conversation_id=name)
    other = ask(owner, "Hello", agent="root").headers["x-execution-id"]
    assert text(resume(owner, name)[1]) == "two"
    assert text(resume(owner, name, execution_id=first)[1]) == "one"
    for wrong in (other, str(uuid4()), "x", "\0"):
        assert resume(owner, name, execution_id=wrong)[0].status_code == 404


def test_what_cannot_be_resumed(server: Server, owner: httpx.Client) -> None:
    """RUN-28, R7.3: unknown and foreign conversations are one 404; a bad number is 400, and the header wins."""
    name = f"resume-{uuid4()}"
    ask(owner, "Hello", agent="root", conversation_id=name)
    with clients.http(server, "stranger", **{"x-request-id": "same"}) as stranger:
        answers = [resume(stranger, tried)[0] for tried in (name, f"none-{uuid4()}", "a b", "%00", "x" * 200)]
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"detail":"Session not found","code":"session_not_found","request_id":"same"}')
    }
    for bad in ("-1", "1.5", "x", "", "٣"):
        assert owner.get(f"/chat/stream/{name}", params={"after": bad}).json()["code"] == "invalid_request"
    assert owner.get(f"/chat/stream/{name}", headers={"last-event-id": "x"}).status_code == 400
    assert owner.get(f"/chat/stream/{name}", params={"after": "x"}, headers={"last-event-id": "0"}).status_code == 200


def test_stopping_ends_the_stream_as_cancelled(owner: httpx.Client) -> None:
    """RUN-31, R6.5: partial text stays, and asking again says what became of it."""
    with streamed(owner, script(endless=True, delay_ms=20, chunks=1), agent="root") as response:
        path, seen = f"/api/executions/{response.headers['x-execution-id']}/cancel", []
        for frame in frames(response.iter_lines()):
            seen.append(frame)
            if len(seen) == 5:
                with clients.http_of(owner) as other:
                    assert other.post(path).json()["result"] == "terminated"
    assert (told(seen)[-1]["status"], told(seen)[-1]["code"]) == ("cancelled", "cancelled")
    again = owner.post(path).json()
    assert (again["status"], again["result"]) == ("cancelled", "already_finished")
    assert execution(owner, again["execution_id"])["response"].startswith("tok tok")


# Two turns at once


def both(client: httpx.Client, upstream: FakeUpstream, agent: str) -> tuple[httpx.Response, httpx.Response]:
    """Two turns on one conversation, the second sent while the first one runs."""
    say = partial(ask, client, agent=agent, conversation_id=f"two-{uuid4()}")
    return in_turn(client, upstream.hold(text="first"), say, say, agent)


def test_queue_lets_the_second_wait(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """RUN-38, R8.1."""
    first, second = both(owner, upstream, "run-queue")
    assert (first.json()["response"], second.json()["response"]) == ("first", HELLO)
    assert [message["content"] for message in upstream.last["body"]["messages"]][-2:] == ["first", "Second"]


def test_reject_refuses_the_second(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """R8.1, R3.5."""
    first, second = both(owner, upstream, "run-reject")
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "session_busy")
    assert int(second.headers["retry-after"]) >= 1


def test_interrupt_stops_the_first(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """R8.1."""
    first, second = both(owner, upstream, "run-interrupt")
    assert (first.status_code, first.json()["code"]) == (409, "cancelled")
    assert second.json()["response"] == HELLO


def test_two_first_messages_make_one_conversation(server: Server) -> None:
    """R8.4."""
    name = f"first-{uuid4()}"
    with clients.http(server) as client, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(client, "Hello", agent="root", conversation_id=name), range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-session-id"] for answer in answers}) == 1


# Repeating


def test_an_idempotency_key_gives_the_first_answer_again(owner: httpx.Client, upstream: FakeUpstream) -> None:
    """RUN-40, R4.3: the same text, ids and final event; on the other route it is another run."""
    key = {"idempotency-key": str(uuid4())}
    body = {"message": script(text="once"), "agent": "root"}
    before = upstream.stats["requests"]
    first, again = (owner.post("/chat/run", json=body, headers=key) for _ in range(2))
    assert first.json() == again.json()
    for name in ("x-execution-id", "x-conversation-id", "x-session-id"):
        assert first.headers[name] == again.headers[name]
    assert again.headers["idempotent-replayed"] == "true"
    assert upstream.stats["requests"] == before + 1
    with streamed(owner, body["message"], headers=key, agent="root") as response:
        streamed_first = [frame for frame in frames(response.iter_lines()) if frame.data]
    with streamed(owner, body["message"], headers=key, agent="root") as response:
        streamed_again = [frame for frame in frames(response.iter_lines()) if frame.data]
    assert upstream.stats["requests"] == before + 2
    assert text(streamed_first) == text(streamed_again) == "once"
    assert told(streamed_first)[-1] == told(streamed_again)[-1]


def test_an_idempotency_key_belongs_to_its_request(owner: httpx.Client) -> None:
    """R4.1, R4.2, R4.4."""
    key = {"idempotency-key": str(uuid4())}
    assert owner.post("/chat/run", json={"message": "", "agent": "root"}, headers=key).status_code == 422
    assert owner.post("/chat/run", json={"message": "one", "agent": "root"}, headers=key).status_code == 200
    other = owner.post("/chat/run", json={"message": "two", "agent": "root"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    bad = owner.post("/chat/run", json={"message": "one", "agent": "root"}, headers={"idempotency-key": "x" * 256})
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("route", ["/chat/run", "/chat/stream"])
def test_a_silent_repeat_is_attached_to_the_first_run(owner: httpx.Client, upstream: FakeUpstream, route: str) -> None:
    """R4.1: the common SDKs repeat a lost request without a key, and count; without the count it is a new message."""
    body = {"message": script(text="once"), "agent": "root", "conversation_id": f"repeat-{uuid4()}"}
    before = upstream.stats["requests"]
    answers = [owner.post(route, json=body, headers={"x-stainless-retry-count": count}) for count in ("0", "1", "2")]
    assert {answer.headers["x-execution-id"] for answer in answers} == {answers[0].headers["x-execution-id"]}
    assert upstream.stats["requests"] == before + 1
    assert owner.post(route, json=body).headers["x-execution-id"] != answers[0].headers["x-execution-id"]


# The table of statuses (section 10)


@pytest.mark.parametrize("path", ["/chat/run", "/chat/stream"])
@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 400, "invalid_json"),
        (b"{", {}, 400, "invalid_json"),
        (b'{"message":"a"} x', {}, 400, "invalid_json"),
        (b'{"message":NaN}', {}, 400, "invalid_json"),
        (b'{"message":"\xff"}', {}, 400, "invalid_json"),
        (b'{"message":"\\ud800"}', {}, 400, "invalid_json"),
        (b'{"message":"a\\u0000b"}', {}, 400, "invalid_json"),
        (b"[" * 100 + b"]" * 100, {}, 400, None),
        (b"[]", {}, 400, "invalid_request"),
        (b'{"message":"a","agent":"run-disabled"}', {}, 503, "agent_not_running"),
        (b'{"message":"a","agent":"nobody"}', {}, 404, "agent_not_found"),
        (b'{"message":"a"}', {"authorization": "Bearer sk-" + "x" * 43}, 401, "invalid_credentials"),
        (b'{"message":"a"}', {"authorization": "Bearer a.b.c"}, 401, "invalid_credentials"),
        (b'{"message":"a"}', {"authorization": ""}, 401, "invalid_credentials"),
        (b'{"message":"a"}', {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b'{"message":" "}', {}, 422, "validation_error"),
        (b'{"message":"a","conversation_id":"a/b"}', {}, 422, "validation_error"),
        (b'{"message":"a","agent":"root","more":"' + b"x" * 1_100_000 + b'"}', {}, 413, "request_too_large"),
    ],
)
def test_refusals(owner: httpx.Client, path: str, content: bytes, headers: dict[str, str], status: int, code: str | None) -> None:
    answer = owner.post(path, content=content, headers={"content-type": "application/json", **headers})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) >= {"detail", "code", "request_id"}
    assert body["request_id"] == answer.headers["x-request-id"]
    assert code is None or body["code"] == code
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_other_methods_are_told_what_is_allowed(owner: httpx.Client) -> None:
    for path, allowed in (("/chat/run", "POST"), ("/chat/stream", "POST"), ("/chat/stream/x", "GET"), ("/status", "GET")):
        answer = owner.delete(path)
        assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", allowed)


def test_a_content_type_may_be_absent(owner: httpx.Client) -> None:
    request = owner.build_request("POST", "/chat/run/", content=b'{"message":"Hello","agent":"root"}')
    request.headers.pop("content-type", None)
    assert owner.send(request).status_code == 200


def test_scopes(server: Server, owner: httpx.Client) -> None:
    """R1.4: `run` may ask; `read` may resume, and is implied for what the same key began."""
    name = f"scopes-{uuid4()}"
    with clients.http(server, "owner:read") as reads, clients.http(server, "owner:run") as runs:
        refused = ask(reads, "Hello", agent="root", conversation_id=name)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
        assert ask(runs, "Hello", agent="root", conversation_id=name).status_code == 200
        assert resume(runs, name)[0].status_code == 200
        ask(owner, "Hello again", conversation_id=name)
        assert resume(runs, name)[0].status_code == 403
        assert resume(reads, name)[0].status_code == 200
