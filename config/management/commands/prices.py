"""`manage.py prices seed`: stores the bundled price list; what an operator set stays."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing import pricelist


class Command(BaseCommand):
    help = "Model prices: `seed` stores what the bundled price list says and the database does not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["seed"])

    def handle(self, *args: Any, **options: Any) -> None:
        added = pricelist.seed()
        self.stdout.write(f"{added} prices added" if added else "unchanged")
