"""Every line of the README's shell blocks works as it is printed, on the site that a first start makes; so does the Python snippet."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.config.starts import Start
from tests.support.server import ROOT

pytestmark = pytest.mark.live

README = (ROOT / "README.md").read_text()
LINES = re.findall(r"^curl .*$", README, re.MULTILINE)
AS_PRINTED = 'curl() {{ command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }}\n{line}'
LEARNED = {
    "access": "ACCESS", "refresh": "REFRESH", "execution_id": "EXECUTION", "tool_call_id": "CALL", "session_id": "SESSION",
    "webhook_url": "WEBHOOK", "token": "TOKEN",
}  # fmt: skip
"""What a reader takes from one answer for the next line."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """The environment of somebody who has just made the first start and set what the README asks for."""
    with Start(tmp_path_factory.mktemp("readme") / "data", "serve", "--listen", "127.0.0.1:0") as start:
        base_url = start.ready()
        said = "\n".join(start.lines)
        key, password = re.search(r"sk-[\w-]{43}", said)[0], re.search(r"the password (\S+)", said)[1]
        yield {**os.environ, "BASE": base_url, "KEY": key, "PASSWORD": password}


def run(line, shell):
    done = subprocess.run(["bash", "-c", AS_PRINTED.format(line=line)], env=shell, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for name, variable in LEARNED.items():
        if found := re.search(rf'"{name}": ?"([^"]+)"', done.stdout):
            shell[variable] = found[1]
    if '/schedules"' in line:
        shell["SCHEDULE"] = json.loads(done.stdout)["id"]
    return done.stdout


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_readme_works_as_it_is_printed(line, shell):
    answer = run(line, shell)
    assert answer
    if "-N" in line:
        assert "data: " in answer
        assert '"error"' not in answer
    elif "/api/schema" not in line:
        json.loads(answer)


ENDPOINTS = """/v1/models /v1/models/demo /v1/chat/completions /openapi.json /chat/run /chat/stream /chat/stream/visit-1 /status
/api/executions/$EXECUTION /api/executions/$EXECUTION/stream /api/executions/$EXECUTION/cancel /api/executions/$EXECUTION/approvals/$CALL
/api/agents /api/agents/research-agent/chat /api/agents/research-agent/task /api/ws/ticket
/api/token /api/token/refresh /api/token/verify /api/token/blacklist"""


@pytest.mark.parametrize("path", ENDPOINTS.split())
def test_every_endpoint_has_its_line(path):
    assert any(re.search(re.escape(f"$BASE{path}") + r'["?]', line) for line in LINES)


def test_the_python_snippet_prints_an_answer(shell):
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", snippet], env=shell, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "demo agent" in done.stdout


@pytest.mark.skipif(not shutil.which("node"), reason="Node.js is not installed")
def test_the_javascript_snippet_prints_an_answer(shell):
    (snippet,) = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    given = 'const BASE = process.env.BASE, username = "admin", password = process.env.PASSWORD;\n'
    command = ["node", "--input-type=module", "--eval", given + snippet]
    done = subprocess.run(command, env=shell, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout.split()


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "snippet", re.findall(r"```python\n(.*?)```", (ROOT / "docs/websocket.md").read_text(), re.DOTALL), ids=("json", "msgpack")
)
def test_the_clients_of_the_websocket_guide_print_an_answer(snippet, shell):
    done = subprocess.run([sys.executable, "-c", snippet], env=shell, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "demo agent" in done.stdout
