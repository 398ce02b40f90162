"""`manage.py create_api_key USER`: a new key on standard output, alone, so that scripts can take it."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from agents.access import ALL_SCOPES
from agents.models import Agent, ApiKey


class Command(BaseCommand):
    help = "Creates an API key of a user and prints it once; it cannot be shown again."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="user name of the owner")
        parser.add_argument("--name", default="command line", help="what the key is for")
        parser.add_argument(
            "--scope", nargs="+", action="extend", default=[], metavar="SCOPE", help="run, read, manage, knowledge (default: all)"
        )
        parser.add_argument(
            "--agent", nargs="+", action="extend", default=[], metavar="NAME", help="agents it may use (default: all of the owner's)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        owner = get_user_model()._default_manager.filter(username=options["user"]).first()
        if owner is None:
            raise CommandError(f"there is no user {options['user']!r}")
        with transaction.atomic():
            key, plain = ApiKey.issue(owner=owner, name=options["name"][:80], scopes=_scopes(options["scope"]))
            key.agents.set([_agent(name) for name in options["agent"]])
        self.stdout.write(plain)


def _scopes(names: list[str]) -> list[str]:
    unknown = [name for name in names if name not in ALL_SCOPES]
    if unknown:
        raise CommandError(f"{unknown[0]!r} is no scope; there are {', '.join(sorted(ALL_SCOPES))}")
    return sorted(set(names) or ALL_SCOPES)


def _agent(name: str) -> Agent:
    agent = Agent.objects.filter(name=name).first()
    if agent is None:
        raise CommandError(f"there is no agent {name!r}")
    return agent
