"""Agents with a tool that answers when the test says so, and the calls that use it in one line."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import orjson

from tests.support import clients
from tests.support.server import Server
from tests.wire.runwire import ask

ENV = {"ALLOW_PRIVATE_ADDRESSES": "127.0.0.1"}
AGENTS = """
tools:
  - name: look_up
    kind: http
    url: "URL/ask"
    parameters: {type: object, properties: {q: {type: string}, hold: {type: boolean}, size: {type: integer}}}
agents:
  - {name: house, provider: fake, model: fake, access: shared, owner: owner, shared_users: [guest], tools: [{name: look_up}]}
  - {name: other-house, provider: fake, model: fake, access: shared, owner: owner, shared_users: [guest], tools: [{name: look_up}]}
  - {name: house-paused, provider: fake, model: fake, owner: owner, tools: [{name: look_up, requires_approval: true}]}
  - {name: house-closed, provider: fake, model: fake, owner: owner, enabled: false}
  - {name: house-single, provider: fake, model: fake, owner: owner, max_parallel_runs: 1}
"""


class LookUp:
    """The website behind the tool: `?hold=true` waits for release(), `?size=` makes the answer that long."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def hold(self) -> None:
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        released = self._released

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                if "hold" in asked:
                    released.wait(20)
                body = ("10 results " + "x" * int(asked.get("size", 0))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        return Handler


@contextmanager
def look_up() -> Iterator[LookUp]:
    site = LookUp()
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.release()
        site.server.shutdown()
        site.server.server_close()
        thread.join(5)


def prepare(server: Server, site: LookUp) -> None:
    """Adds the agents to a server, from a process of its own: it sees them from its next turn on."""
    path = server.data_dir / "house.yaml"
    path.write_text(AGENTS.replace("URL", site.url))
    server.manage("agents", "apply", str(path))
    with clients.http(server) as client:
        assert ask(client, "Hello", agent="root").status_code == 200


def calls(*arguments: dict[str, Any], text: str = "Found.") -> str:
    """A message that makes the model call the tool once for each of `arguments`, then say `text`."""
    return orjson.dumps({"tools": [{"name": "look_up", "arguments": each} for each in arguments], "text": text}).decode()


def looked_up(client: httpx.Client, *arguments: dict[str, Any], agent: str = "house", **fields: Any) -> str:
    """A run that called the tool, by its id."""
    answer = ask(client, calls(*(arguments or ({"q": "latest"},))), agent=agent, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-execution-id"])


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
