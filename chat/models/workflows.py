"""Workflows and the states of them that can be run."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from agents.ids import uuid7
from agents.models import Agent

check_workflow_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z", "Letters, digits, . _ and -, beginning with a letter or digit."
)


class Workflow(models.Model):
    """Named steps that an agent's users may run (WS-54 …): `agent` is its host; who may use that may run it, its managers edit it.

    `definition` is checked when it is saved (chat.workflows); each saved change is a new WorkflowVersion, and a run keeps its own.
    `editor` is who saved last: its steps may ask the agents that the editor, or the caller, may use.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="workflows")
    name = models.CharField(
        max_length=128, unique=True, validators=[check_workflow_name], help_text="What clients send as workflow_id. Letters, digits, . _ -"
    )
    display_name = models.CharField(max_length=80, blank=True)
    description = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(default=True)
    definition = models.JSONField()
    version = models.PositiveIntegerField(default=0, editable=False)
    editor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.display_name or self.name


class WorkflowVersion(models.Model):
    """A state of a workflow that could be run. Never changed."""

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    editor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["workflow", "number"], name="one_workflow_version_number")]

    def __str__(self) -> str:
        return f"{self.workflow} v{self.number}"
