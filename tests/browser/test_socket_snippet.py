"""WS-80: the published example, unchanged but for host and key, in a real Chromium against a real server."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NewServer
from tests.support.browser import Browser
from tests.support.server import Server
from tests.support.services import free_port

pytestmark = pytest.mark.live
MSGPACK = Path(__file__).resolve().parents[1] / "node/node_modules/@msgpack/msgpack/dist.umd/msgpack.min.js"
SNIPPET = """
const socket = new WebSocket("ws://localhost:8000/chat?api_key=YOUR_KEY");
const message = { role: "user", content: "Hello world", model: "gpt-3.5-turbo" };
socket.onmessage = async (event) => {
  const data = msgpack.decode(new Uint8Array(await event.data.arrayBuffer()));
  if (data.type === "chunk") console.log(data.content);
};
socket.onopen = () => socket.send(msgpack.encode(message));
"""
PAGE = """<!doctype html><title>Example</title><script src="msgpack.js"></script>
<script>const msgpack = MessagePack; window.printed = []; console.log = (text) => printed.push(text);</script><script>SNIPPET</script>"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served, and its origin: somebody's own web page."""
    if not MSGPACK.exists():
        pytest.skip("the MessagePack library of tests/node is not installed")
    (tmp_path / "msgpack.js").write_bytes(MSGPACK.read_bytes())
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), handler) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{site.server_port}"
        site.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_the_published_example_prints_the_answer(kind: str, page: tuple[Path, str], new_server: NewServer, browser: Browser) -> None:
    folder, origin = page
    server = new_server(kind, {"WS_ALLOWED_ORIGINS": origin, "CHAT_DEFAULT_AGENT": "root"})
    snippet = SNIPPET.replace("localhost:8000", f"localhost:{server.port}").replace("YOUR_KEY", server.keys["owner"])
    (folder / "index.html").write_text(PAGE.replace("SNIPPET", snippet))
    browser.get(f"{origin}/index.html")
    printed = browser.until(lambda: (told := browser.execute_script("return printed")) and told[-1] == "" and told)
    assert "".join(printed) == "Hello! How can I help?"


def test_a_page_that_is_not_welcome_hears_why(page: tuple[Path, str], server: Server, browser: Browser) -> None:
    """WS-7, WS-8: the frame and the code reach the page."""
    folder, origin = page
    script = f"""const socket = new WebSocket("ws://127.0.0.1:{server.port}/chat?mode=text&api_key={server.keys["owner"]}");
      socket.onmessage = (event) => printed.push(JSON.parse(event.data).code); socket.onclose = (event) => printed.push(event.code);"""
    (folder / "index.html").write_text(PAGE.replace("SNIPPET", script))
    browser.get(f"{origin}/index.html")
    browser.until(lambda: browser.execute_script("return printed.length") == 2)
    assert browser.execute_script("return printed") == ["origin_not_allowed", 4403]
