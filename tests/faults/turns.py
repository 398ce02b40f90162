"""What the fault tests say: a slow turn, a reader that leaves, and how to wait until something is so."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx2 as httpx

from tests.support.clients import Frame, frames, http
from tests.support.server import Server

SLOW = {"chunks": 60, "delay_ms": 50, "text": "tok "}


def asking(script: dict[str, Any], words: str = "Go on.") -> str:
    """A user message that makes the fake model server play `script`."""
    return f"{words}\n\n{json.dumps(script)}"


@contextmanager
def streamed(
    client: httpx.Client, conversation_id: str | None, script: dict[str, Any], **more: Any
) -> Iterator[tuple[httpx.Response, Iterator[Frame]]]:
    """POST /chat/stream, its response and its frames."""
    body = {"message": asking(script), "agent": "root", **({"conversation_id": conversation_id} if conversation_id else {}), **more}
    with client.stream("POST", "/chat/stream", json=body) as response:
        assert response.status_code == 200, response.read()
        yield response, frames(response.iter_lines())


def content(told: list[Frame]) -> str:
    return "".join(json.loads(frame.data)["content"] for frame in told if frame.data)


def execution(server: Server, execution_id: str, person: str = "owner") -> dict[str, Any]:
    with http(server, person) as client:
        answer = client.get(f"/api/executions/{execution_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def read_until_stored(server: Server, told: Iterator[Frame]) -> None:
    """Reads on until some of the text is in the server's own database (R12.5)."""
    with closing(sqlite3.connect(server.data_dir / "switchboard.sqlite3")) as database:
        while database.execute("SELECT count(*) FROM chat_checkpoint").fetchone() == (0,):
            next(told)
