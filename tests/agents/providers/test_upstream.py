"""The fake model server itself: every way to start it, script it and ask what it saw."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import orjson
import pytest

from tests.agents.providers.asking import Fake
from tests.support.upstream import FakeUpstream
from tests.support.upstream_script import FIELDS, Script, last_user_text, script_for

HELLO = {"messages": [{"role": "user", "content": "Hi"}], "model": "fake"}


def post(url: str, body: object) -> bytes:
    request = urllib.request.Request(f"{url}/v1/chat/completions", orjson.dumps(body), {"Content-Type": "application/json"})
    return bytes(urllib.request.urlopen(request, timeout=10).read())


def test_it_runs_in_a_thread_and_tells_what_it_saw() -> None:
    with FakeUpstream() as upstream:
        whole = orjson.loads(post(upstream.url, HELLO))
        stream = post(upstream.url, {**HELLO, "stream": True, "messages": [{"role": "user", "content": upstream.script(text="One two")}]})
        told = orjson.loads(urllib.request.urlopen(f"{upstream.url}/stats", timeout=10).read())
        last = orjson.loads(urllib.request.urlopen(f"{upstream.url}/last", timeout=10).read())
        assert told == dict(upstream.stats) == {"requests": 2, "open": 0, "disconnects": 0, "completed": 2}
        assert last == upstream.last
        assert len(upstream.requests) == 2
    assert whole["choices"][0]["message"]["content"] == "Hello! How can I help?"
    assert stream.endswith(b"data: [DONE]\n\n")


def test_it_runs_as_a_program_that_prints_its_port() -> None:
    command = [sys.executable, "-m", "tests.support.upstream", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        assert orjson.loads(post(f"http://127.0.0.1:{port}", HELLO))["model"] == "fake"
        program.terminate()


@pytest.mark.parametrize(
    ("content", "model", "script"),
    [
        ("Hi", "fake", Script()),
        ("Hi", "echo", Script(text="Hi")),
        ("Hi", "chunks=100,burst=1,done=false", Script(text="tok ", chunks=100, burst=True, done=False)),
        ('{"chunks": 3}', "fake", Script(text="tok ", chunks=3)),
        ('An older one\n\n{"text": "x", "usage": false}', "fake", Script(text="x", usage="false")),
        ('{"city": "Oslo"}', "fake", Script()),
        ("{not JSON", "fake", Script()),
    ],
)
def test_scripts_come_from_the_message_or_the_model(content: str, model: str, script: Script) -> None:
    assert script_for({"model": model, "messages": [{"role": "user", "content": content}]}) == script


def test_parts_of_a_message_are_read_too() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "Hi"}]
    assert last_user_text({"messages": [{"role": "user", "content": parts}]}) == "Hi"


async def test_tools_are_called_first_and_answered_with_the_text_then(fake: Fake) -> None:
    script = {"tools": [{"name": "clock"}], "text": "It is noon"}
    first = await fake.ask(script)
    assert [name for _, name, _ in first.calls] == ["clock"]
    call = {"id": "call_fake_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": orjson.dumps(script).decode()},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_fake_1", "content": "12:00"},
    ]
    assert (await fake.ask(messages=talk)).text() == "It is noon"


def test_every_key_of_a_script_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "adding-a-provider.md").read_text()
    assert [name for name in FIELDS if f"`{name}`" not in page] == []
