"""Conversations and what was said in them."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from agents.ids import uuid7
from agents.models import Agent


class Wire(models.TextChoices):
    OPENAI = "openai", "OpenAI"
    RUN = "run", "Run"
    AGENTS = "agents", "Agents API"
    WEBSOCKET = "websocket", "WebSocket"
    UIMESSAGE = "uimessage", "UI messages"
    VOICE = "voice", "Voice"
    PAID = "paid", "Paid"
    PUBLIC = "public", "Public link"
    MCP = "mcp", "MCP"


class ChatSession(models.Model):
    """A conversation of one principal with one agent. `namespace` + `name` are what clients call it (R2.2).

    `version` moves with every change of its history; caches hold the version they were made from (RUN-32).
    `next_position` numbers its messages.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        CLOSED = "closed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    namespace = models.CharField(max_length=200)
    name = models.CharField(max_length=128, null=True, blank=True)
    agent = models.ForeignKey(Agent, null=True, on_delete=models.SET_NULL, related_name="sessions", db_index=False)
    agent_name = models.CharField(max_length=64)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="chat_sessions", db_index=False)
    wire = models.CharField(max_length=16, choices=Wire.choices)
    title = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    version = models.PositiveIntegerField(default=0)
    next_position = models.PositiveIntegerField(default=0)
    message_count = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True, help_text="Of the runs whose price is known; null: of none.")
    context_tokens = models.PositiveIntegerField(default=0, help_text="Input size of the last model call.")
    paused_execution_id = models.UUIDField(null=True, help_text="The run that waits for approvals (R8.5).")
    created_at = models.DateTimeField(default=timezone.now)
    last_message_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="one_conversation_per_name")]
        indexes = [
            models.Index(fields=["owner", "agent", "status", "last_message_at"], name="session_list"),
            models.Index(fields=["agent", "last_message_at"], name="session_list_manager"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Message(models.Model):
    """One entry of a session. `parts` are canonical JSON parts (chat/parts.py); `text` is their text, for search and lists.

    `in_history` false: stored, but no model sees it (OAI-54). `active` false: left by a branch (AG-26).
    """

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    class Status(models.TextChoices):
        PENDING = "pending"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="messages", db_index=False)
    execution_id = models.UUIDField(null=True, db_index=True)
    position = models.PositiveIntegerField()
    role = models.CharField(max_length=9, choices=Role.choices)
    parts = models.JSONField(default=list)
    text = models.TextField(blank=True)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PENDING)
    incomplete = models.BooleanField(default=False, db_default=False)
    in_history = models.BooleanField(default=True)
    active = models.BooleanField(default=True, db_default=True)
    parent_id = models.UUIDField(null=True)
    source = models.CharField(max_length=8, default="text", db_default="text", help_text="text, voice or task")
    client_id = models.CharField(max_length=200, blank=True, default="", db_default="")
    client_metadata = models.JSONField(null=True)
    rating = models.SmallIntegerField(null=True)
    rating_comment = models.CharField(max_length=2000, blank=True, default="", db_default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["position"]
        indexes = [models.Index(fields=["session", "position"], name="session_messages")]

    def __str__(self) -> str:
        return f"{self.role}: {self.text[:60]}"


class CurrentSession(models.Model):
    """Which conversation a user's next message to an agent goes to (AG-10); moved by compare-and-set."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(ChatSession, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "agent"], name="one_current_session")]

    def __str__(self) -> str:
        return str(self.session_id)
