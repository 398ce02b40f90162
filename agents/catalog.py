"""The catalog counter: whoever writes a row that the directory caches moves it, in the same transaction.

Cache invalidation is the one thing model signals do here; no behaviour hangs on them. Bulk `update()` calls on these
models must call changed() themselves.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import F, Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from agents.models import Agent, AgentTool, AgentVersion, ApiKey, CatalogVersion, Provider, Tool, UserProfile

_local = 0


def changed(**_: Any) -> None:
    """Moves the counter; other processes see it at their next turn, this one when the transaction commits."""
    if not CatalogVersion.objects.filter(pk=1).update(counter=F("counter") + 1):
        CatalogVersion.objects.get_or_create(pk=1, defaults={"counter": 2})
    transaction.on_commit(_seen_here)


def local() -> int:
    """Counts the changes committed by this process: a cheap first look before the database's counter."""
    return _local


def _seen_here() -> None:
    global _local
    _local += 1


def watch() -> None:
    """Connects the models whose rows the directory caches."""
    watched: list[type[Model]] = [Agent, AgentTool, AgentVersion, ApiKey, Provider, Tool, UserProfile, get_user_model(), Group]
    for model in watched:
        post_save.connect(_row_changed, sender=model, dispatch_uid=f"catalog-save-{model.__name__}")
        post_delete.connect(_row_changed, sender=model, dispatch_uid=f"catalog-delete-{model.__name__}")
    user = get_user_model()
    for through in (Agent.managers, Agent.shared_users, Agent.shared_groups, ApiKey.agents, user.groups):
        m2m_changed.connect(_row_changed, sender=through.through, dispatch_uid=f"catalog-m2m-{through.through.__name__}")


def _row_changed(sender: Any, raw: bool = False, update_fields: Any = None, **_: Any) -> None:
    if raw or (update_fields and set(update_fields) <= {"last_login"}):
        return
    changed()
