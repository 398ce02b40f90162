"""The run wire against a live server: whole and streamed answers, conversations, agent choice (RUN-1 … RUN-26, RUN-41)."""

from uuid import UUID, uuid4

import pytest

from tests.support import clients
from tests.support.server import Server
from tests.wire import runwire
from tests.wire.runwire import ask, stream, text, told

pytestmark = pytest.mark.live
METRICS = "input_tokens output_tokens total_tokens cost_usd duration_ms first_token_ms model_calls tool_calls"


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    runwire.prepare(server)


def test_status_is_exactly_this(any_server: Server) -> None:
    """RUN-1."""
    with clients.http(any_server, None) as client:
        assert client.get("/status").content == b'{"status":"ok"}'
        assert client.get("/status/").status_code == 200
        assert client.head("/status").status_code == 200


def test_a_new_conversation_tells_its_id_in_all_three_places(any_server: Server) -> None:
    """RUN-10, RUN-14, RUN-15, RUN-20."""
    with clients.http(any_server) as client:
        answer = ask(client, "Hello", agent="root")
        assert answer.status_code == 200
        assert list(answer.json()) == ["response", "conversation_id"]
        assert answer.headers["x-conversation-id"] == answer.json()["conversation_id"] == str(UUID(answer.headers["x-session-id"]))
        response, frames = stream(client, "Hello", agent="root")
        assert told(frames)[-1]["conversation_id"] == response.headers["x-conversation-id"]
        assert told(frames)[-1]["execution_id"] == response.headers["x-execution-id"]


def test_headers_of_both_routes(any_server: Server) -> None:
    """RUN-15, RUN-17, R14.3."""
    with clients.http(any_server) as client:
        for response in (ask(client, "Hello", agent="root"), stream(client, "Hello", agent="root")[0]):
            assert response.headers["x-switchboard-agent"] == "root"
            assert {"x-request-id", "x-execution-id", "x-session-id", "x-conversation-id"} <= set(response.headers)
            assert response.headers["x-ratelimit-limit-requests"] == "500"
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")


def test_stream_and_whole_answer_say_the_same(any_server: Server) -> None:
    """RUN-14, RUN-19, RUN-20, RUN-21."""
    with clients.http(any_server) as client:
        _, frames = stream(client, "Hello", agent="root")
        assert text(frames) == ask(client, "Hello", agent="root").json()["response"] == "Hello! How can I help?"
    events = told(frames)
    assert all(list(event) == ["content", "is_final", "metrics"] and event["content"] for event in events[:-1])
    assert [event["is_final"] for event in events] == [False] * (len(events) - 1) + [True]
    assert list(events[-1]["metrics"]) == METRICS.split()
    assert events[-1]["metrics"] | {"duration_ms": 0, "first_token_ms": 0} == {
        "input_tokens": 412,
        "output_tokens": 9,
        "total_tokens": 421,
        "cost_usd": None,
        "duration_ms": 0,
        "first_token_ms": 0,
        "model_calls": 1,
        "tool_calls": 0,
    }


def test_tools_make_no_frames_and_their_steps_are_parted(server: Server) -> None:
    """RUN-22, OAI-36."""
    with clients.http(server) as client:
        _, frames = stream(client, runwire.PAUSES, agent="run-clock")
    assert text(frames) == "I look.\n\nIt is late."
    assert told(frames)[-1]["metrics"]["tool_calls"] == 1
    assert [int(frame.id) for frame in frames] == sorted({int(frame.id) for frame in frames})


def test_a_conversation_goes_on_by_its_id(server: Server, upstream: object) -> None:
    """RUN-11, RUN-26, RUN-37: whoever has seen the final event finds the turn in the next one's history."""
    name = f"mine-{uuid4()}"
    with clients.http(server) as client:
        assert told(stream(client, "My name is Ada", agent="root", conversation_id=name)[1])[-1]["status"] == "success"
        again = ask(client, "Who am I?", conversation_id=name)
    assert again.json()["conversation_id"] == again.headers["x-conversation-id"] == name
    roles = [message["role"] for message in upstream.last["body"]["messages"]]
    assert roles[-3:] == ["user", "assistant", "user"]
    assert "Ada" in str(upstream.last["body"]["messages"][-3])


def test_an_id_that_was_made_by_the_server_goes_on_too(server: Server) -> None:
    """RUN-10."""
    with clients.http(server) as client:
        first = ask(client, "Hello", agent="root")
        again = ask(client, "Hello again", conversation_id=first.json()["conversation_id"])
    assert again.headers["x-session-id"] == first.headers["x-session-id"]


def test_two_users_with_one_id_never_meet(server: Server) -> None:
    """RUN-11, R2.2."""
    name = f"shared-{uuid4()}"
    with clients.http(server, "owner") as owner, clients.http(server, "guest") as guest:
        first, second = (ask(client, "Hello", agent="root", conversation_id=name) for client in (owner, guest))
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.headers["x-session-id"] != second.headers["x-session-id"]
        taken = ask(guest, "Let me in", agent="root", conversation_id=first.headers["x-session-id"])
        assert taken.headers["x-session-id"] not in (first.headers["x-session-id"], second.headers["x-session-id"])


def test_two_keys_of_one_user_share_a_conversation(server: Server) -> None:
    """R1.5, and a JWT works as a key does (RUN-1)."""
    name = f"both-{uuid4()}"
    with clients.http(server) as by_key, clients.http(server, None, authorization=f"bearer  {clients.token(server)}") as by_token:
        sessions = {ask(client, "Hello", agent="root", conversation_id=name).headers["x-session-id"] for client in (by_key, by_token)}
    assert len(sessions) == 1


def test_a_conversation_keeps_its_agent(server: Server) -> None:
    """RUN-6(a), RUN-8."""
    name = f"kept-{uuid4()}"
    with clients.http(server) as client:
        ask(client, "Hello", agent="run-queue", conversation_id=name)
        assert ask(client, "Hello", conversation_id=name).headers["x-switchboard-agent"] == "run-queue"
        other = ask(client, "Hello", conversation_id=name, agent="root")
        assert (other.status_code, other.json()["code"]) == (409, "conversation_agent_mismatch")
        assert other.headers["x-should-retry"] == "false"
        assert ask(client, "Hello", conversation_id=name, agent="nobody").status_code == 404


def test_the_claim_of_the_token_chooses(server: Server) -> None:
    """RUN-6(d); the claim survives refresh, and the field beats it."""
    with clients.http(server, None) as client:
        pair = client.post("/api/token", data={"username": "owner", "password": "owner-password", "agent": "run-reject"}).json()
        pair = client.post("/api/token/refresh", json={"refresh": pair["refresh"]}).json()
        client.headers["authorization"] = f"Bearer {pair['access']}"
        assert ask(client, "Hello").headers["x-switchboard-agent"] == "run-reject"
        assert ask(client, "Hello", agent="root").headers["x-switchboard-agent"] == "root"


@pytest.mark.parametrize("named", ["run-private", "nobody", "a/b", "x" * 65, ""])
def test_an_agent_of_others_is_an_agent_that_is_not(server: Server, named: str) -> None:
    """RUN-7, R2.1: the same bytes in every case."""
    with clients.http(server, "stranger", **{"x-request-id": "same"}) as client:
        refused = ask(client, "Hello", agent=named)
    assert refused.status_code == 404
    assert refused.content == b'{"detail":"Agent not found","code":"agent_not_found","request_id":"same"}'


def test_a_message_is_taken_as_it_is(server: Server, upstream: object) -> None:
    """RUN-5."""
    message = '  **Ärger** \n\n{"x": "\u2028🌍"} '
    with clients.http(server) as client:
        assert ask(client, message, agent="root").status_code == 200
    assert upstream.last["body"]["messages"][-1]["content"] == message
