"""`manage.py serve_chat [FILE.yaml …]`: the OpenAI wire alone (openai.md section 2). Two lines on standard output, and no more."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from agents.models import Agent
from config import chatoptions, checks, serving, starting
from config.management.commands.serve import refuse_unsafe


class Command(BaseCommand):
    help = "Serves /v1/…, /openapi.json and /status only; options override the environment."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE.yaml", help="apply these first, expose only their agents")
        parser.add_argument("-a", "--agent", metavar="NAME", help="expose only this agent (CHAT_AGENT)")
        parser.add_argument("-l", "--listen", metavar="ADDR", help="host:port or [v6]:port, default 127.0.0.1:8083 (CHAT_LISTEN)")
        parser.add_argument("--cors-origin", metavar="ORIGINS", help="comma list of origins, * or ~regex (CHAT_CORS_ORIGIN)")
        parser.add_argument("--api-key", metavar="TOKEN", help="static bearer key (CHAT_API_KEY)")
        parser.add_argument("--api-key-env", metavar="NAME", help="variable that holds the static key (CHAT_API_KEY_ENV)")
        parser.add_argument("--max-request-size", metavar="BYTES", help="default 1MiB (CHAT_MAX_REQUEST_SIZE)")
        parser.add_argument("--request-timeout", metavar="DUR", help="default 5m (CHAT_REQUEST_TIMEOUT)")
        parser.add_argument("--conversations-max", type=int, metavar="N", help="default 0: off (CHAT_CONVERSATIONS_MAX)")
        parser.add_argument("--conversation-ttl", metavar="DUR", help="default 30m (CHAT_CONVERSATION_TTL)")
        parser.add_argument("--max-idle-runtimes", type=int, metavar="N", help="default 4 (CHAT_MAX_IDLE_RUNTIMES)")
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne", help="default daphne")

    def handle(self, *args: Any, **options: Any) -> None:
        address = _configure(options)
        exposed = starting.apart(_prepare, options["files"])
        _pin(options["agent"] or settings.CHAT_AGENT, exposed)
        if not settings.REDIS_URL:
            self.stderr.write("REDIS_URL is not set: conversations and limits live in the memory of this one process.")
        try:
            bound, address = serving.bind(address)
        except OSError as error:
            raise CommandError(f"cannot listen on {address}: {error.strerror or error}") from error
        connections.close_all()
        serving.run(starting.application(), bound, options["server"], lambda: self._announce(address))

    def _announce(self, address: serving.Address) -> None:
        self.stdout.write(f"Listening on {address}")
        self.stdout.write(f"OpenAI-compatible chat completions endpoint: http://{address}/v1/chat/completions")
        self.stdout.flush()


def _configure(options: dict[str, Any]) -> serving.Address:
    """Sets this process's settings. Raises CommandError, exit 2."""
    try:
        address = chatoptions.listen(options)
        for name, value in chatoptions.settings_for(options, address, settings).items():
            setattr(settings, name, value)
    except chatoptions.OptionError as error:
        raise CommandError(str(error), returncode=2) from error
    refuse_unsafe(checks.before_serving(address, anonymous=settings.CHAT_ANONYMOUS))
    return address


def _prepare(files: list[Path]) -> list[str]:
    """Brings the database up to date; names of the agents that the files allow ([]: all)."""
    with starting.one_at_a_time():
        if not files:
            starting.prepare()
            return list(settings.CHAT_AGENTS)
        starting.migrate()
        exposed = _applied(files)
        starting.seed_prices()
    return exposed


def _applied(files: list[Path]) -> list[str]:
    """Names of the files' agents. Raises CommandError, exit 2."""
    from agents.agentsfile import ApplyError  # here, as everything that serving does without
    from config.management.commands.agents import apply_files

    try:
        changes = apply_files(files)
    except ApplyError as error:
        raise CommandError(f"nothing was changed\n{error}", returncode=2) from error
    return [change.name for change in changes if change.kind == "agent"]


def _pin(name: str, exposed: list[str]) -> None:
    """Exposes `exposed` only, or `name` alone. Raises CommandError, exit 2, when there is no such published agent."""
    if name and (not Agent.objects.filter(name=name, published__isnull=False).exists() or (exposed and name not in exposed)):
        raise CommandError(f'agent "{name}" not found', returncode=2)
    settings.CHAT_AGENT = name
    settings.CHAT_AGENTS = [name] if name else exposed
