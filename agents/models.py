"""Rows of what an agent is: providers, tools, agents with a draft and published versions, API keys, user profiles, files.

Wires never read these: agents.directory turns published versions into specs. `CatalogVersion` counts every change.
"""

import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from agents import answerschema
from agents.fields import EncryptedTextField
from agents.ids import uuid7

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TOOL_NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
check_name = RegexValidator(NAME_PATTERN, "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit.")
check_base_url = RegexValidator(r"\Ahttps?://[^\s/?#@]+(/[^\s?#]*)?\Z", "An address like https://api.example.com/v1, without a query.")
check_tool_name = RegexValidator(TOOL_NAME_PATTERN, "1 to 64 letters, digits, '_' or '-'.")


def check_output_schema(value: Any) -> None:
    if problem := answerschema.problem(value):
        raise ValidationError(problem)


class CatalogVersion(models.Model):
    """One row (id 1): a counter that moves with every change to what the directory caches, in the same transaction."""

    counter = models.BigIntegerField(default=1)

    def __str__(self) -> str:
        return str(self.counter)


class FirstStart(models.Model):
    """A row for each part of the first start that was made (1: agents, 2: administrator). What was deleted does not come back."""

    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.pk)


class Provider(models.Model):
    """Where models are served."""

    class Kind(models.TextChoices):
        OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"
        ANTHROPIC = "anthropic", "Anthropic"
        GOOGLE = "google", "Google Gemini"
        DEMO = "demo", "Demo (no key, no network)"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64, unique=True, validators=[check_name])
    kind = models.CharField(max_length=32, choices=Kind.choices, default=Kind.OPENAI_COMPATIBLE)
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[check_base_url],
        help_text="Up to and including /v1. Empty: the vendor's own address.",
    )
    api_key = EncryptedTextField(blank=True, help_text="Stored encrypted, never shown again. Leave empty to keep the present one.")
    headers = EncryptedTextField(blank=True, help_text='Extra request headers as JSON, for example {"X-Team": "ops"}. Stored encrypted.')
    connect_timeout_s = models.FloatField("connect timeout (s)", default=10, validators=[MinValueValidator(0.1)])
    first_token_timeout_s = models.FloatField("first-token timeout (s)", default=120, validators=[MinValueValidator(0.1)])
    idle_timeout_s = models.FloatField("idle timeout (s)", default=60, validators=[MinValueValidator(0.1)])
    max_retries = models.PositiveSmallIntegerField(default=2, validators=[MaxValueValidator(10)], help_text="Before the first token only.")
    fetches_urls = models.BooleanField("fetches image URLs itself", default=True, help_text="Off: remote image URLs are refused.")
    options = models.JSONField(default=dict, blank=True, help_text="Settings of this kind; for the demo provider its default script.")
    last_checked_at = models.DateTimeField(null=True, editable=False)
    last_check_ok = models.BooleanField(null=True, editable=False)
    last_check_text = models.CharField(max_length=500, blank=True, editable=False)
    served_models = models.JSONField(default=list, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Tool(models.Model):
    """A function agents may be given. Secrets are referenced in the config as {{secret:NAME}}."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64, unique=True, validators=[check_tool_name], help_text="The function's name as the model sees it.")
    kind = models.CharField(max_length=32)
    description = models.TextField(blank=True, help_text="What the model is told about it. Empty: the kind's own description.")
    config = models.JSONField(default=dict, blank=True)
    secrets = EncryptedTextField(blank=True, help_text='JSON object of names and values, for example {"token": "…"}. Stored encrypted.')
    timeout_s = models.FloatField("time limit (s)", default=30, validators=[MinValueValidator(0.1), MaxValueValidator(600)])
    masked_arguments = models.JSONField(default=list, blank=True, help_text="Names of arguments whose values are never shown.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Agent(models.Model):
    """An agent. Its own columns are the draft; callers meet the published AgentVersion. Access and `enabled` act at once."""

    class Access(models.TextChoices):
        PRIVATE = "private", "Private: owner, co-managers and administrators"
        SHARED = "shared", "Shared with the users and groups below"
        SIGNED_IN = "signed_in", "Any signed-in user"

    class TurnPolicy(models.TextChoices):
        QUEUE = "queue", "Queue: the second turn waits"
        REJECT = "reject", "Reject: the second turn is refused"
        INTERRUPT = "interrupt", "Interrupt: the running turn is stopped"

    class OutputMode(models.TextChoices):
        TEXT = "text", "Text"
        JSON_OBJECT = "json_object", "Any JSON object"
        JSON_SCHEMA = "json_schema", "JSON that matches the schema below"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(
        max_length=64, unique=True, validators=[check_name], help_text="What callers write as `model`. Letters, digits, . _ -"
    )
    display_name = models.CharField(max_length=80, blank=True)
    description = models.CharField(max_length=500, blank=True)
    avatar = models.CharField("avatar emoji", max_length=16, blank=True)
    instructions = models.TextField(blank=True, max_length=40_000, help_text="Variables: {{date}}, {{time}}, {{user}}, {{agent}}.")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="agents")
    model = models.CharField(max_length=128, help_text="A model that the provider serves.")
    fallbacks = models.JSONField(
        default=list, blank=True, help_text='Tried in order before the first token: [{"provider": "name", "model": "name"}].'
    )
    context_window = models.PositiveIntegerField("context window (tokens)", default=128_000, validators=[MinValueValidator(256)])
    temperature = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)])
    top_p = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.000001), MaxValueValidator(1)])
    max_tokens = models.PositiveIntegerField("max output tokens", null=True, blank=True, validators=[MinValueValidator(1)])
    stop = models.JSONField("stop sequences", default=list, blank=True)
    reasoning_effort = models.CharField(max_length=16, blank=True)
    sampling_locked = models.BooleanField(default=False, help_text="Callers may not change temperature, top_p and the like.")
    allowed_models = models.JSONField(default=list, blank=True, help_text="Other models callers may ask for on the agents API.")
    unsupported_parameters = models.JSONField(default=list, blank=True, help_text="Request parameters this model does not know.")
    max_steps = models.PositiveSmallIntegerField(default=20, validators=[MinValueValidator(1), MaxValueValidator(100)])
    run_timeout_s = models.PositiveIntegerField(
        "run timeout of tasks (s)", default=3600, validators=[MinValueValidator(1), MaxValueValidator(86_400)]
    )
    turn_policy = models.CharField(
        "second turn on a busy conversation", max_length=16, choices=TurnPolicy.choices, default=TurnPolicy.QUEUE
    )
    max_parallel_runs = models.PositiveIntegerField(default=0, help_text="Turns at a time over all wires. 0: no limit.")
    max_queued_chats = models.PositiveIntegerField(default=20)
    max_parallel_tasks = models.PositiveIntegerField(default=10, validators=[MinValueValidator(1)])
    max_queued_tasks = models.PositiveIntegerField(default=1000)
    client_tools = models.CharField(
        max_length=8, choices=[("pass", "Pass to the model"), ("ignore", "Ignore"), ("list", "Only those named below")], default="pass"
    )
    client_tool_names = models.JSONField(default=list, blank=True)
    caller_instructions = models.BooleanField("callers may add instructions", default=True)
    show_reasoning = models.BooleanField("show reasoning to callers", default=False)
    accept_images = models.BooleanField("accept images", default=False)
    accept_audio = models.BooleanField("model takes audio", default=False)
    accept_files = models.BooleanField("model takes files", default=False)
    max_body_bytes = models.PositiveIntegerField(
        "body limit (bytes)", default=0, help_text="0: the site's limit, or 10 MiB when images are accepted."
    )
    output_mode = models.CharField(max_length=16, choices=OutputMode.choices, default=OutputMode.TEXT)
    output_schema = models.JSONField(null=True, blank=True, validators=[check_output_schema])
    approval_notice = models.CharField(max_length=500, default="This step needs approval before it can continue.")
    conversation_starters = models.JSONField(default=list, blank=True)
    enabled = models.BooleanField(default=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="owned_agents")
    managers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="managed_agents", verbose_name="co-managers")
    access = models.CharField(max_length=16, choices=Access.choices, default=Access.PRIVATE)
    shareable = models.BooleanField("may be shared by public links", default=True)
    require_email = models.BooleanField("visitors must verify an e-mail address", default=False)
    shared_users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    shared_groups = models.ManyToManyField(Group, blank=True, related_name="+")
    published = models.ForeignKey("AgentVersion", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.display_name or self.name


class AgentTool(models.Model):
    """A tool given to an agent's draft."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="agent_tools")
    tool = models.ForeignKey(Tool, on_delete=models.PROTECT, related_name="agent_tools")
    requires_approval = models.BooleanField(default=False)
    approver = models.CharField(max_length=8, choices=[("caller", "The caller"), ("manager", "A manager")], default="caller")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "tool"], name="one_tool_once")]

    def __str__(self) -> str:
        return self.tool.name


class AgentVersion(models.Model):
    """A published state of an agent: `config` is what agents.versions.snapshot() made of the draft. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    config = models.JSONField()
    note = models.CharField(max_length=100, blank=True)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="one_version_number")]

    def __str__(self) -> str:
        return f"{self.agent.name} v{self.number}"


def hash_key(key: str) -> str:
    """SHA-256 of a random key: enough, and it costs nothing per call (design.md §4)."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_secret() -> str:
    """A secret that signs messages between this site and others."""
    return f"whsec_{secrets.token_urlsafe(32)}"


class ApiKey(models.Model):
    """A key of one user. Only its hash is stored; the plain key is shown once (R1.3)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, editable=False)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list, help_text="Of run, read, manage, knowledge.")
    agents = models.ManyToManyField(Agent, blank=True, related_name="+", help_text="None chosen: all agents the owner may use.")
    default_agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    rpm = models.PositiveIntegerField("requests per minute", null=True, blank=True, help_text="Empty: the site's limit. 0: no limit.")
    tpm = models.PositiveIntegerField("tokens per minute", null=True, blank=True, help_text="Empty: the site's limit. 0: no limit.")
    created_at = models.DateTimeField(auto_now_add=True)

    plain = ""
    """The plain text, on the instance that was just issued and nowhere else."""

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def issue(cls, **fields: Any) -> tuple["ApiKey", str]:
        """A new stored key and its plain text, `sk-` + 43 URL-safe characters; the plain text is kept nowhere."""
        key = cls(**fields)
        key.renew()
        key.save(force_insert=True)
        return key, key.plain

    def renew(self) -> None:
        """Gives an unsaved key its text."""
        self.plain = "sk-" + secrets.token_urlsafe(32)
        self.prefix, self.hash = self.plain[:10], hash_key(self.plain)


class UserProfile(models.Model):
    """What Switchboard knows of a user beyond Django: default agent (RUN-6) and the generation its JWTs must carry."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="profile")
    default_agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    token_generation = models.PositiveIntegerField(default=0, help_text="Raising it signs the user out everywhere.")
    callback_secret = EncryptedTextField(blank=True, help_text="Signs results that are sent to a task's callback_url (AG-52).")

    def __str__(self) -> str:
        return str(self.user)


class Attachment(models.Model):
    """A file of one owner (UI-67). `deleted_at`: the bytes are gone, name and size stay (UI-68)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="attachments")
    namespace = models.CharField(max_length=200)
    name = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=127)
    size_bytes = models.PositiveBigIntegerField()
    file = models.FileField(upload_to="attachments/%Y/%m/", blank=True, max_length=255)
    text = models.TextField(blank=True)
    text_status = models.CharField(max_length=16, default="none", help_text="none, pending, ready, failed")
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["namespace", "-created_at"])]

    def __str__(self) -> str:
        return self.name
