"""Runs, and what is kept of them while they go on and after."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.ids import uuid7
from agents.models import Agent, ApiKey
from chat.models.conversations import ChatSession, Wire
from chat.models.workflows import Workflow


class Execution(models.Model):
    """One run of one agent, whatever started it. A terminal status is written by compare-and-set, once (R0.8)."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PAUSED = "paused"
        SUCCESS = "success"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SKIPPED = "skipped"

    class Trigger(models.TextChoices):
        CHAT = "chat"
        TASK = "task"
        SCHEDULE = "schedule"
        PUBLIC = "public"
        PAID = "paid"
        VOICE = "voice"
        WORKFLOW = "workflow"
        WEBHOOK = "webhook"
        MCP = "mcp"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, null=True, on_delete=models.SET_NULL, related_name="executions", db_index=False)
    agent_name = models.CharField(max_length=64)
    agent_version = models.PositiveIntegerField(default=0)
    session = models.ForeignKey(ChatSession, null=True, on_delete=models.SET_NULL, related_name="executions", db_index=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="executions", db_index=False)
    principal = models.CharField(max_length=200, help_text="Who asked, as Principal.key.")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.CHAT)
    wire = models.CharField(max_length=16, choices=Wire.choices, null=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.RUNNING)
    message = models.TextField(blank=True, help_text="The text that was asked.")
    response = models.TextField(blank=True, default="", db_default="")
    finish_reason = models.CharField(max_length=16, blank=True, default="", db_default="")
    error_code = models.CharField(max_length=40, blank=True, default="", db_default="")
    error = models.CharField(max_length=500, blank=True, default="", db_default="", help_text="The fixed sentence the caller saw.")
    error_detail = models.TextField(blank=True, default="", db_default="", help_text="Scrubbed text of the provider or tool, for managers.")
    steps = models.JSONField(
        default=list, db_default=[], help_text="One object per model call: model, usage, time; without a conversation its parts."
    )
    usage = models.JSONField(default=dict, db_default={})
    input_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    output_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True)
    context_tokens = models.PositiveIntegerField(default=0, db_default=0)
    context_window = models.PositiveIntegerField(default=0)
    model_used = models.CharField(max_length=128, blank=True)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveBigIntegerField(null=True)
    queue_ms = models.PositiveBigIntegerField(null=True)
    first_token_ms = models.PositiveBigIntegerField(null=True)
    model_ms = models.PositiveBigIntegerField(null=True)
    last_seq = models.PositiveIntegerField(default=0, db_default=0)
    process = models.CharField(max_length=64, blank=True, help_text="The process that runs it.")
    lease_until = models.DateTimeField(null=True)
    paused_state = models.JSONField(null=True, help_text="What a paused run needs to go on.")
    attempt_number = models.PositiveSmallIntegerField(default=1, db_default=1)
    max_attempts = models.PositiveSmallIntegerField(default=1, db_default=1)
    priority = models.PositiveSmallIntegerField(default=5, db_default=5, help_text="Of waiting tasks: higher starts first (AG-31).")
    not_before = models.DateTimeField(null=True, help_text="A waiting task starts no earlier (the pause before a retry).")
    work = models.JSONField(null=True, help_text="What a run without a client needs to start: a task's request.")
    workflow = models.ForeignKey(Workflow, null=True, on_delete=models.SET_NULL, related_name="executions", db_index=False)
    workflow_version = models.PositiveIntegerField(null=True, help_text="The version that it runs, whatever is saved meanwhile.")
    schedule_id = models.UUIDField(null=True)
    callback_url = models.CharField(max_length=2000, blank=True, default="", db_default="")
    unreported = models.BooleanField(null=True, help_text="Whoever waits for its end (deliveries, retries) is still to be told of it.")
    skip_reason = models.CharField(max_length=40, blank=True, default="", db_default="")
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    request_id = models.CharField(max_length=128, blank=True)
    labels = models.JSONField(default=dict, help_text="What the caller said of the call (user, metadata, task names).")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=["agent", "created_at"], name="execution_list"),
            models.Index(fields=["owner", "agent", "created_at"], name="execution_list_owner"),
            models.Index(fields=["session", "created_at"], name="execution_of_session"),
            models.Index(fields=["schedule_id", "created_at"], name="execution_of_schedule", condition=Q(schedule_id__isnull=False)),
            models.Index(
                fields=["agent", "-priority", "created_at"], name="task_waiting", condition=Q(status="queued", work__isnull=False)
            ),
            models.Index(fields=["agent"], name="task_held", condition=Q(work__isnull=False, lease_until__isnull=False)),
            models.Index(fields=["status", "lease_until"], name="execution_open", condition=Q(status__in=["queued", "running", "paused"])),
            models.Index(fields=["completed_at"], name="execution_unreported", condition=Q(unreported=True)),
            models.Index(fields=["workflow", "created_at"], name="execution_of_workflow", condition=Q(workflow__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.agent_name} {self.status} {self.id}"


class Approval(models.Model):
    """A server tool call that waits for a decision (R15). `decision` is empty while it is pending."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="approvals")
    tool_call_id = models.CharField(max_length=64)
    name = models.CharField(max_length=64)
    arguments = models.JSONField()
    approver = models.CharField(max_length=8, default="caller")
    decision = models.CharField(max_length=8, blank=True, help_text="approved or denied")
    decided_arguments = models.JSONField(null=True)
    reason = models.CharField(max_length=1000, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)
    announced = models.BooleanField(default=False, help_text="The run went on with this decision.")
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["execution", "tool_call_id"], name="one_approval_per_call")]
        indexes = [models.Index(fields=["expires_at"], name="approval_pending", condition=Q(decision=""))]

    def __str__(self) -> str:
        return f"{self.name} ({self.decision or 'pending'})"


class IdempotencyRecord(models.Model):
    """One used Idempotency-Key (R4): unique on a hash of principal, route, agent and key; points at the execution."""

    key_hash = models.CharField(max_length=64, primary_key=True)
    fingerprint = models.CharField(max_length=64)
    execution_id = models.UUIDField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.key_hash


class Checkpoint(models.Model):
    """Text of a running turn so far, appended about once a second: what survives kill -9 without Redis."""

    id = models.BigAutoField(primary_key=True)
    execution_id = models.UUIDField()
    to_seq = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["execution_id", "id"], name="checkpoint_of_execution")]

    def __str__(self) -> str:
        return f"{self.execution_id} to {self.to_seq}"


class ClientCall(models.Model):
    """A model step that ended in client tool calls after server tools ran (OAI-29), found again by one of its call ids."""

    id = models.BigAutoField(primary_key=True)
    principal = models.CharField(max_length=200)
    agent_name = models.CharField(max_length=64)
    call_id = models.CharField(max_length=200)
    messages = models.JSONField(help_text="The step as provider messages: the assistant's, then the server tools' results.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["principal", "agent_name", "call_id"], name="client_call_lookup")]

    def __str__(self) -> str:
        return self.call_id


class FinishedStep(models.Model):
    """A step of a workflow's run that is over: what a later attempt goes on from. `path` names it in the graph: `each[3].summarize`.

    `shown` is what watchers are told of `output`, where that is too large (WS-57). `parts`, `steps`, `spent`: what it adds to its run.
    A path that ends in `!` and a mark is a try that is not over, or came to nothing, with what it has `spent`.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="finished_steps", db_index=False)
    path = models.CharField(max_length=400)
    output = models.JSONField(null=True)
    shown = models.JSONField(null=True)
    error = models.CharField(max_length=500, blank=True)
    parts = models.JSONField(default=list)
    steps = models.JSONField(default=list)
    spent = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["execution", "path"], name="one_end_per_step")]

    def __str__(self) -> str:
        return f"{self.path} of {self.execution_id}"


class ToolCall(models.Model):
    """A call of one of an agent's own tools that is over, in numbers (AG-28); what it said is in the parts of its run.

    `ok` is null for a call that was cut off. No foreign keys: nothing may hinder the end of a run from being stored.
    """

    call_id = models.CharField(max_length=64, primary_key=True)
    execution_id = models.UUIDField()
    agent_id = models.UUIDField()
    owner_id = models.BigIntegerField(null=True)
    name = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    duration_ms = models.PositiveBigIntegerField()
    ok = models.BooleanField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["agent_id", "started_at"], name="tool_call_list"),
            models.Index(fields=["agent_id", "owner_id", "started_at"], name="tool_call_list_owner"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.call_id}"


class ActivityCleared(models.Model):
    """A user's own summary of an agent's activity shows nothing before this moment (AG-29)."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+")
    cleared_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "agent"], name="one_clearing_per_user")]

    def __str__(self) -> str:
        return f"{self.agent} {self.cleared_at}"
