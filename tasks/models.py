"""Rows of turns without a client: schedules and their claims, webhooks in and out."""

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from agents.fields import EncryptedTextField
from agents.ids import uuid7
from agents.models import Agent
from chat.models import Workflow
from tasks.cron import next_fire, zone_for


class Schedule(models.Model):
    """When an agent is asked by itself: a cron expression or one moment (AG-41). `next_run_at` is recomputed on every change and firing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="schedules")
    name = models.CharField(max_length=100)
    cron_expression = models.CharField(max_length=200, blank=True, help_text="Five fields: minute hour day month weekday.")
    run_at = models.DateTimeField(null=True, blank=True, help_text="One moment instead of a cron expression.")
    timezone = models.CharField(max_length=64, default="UTC")
    message = models.TextField()
    description = models.CharField(max_length=500, blank=True)
    enabled = models.BooleanField(default=True)
    model = models.CharField(max_length=128, blank=True)
    timeout_s = models.PositiveIntegerField(
        "timeout (s)", null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(86_400)]
    )
    allowed_tools = models.JSONField(null=True, blank=True, help_text="Names of tools. Empty: all of the agent.")
    max_retries = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(5)])
    retry_delay_s = models.PositiveIntegerField("retry delay (s)", default=60, validators=[MinValueValidator(30), MaxValueValidator(600)])
    session_id = models.UUIDField(null=True, blank=True, help_text="Run inside this conversation of the creator.")
    workflow = models.ForeignKey(
        Workflow,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="schedules",
        help_text="Run this instead of asking the agent.",
    )
    params = models.JSONField(null=True, blank=True, help_text="The workflow's named inputs; its message input gets the message.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    last_run_at = models.DateTimeField(null=True, editable=False)
    next_run_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["next_run_at"], name="schedule_due", condition=Q(enabled=True))]

    def __str__(self) -> str:
        return self.name

    def plan(self, now: datetime) -> None:
        """Sets when it fires next: never when it is switched off or has nothing left (AG-43). Raises invalid_cron, invalid_timezone."""
        self.next_run_at = self._next_run(now) if self.enabled else None

    def _next_run(self, now: datetime) -> datetime | None:
        if self.cron_expression:
            return next_fire(self.cron_expression, zone_for(self.timezone), now)
        return self.run_at if self.run_at is not None and self.run_at > now else None


class Firing(models.Model):
    """One run of one schedule: of a due time, claimed once however many schedulers run (AG-44), or asked for (without a due time).

    `execution_id` is its latest attempt; while it is `open`, a failed end is tried again.
    """

    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="firings", db_index=False)
    due_at = models.DateTimeField(null=True)
    execution_id = models.UUIDField()
    retries = models.PositiveSmallIntegerField(default=0)
    open = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["schedule", "due_at"], name="one_firing_per_due_time")]
        indexes = [models.Index(fields=["execution_id"], name="firing_open", condition=Q(open=True))]

    def __str__(self) -> str:
        return f"{self.schedule} at {self.due_at}"


class Webhook(models.Model):
    """An address that starts a run of an agent, or of one of its schedules, when it is called (AG-47)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="webhooks")
    schedule = models.OneToOneField(Schedule, null=True, blank=True, on_delete=models.CASCADE, related_name="webhook")
    token = EncryptedTextField(blank=True, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, null=True, editable=False)
    secret = EncryptedTextField(blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    last_called_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent"], condition=Q(schedule__isnull=True), name="one_webhook_per_agent")]

    def __str__(self) -> str:
        return f"webhook of {self.schedule or self.agent}"


class Endpoint(models.Model):
    """Where finished executions are delivered (AG-52)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    url = models.CharField("address", max_length=2000)
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.CASCADE, related_name="endpoints", help_text="Empty: all agents."
    )
    statuses = models.JSONField(default=list, blank=True, help_text="Only runs that ended so. Empty: all.")
    triggers = models.JSONField(default=list, blank=True, help_text="Only runs started so. Empty: all.")
    secret = EncryptedTextField(editable=False)
    previous_secret = EncryptedTextField(blank=True, editable=False, help_text="Signs too, for a day after a rotation.")
    rotated_at = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One ended run on its way to one address, with every try (AG-52): to an endpoint's, or to the `callback_url` of its task.

    What is sent is made anew for each try, so that nothing said outlives its conversation here. `tries_made` begins again
    when it is sent again by hand; `next_try_at` is also the claim of whoever tries at the moment.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(Endpoint, null=True, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    execution_id = models.UUIDField()
    url = models.CharField(max_length=2000)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    tries = models.JSONField(default=list, help_text="One object per try: at, status, error, duration_ms.")
    tries_made = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now, db_index=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "execution_id"], name="one_delivery_per_endpoint"),
            models.UniqueConstraint(fields=["execution_id"], condition=Q(endpoint__isnull=True), name="one_delivery_per_callback"),
        ]
        indexes = [models.Index(fields=["next_try_at"], name="delivery_due", condition=Q(status="pending"))]

    def __str__(self) -> str:
        return f"to {self.url}"
