"""An end that the database refuses for good is stored all the same, as a failed one with what was said (R0.7)."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.turns import asking, execution
from tests.support import cast, services
from tests.support.clients import http
from tests.support.server import Server
from tests.support.upstream import FakeUpstream

pytestmark = [pytest.mark.live, pytest.mark.postgres]
TOO_MANY: dict[str, Any] = {"text": "All was well.", "usage": {"prompt_tokens": 3_000_000_000, "completion_tokens": 3}}
"""A provider that counts more tokens than the column of a context's size takes."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres_url: str, upstream: FakeUpstream) -> Iterator[Server]:
    """On PostgreSQL, which minds the size of numbers; without a limit of tokens a minute."""
    env = {"DATABASE_URL": services.new_database(postgres_url, "refused_ends"), "CHAT_RATE_TPM": "0"}
    made = Server(tmp_path_factory.mktemp("refused") / "data", env=env)
    made.keys = cast.fill(made.env, upstream.url)
    with made:
        yield made


def test_the_run_of_a_conversation_fails_at_once_with_its_text(server: Server, upstream: FakeUpstream) -> None:
    name = f"refused-{uuid4()}"
    with http(server) as client:
        answer = client.post("/chat/run", json={"message": asking(TOO_MANY), "conversation_id": name, "agent": "root"})
        stored = execution(server, answer.headers["x-execution-id"])
        assert client.post("/chat/run", json={"message": "And now?", "conversation_id": name, "agent": "root"}).status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert (stored["status"], stored["error_code"], stored["response"]) == ("failed", "internal_error", "All was well.")
    assert stored["usage"]["input_tokens"] == 3_000_000_000, "R10.1: what a failed run used is kept"
    assert upstream.last["body"]["messages"][1] == {"role": "assistant", "content": "All was well."}, "R9.1: the next turn sees it"


def test_a_stateless_run_fails_at_once_with_its_text(server: Server) -> None:
    with http(server) as client:
        body = {"model": "root", "messages": [{"role": "user", "content": asking(TOO_MANY)}]}
        answer = client.post("/v1/chat/completions", json=body)
        stored = execution(server, answer.headers["x-execution-id"])
    assert answer.json()["error"]["code"] == "internal_error"
    assert (stored["status"], stored["error_code"], stored["response"]) == ("failed", "internal_error", "All was well.")
