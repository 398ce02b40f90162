"""`manage.py agents apply FILE…` and `manage.py agents list`."""

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from agents import agentsfile
from agents.apply import Change, apply
from agents.models import Agent


class Command(BaseCommand):
    help = "Agents from files: `apply` makes the site what the files say, `list` shows what there is."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("apply", help="Apply files; docs/operating.md has the format.").add_argument("files", nargs="+", type=Path)
        actions.add_parser("list", help="Name, state, access, provider and model of every agent.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            return self._list()
        try:
            for change in apply_files(options["files"]):
                self.stdout.write(str(change))
        except agentsfile.ApplyError as error:
            raise CommandError(f"nothing was changed\n{error}") from error

    def _list(self) -> None:
        for agent in Agent.objects.select_related("provider", "published"):
            state = f"v{agent.published.number}" if agent.published else "draft"
            state += "" if agent.enabled else " (disabled)"
            self.stdout.write(f"{agent.name:<24} {state:<8} {agent.access:<10} {agent.provider.name}: {agent.model}")


@transaction.atomic
def apply_files(paths: list[Path]) -> list[Change]:
    """Applies the files together: all of them or none. Raises ApplyError."""
    files = [agentsfile.read(path, os.environ) for path in paths]
    changes = [change for file in files for change in apply(file)]
    if any(file.workflows for file in files):
        from chat.workflows import applying  # and a template language: for files that have some

        changes += applying.apply([entry for file in files for entry in file.workflows])
    return changes
