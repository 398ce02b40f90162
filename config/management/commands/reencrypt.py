"""`manage.py reencrypt`: after a new key was put first in ENCRYPTION_KEYS, stores every secret under it; then the old one can go."""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import models, transaction

from agents import catalog
from agents.fields import EncryptedTextField


class Command(BaseCommand):
    help = "Encrypts every stored secret with the first of ENCRYPTION_KEYS."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            for model in apps.get_models():
                if names := encrypted_columns(model):
                    self.stdout.write(f"{model._meta.verbose_name_plural}: {_store_again(model, names)}")
            catalog.changed()


def encrypted_columns(model: type[models.Model]) -> list[str]:
    return [field.name for field in model._meta.concrete_fields if isinstance(field, EncryptedTextField)]


def _store_again(model: type[models.Model], names: list[str]) -> int:
    """How many rows were read with the old keys and written with the new one. `updated_at` stays."""
    rows = list(model._default_manager.select_for_update())
    model._default_manager.bulk_update(rows, names, batch_size=200)
    return len(rows)
