"""The cast of every live test: the owner owns, the guest is shared with, the stranger is refused.

`python -m tests.support.cast < agents.yaml` fills the database of its environment and prints the API keys as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = ("admin", "owner", "guest", "stranger")
NARROW = ("owner:run", "owner:read", "owner:manage", "owner:knowledge", "owner:read+run", "guest:run", "guest:read")
"""Further keys that may less, by the name under which they are found: `person:scopes`."""
AGENTS = """
providers:
  - {name: fake, kind: openai_compatible, base_url: "UPSTREAM/v1", api_key: sk-fake-upstream-key}
  - {name: scripted, kind: demo}
agents:
  - {name: root, provider: fake, model: fake, description: Anybody who is signed in may use it.}
  - {name: private, provider: fake, model: fake, description: "The owner's, shared with the guest."}
  - {name: scripted, provider: scripted, model: demo}
  - {name: careful, provider: fake, model: fake, tools: [{kind: clock, requires_approval: true}]}
  - {name: supervised, provider: fake, model: fake, tools: [{kind: clock, requires_approval: true, approver: manager}]}
"""


def password(name: str) -> str:
    return f"{name}-password"


def fill(env: Mapping[str, str], upstream_url: str, agents: str = AGENTS) -> dict[str, str]:
    """Fills the database that `env` names, from a process of its own; returns the API key of each person."""
    command = [sys.executable, "-m", "tests.support.cast"]
    text = agents.replace("UPSTREAM", upstream_url)
    done = subprocess.run(command, cwd=ROOT, env=dict(env), input=text, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    keys: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return keys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(sys.stdin.read())
        file.flush()
        call_command("agents", "apply", file.name, verbosity=0)
    print(json.dumps(people()))


def people() -> dict[str, str]:
    from django.contrib.auth.models import User

    from agents.access import ALL_SCOPES
    from agents.models import Agent, ApiKey

    users = {
        name: User.objects.create_user(name, f"{name}@example.com", password(name), is_staff=name == "admin", is_superuser=name == "admin")
        for name in PEOPLE
    }
    for agent in Agent.objects.filter(name="private"):
        agent.owner, agent.access = users["owner"], "shared"
        agent.save()
        agent.shared_users.add(users["guest"])
    scopes = {name: sorted(ALL_SCOPES) for name in PEOPLE} | {name: name.partition(":")[2].split("+") for name in NARROW}
    return {name: ApiKey.issue(owner=users[name.partition(":")[0]], name=name, scopes=may)[1] for name, may in scopes.items()}


if __name__ == "__main__":
    main()
