"""The first start: demo agents, agents for the keys and the local Ollama that are there, an administrator. Once per database.

What it made is an operator's to change or delete: it never comes back (rows of FirstStart are the marks).
"""

import json
import secrets
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from agents.access import ALL_SCOPES
from agents.agentsfile import AgentEntry, AgentsFile, ProviderEntry, ToolEntry
from agents.apply import apply
from agents.models import Agent, ApiKey, FirstStart

OLLAMA_TIMEOUT_S = 0.3
_AGENTS, _ADMINISTRATOR = 1, 2
_FRIENDLY = "You are a friendly assistant. Answer briefly."


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A provider and an agent for whoever has the key; `model` is a current one of the middle size."""

    title: str
    variable: str
    kind: str
    base_url: str
    model: str
    unsupported: tuple[str, ...] = ()


VENDORS: Mapping[str, Vendor] = {
    "openai": Vendor(
        title="OpenAI",
        variable="OPENAI_API_KEY",
        kind="openai_compatible",
        base_url="https://api.openai.com/v1",
        model="gpt-6.1-terra",
        unsupported=("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"),
    ),
    "claude": Vendor(title="Claude", variable="ANTHROPIC_API_KEY", kind="anthropic", base_url="", model="claude-sonnet-5-5"),
    "gemini": Vendor(title="Gemini", variable="GEMINI_API_KEY", kind="google", base_url="", model="gemini-3.8-flash"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is shown once and stored nowhere: the administrator's password and API key, and an agent to call ("": none)."""

    password: str
    key: str
    agent: str


@transaction.atomic
def make_agents(environ: Mapping[str, str]) -> None:
    """The first agents, once, unless there are agents already. Callers hold the lock of starts."""
    if _is_first(_AGENTS) and not Agent.objects.exists():
        apply(agents_for(environ))


@transaction.atomic
def make_administrator() -> Made | None:
    """The administrator `admin` with a random password and a key for a first call, once, unless there is an administrator."""
    if not _is_first(_ADMINISTRATOR) or User.objects.filter(Q(is_superuser=True) | Q(username="admin")).exists():
        return None
    password = secrets.token_urlsafe(12)
    admin = User.objects.create_superuser("admin", password=password)
    _, key = ApiKey.issue(owner=admin, name="first start", scopes=sorted(ALL_SCOPES))
    agent = Agent.objects.filter(published__isnull=False, enabled=True).order_by("name").first()
    return Made(password=password, key=key, agent=agent.name if agent else "")


def _is_first(part: int) -> bool:
    return FirstStart.objects.get_or_create(pk=part)[1]


def agents_for(environ: Mapping[str, str]) -> AgentsFile:
    """The demo agents, and what this machine has besides, as a file that `agents apply` could have read."""
    file = _demo()
    for name, vendor in VENDORS.items():
        if key := environ.get(vendor.variable, "").strip():
            file.providers.append(_provider(name, vendor, key, environ))
            file.agents.append(_agent(name, vendor.title, vendor.model, vendor.unsupported))
    if ollama := _ollama(environ):
        base_url, models = ollama
        file.providers.append(ProviderEntry(name="ollama", base_url=f"{base_url}/v1", fetches_urls=False))
        file.agents += [AgentEntry(name="ollama", provider="ollama", model=model, instructions=_FRIENDLY) for model in models[:1]]
    return file


def _demo() -> AgentsFile:
    clock = ToolEntry(kind="clock", name="clock")
    approved = ToolEntry(name="clock", requires_approval=True)
    return AgentsFile(
        providers=[ProviderEntry(name="demo", kind="demo")],
        agents=[
            AgentEntry(
                name="demo",
                display_name="Demo",
                avatar="👋",
                description="Answers without a key or a network, to try every wire with.",
                instructions=_FRIENDLY,
                provider="demo",
                model="demo",
                show_reasoning=True,
                tools=[clock],
                conversation_starters=["Hello!", "What can you do?"],
            ),
            AgentEntry(
                name="demo-approval",
                display_name="Demo with approval",
                avatar="✋",
                description="Looks at the clock only when you allow it: shows how a run waits for a decision.",
                instructions="Ask for permission before you use a tool.",
                provider="demo",
                model="demo",
                tools=[approved],
                conversation_starters=["What time is it?"],
            ),
            AgentEntry(
                name="research-agent",
                display_name="Research (demo)",
                avatar="🔎",
                description="Stands where an agent of yours will: the examples of tasks and schedules call it.",
                instructions="Answer in a few sentences, with what you know and how sure you are of it.",
                provider="demo",
                model="demo",
                tools=[clock],
                conversation_starters=["Summarize the latest research findings"],
            ),
        ],
    )


def _provider(name: str, vendor: Vendor, key: str, environ: Mapping[str, str]) -> ProviderEntry:
    base_url = environ.get("OPENAI_BASE_URL", "").rstrip("/") if name == "openai" else ""
    return ProviderEntry(name=name, kind=vendor.kind, base_url=base_url or vendor.base_url, api_key=key)


def _agent(name: str, title: str, model: str, unsupported: tuple[str, ...]) -> AgentEntry:
    return AgentEntry(
        name=name,
        display_name=title,
        instructions=_FRIENDLY,
        provider=name,
        model=model,
        context_window=200_000,
        accept_images=True,
        unsupported_parameters=list(unsupported),
        tools=[ToolEntry(name="clock")],
    )


def _ollama(environ: Mapping[str, str]) -> tuple[str, list[str]] | None:
    """Address and models of a local Ollama that answers quickly, or None."""
    base_url = ollama_url(environ.get("OLLAMA_HOST", ""))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{base_url}/api/tags", timeout=OLLAMA_TIMEOUT_S) as answer:
            models = [model["name"] for model in json.load(answer)["models"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return base_url, models


def ollama_url(host: str) -> str:
    """OLLAMA_HOST as Ollama's own programs read it: `host`, `host:port` or a URL; the address it listens on means this machine."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    name = parts.hostname or "127.0.0.1"
    name = "127.0.0.1" if name in ("0.0.0.0", "::") else name  # noqa: S104  # what a server writes there, not what we bind
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{parts.port or 11434}"
