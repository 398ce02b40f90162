"""Public links and who writes through them."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from agents.ids import uuid7
from agents.models import Agent


class ShareToken(models.Model):
    """A public link to an agent: whoever has the token may chat (AG-53). Its conversations are of namespace `link:<id>`."""

    class LinkType(models.TextChoices):
        CHAT = "chat", "Chat"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="share_tokens")
    token = models.CharField(max_length=32, unique=True, editable=False)
    name = models.CharField(max_length=100, blank=True)
    link_type = models.CharField(max_length=8, choices=LinkType.choices, default=LinkType.CHAT)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    expires_at = models.DateTimeField(null=True, blank=True)
    max_messages = models.PositiveIntegerField(null=True, blank=True, help_text="User messages in all. Empty: no limit.")
    total_messages = models.PositiveIntegerField(default=0, editable=False)
    unique_visitors = models.PositiveIntegerField(default=0, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "public link"

    def __str__(self) -> str:
        return self.name or f"{self.agent} ({self.token[:6]}…)"


class LinkVisitor(models.Model):
    """Who wrote through a link: a visitor counts once, however many first messages come at a moment (`unique_visitors`)."""

    link = models.ForeignKey(ShareToken, on_delete=models.CASCADE, related_name="+", db_index=False)
    name_hash = models.CharField(max_length=64, help_text="Of what the visitor's conversation is called.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["link", "name_hash"], name="one_count_per_visitor")]

    def __str__(self) -> str:
        return f"visitor of {self.link}"


class EmailCode(models.Model):
    """A one-time code sent to a visitor's address (AG-61); a new one voids those before."""

    link = models.ForeignKey(ShareToken, on_delete=models.CASCADE, related_name="+", db_index=False)
    email = models.CharField(max_length=254)
    code_hash = models.CharField(max_length=64)
    wrong_tries = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["link", "email"], name="one_code_per_address")]

    def __str__(self) -> str:
        return f"code for {self.link}"


class VisitorToken(models.Model):
    """What a visitor with a verified address holds for 24 hours (AG-61): only its hash is kept."""

    hash = models.CharField(max_length=64, primary_key=True)
    link = models.ForeignKey(ShareToken, on_delete=models.CASCADE, related_name="+")
    email = models.CharField(max_length=254)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"visitor of {self.link}"
