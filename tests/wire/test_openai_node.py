"""The official Node SDK (tests/node/openai.test.mjs), where Node and the SDK are installed (OAI-71)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.wire import openaiwire

pytestmark = [pytest.mark.live, pytest.mark.node]
FOLDER = Path(__file__).resolve().parents[1] / "node"


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    openaiwire.prepare(server)


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
@pytest.mark.skipif(not (FOLDER / "node_modules" / "openai").exists(), reason="tests/node is not installed (npm install)")
def test_the_node_sdk(server: Server, upstream: FakeUpstream) -> None:
    calls = [{"id": f"call_{city}", "name": "get_weather", "arguments": {"city": city}} for city in ("Oslo", "Rome")]
    env = {
        **os.environ,
        "BASE_URL": f"{server.base_url}/v1",
        "API_KEY": server.keys["owner"],
        "WEATHER_SCRIPT": upstream.script(tools=calls, text="It is cold."),
        "BROKEN_SCRIPT": upstream.script(chunks=3, cut=True),
    }
    command = ["node", "--test", "--test-reporter=tap", "openai.test.mjs"]
    done = subprocess.run(command, cwd=FOLDER, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# skipped 0" in done.stdout
