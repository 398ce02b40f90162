"""What tests of public links need: a server that believes the addresses visitors claim, agents to share, links, visitors."""

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.support import clients
from tests.support.server import Server

AGENTS = """
agents:
  - {name: pub-open, display_name: Open, description: Answers all., provider: fake, model: fake, owner: owner}
  - {name: pub-shared, provider: fake, model: fake, owner: owner, access: shared, shared_users: [guest]}
  - {name: pub-mail, provider: scripted, model: demo-fast, owner: owner, require_email: true}
  - {name: pub-off, provider: fake, model: fake, owner: owner, enabled: false}
  - {name: pub-tools, provider: scripted, model: demo-fast, owner: owner, tools: [{kind: clock, name: pub_clock}]}
  - name: pub-careful
    provider: scripted
    model: demo-fast
    owner: owner
    tools: [{name: pub_clock, requires_approval: true, approver: caller}]
"""
_hosts = count(1)


def environment(folder: Path) -> dict[str, str]:
    """Visitors come from addresses of their own choice, and codes are written into a folder."""
    return {"TRUSTED_PROXIES": "127.0.0.0/8", "EMAIL_URL": f"file://{folder}"}


def prepare(server: Server) -> None:
    """Adds the agents above, from a process of its own."""
    path = server.data_dir / "public-agents.yaml"
    path.write_text(AGENTS)
    server.manage("agents", "apply", str(path))


def make(server: Server, agent: str = "pub-open", person: str = "owner", **fields: Any) -> dict[str, Any]:
    """A new link of the agent."""
    with clients.http(server, person) as manager:
        answer = manager.post(f"/api/agents/{agent}/public-links", json=fields)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def change(server: Server, link: dict[str, Any], **fields: Any) -> None:
    with clients.http(server) as manager:
        answer = manager.patch(f"/api/agents/{link['agent']}/public-links/{link['id']}", json=fields)
    assert answer.status_code == 200, answer.text


def a_link(server: Server, link: dict[str, Any]) -> dict[str, Any]:
    """The link as its manager sees it now."""
    with clients.http(server) as manager:
        found: dict[str, Any] = manager.get(f"/api/agents/{link['agent']}/public-links/{link['id']}").json()
    return found


def new_address() -> str:
    number = next(_hosts)
    return f"198.18.{number // 250}.{number % 250 + 1}"


class Visitor(httpx.Client):
    """Somebody without an account, at an address of their own; `session` is what the page would remember."""

    def __init__(self, server: Server, link: dict[str, Any], address: str = "") -> None:
        headers = {"x-forwarded-for": address or new_address()}
        super().__init__(base_url=server.base_url, headers=headers, timeout=clients.TIMEOUT_S, transport=clients.transport())
        self.token: str = link["token"]
        self.session: dict[str, str] = {}

    def say(self, message: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"message": message, **self.session, **fields}
        answer = self.post(f"/api/public/chat/{self.token}", json=body, headers=headers)
        if answer.status_code in (200, 202) and answer.headers["content-type"] == "application/json" and answer.json()["session_id"]:
            self.session = {"session_id": answer.json()["session_id"]}
        return answer

    def streamed(self, message: str, accept: str = "text/event-stream", **fields: Any) -> tuple[httpx.Response, list[dict[str, Any]]]:
        """The whole stream, read to its end, as objects."""
        url = f"/api/public/chat/{self.token}"
        with self.stream("POST", url, json={"message": message, **self.session, **fields}, headers={"accept": accept}) as response:
            if response.status_code != 200:
                response.read()
                return response, []
            lines = [line.removeprefix("data:").strip() for line in response.iter_lines()]
        return response, [json.loads(line) for line in lines if line.startswith("{")]

    def history(self, **query: str) -> dict[str, Any]:
        answer = self.get(f"/api/public/history/{self.token}", params=query or self.session)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def run(self, execution_id: str, what: str, method: str = "GET", **query: str) -> httpx.Response:
        return self.request(method, f"/api/public/executions/{self.token}/{execution_id}/{what}", params=query or self.session)


def mails(folder: Path, address: str) -> list[str]:
    """The mails sent to an address, oldest first. Django may put mails of the same second into one file, with a line between them."""
    files = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime_ns)
    return [mail for path in files for mail in path.read_text().split("-" * 79 + "\n") if f"To: {address}\n" in mail]


def code_in(mail: str) -> str:
    found = re.search(r"^    (\d{6})$", mail, re.MULTILINE)
    assert found, mail
    return found[1]
