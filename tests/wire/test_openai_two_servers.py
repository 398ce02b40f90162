"""Conversations over two web processes on Redis and PostgreSQL (openai.md section 10; R12.4)."""

from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import httpx2 as httpx
import psycopg
import pytest

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.wire.inturn import in_turn
from tests.wire.openaiwire import PATH, ask, heard, stream, user

pytestmark = [pytest.mark.live, pytest.mark.redis, pytest.mark.postgres]
ANSWER = "Hello! How can I help?"


@pytest.fixture
def both(redis_pg_servers: tuple[Server, Server]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    with clients.http(redis_pg_servers[0]) as one, clients.http(redis_pg_servers[1]) as other:
        yield one, other


@pytest.fixture
def named() -> dict[str, str]:
    return {"X-Conversation-Id": f"two-{uuid4()}"}


def test_a_conversation_goes_on_anywhere(both: tuple[httpx.Client, httpx.Client], upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-52: also for clients that resend everything."""
    one, other = both
    first = ask(one, "One", headers=named)
    second = ask(other, "Two", headers=named)
    assert (first.headers["x-conversation-cache"], second.headers["x-conversation-cache"]) == ("miss", "hit")
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    said = {"role": "assistant", "content": ANSWER}
    stream(one, [*user("One"), said, *user("Two"), said, *user("Three")], headers=named)
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Two", ANSWER, "Three"]
    ask(other, [*user("One"), said, *user("Other")], headers=named)
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Other"]
    ask(one, "Last", headers=named)
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Other", ANSWER, "Last"]


def test_one_turn_at_a_time_over_both(both: tuple[httpx.Client, httpx.Client], upstream: FakeUpstream, named: dict[str, str]) -> None:
    """OAI-57, R8.4: also the very first ones."""
    one, other = both
    slow = upstream.hold(text="slow")
    first, second = in_turn(one, slow, partial(ask, one, headers=named), partial(ask, other, headers=named))
    assert first.headers["x-session-id"] == second.headers["x-session-id"]
    assert [text for _, text in heard(upstream)] == [slow.message, "slow", "Second"]


def test_an_answer_to_a_key_is_given_again_anywhere(both: tuple[httpx.Client, httpx.Client], upstream: FakeUpstream) -> None:
    """R4.3."""
    one, other = both
    key = {"Idempotency-Key": str(uuid4())}
    body = {"model": "root", "messages": user("Hello")}
    first, again = one.post(PATH, json=body, headers=key), other.post(PATH, json=body, headers=key)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"


def test_a_conversation_that_another_process_dropped_begins_anew(
    both: tuple[httpx.Client, httpx.Client], redis_pg_servers: tuple[Server, Server], upstream: FakeUpstream, named: dict[str, str]
) -> None:
    """OAI-56: with all that the client brings along, although this process answered the last turn of it."""
    one, _ = both
    first = ask(one, "One", headers=named)
    drop(redis_pg_servers[0], first.headers["x-session-id"])
    said = {"role": "assistant", "content": ANSWER}
    again = ask(one, [*user("One"), said, *user("Two")], headers=named)
    assert again.headers["x-conversation-cache"] == "miss"
    assert again.headers["x-session-id"] != first.headers["x-session-id"]
    assert [text for _, text in heard(upstream)] == ["One", ANSWER, "Two"]


def drop(server: Server, session_id: str) -> None:
    with psycopg.connect(server.env["DATABASE_URL"], autocommit=True) as connection:
        assert connection.execute("UPDATE chat_chatsession SET name = NULL WHERE id = %s", [session_id]).rowcount == 1
