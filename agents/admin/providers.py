"""Providers: where models are served, and whether they answer."""

import math
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.html import format_html

from agents import health, versions
from agents.admin.base import ModelAdmin, ModelForm, shown
from agents.admin.buttons import button
from agents.admin.formfields import ReadableJSONField, SecretField
from agents.models import Provider
from agents.providers import circuits

NEEDS_KEY = frozenset((Provider.Kind.ANTHROPIC, Provider.Kind.GOOGLE))


class ProviderForm(ModelForm[Provider]):
    api_key = SecretField(
        label="API key", help_text="Stored encrypted and never shown again. Local servers such as Ollama or vLLM need none."
    )
    headers = SecretField(
        label="Extra headers", json_object=True, help_text='A JSON object, for example {"X-Team": "ops"}. Stored encrypted.'
    )
    options = ReadableJSONField(help_text="Settings of this kind as JSON; for the demo provider its default script. Usually empty.")

    class Meta:
        model = Provider
        fields = (
            "name", "kind", "base_url", "api_key", "headers",
            "connect_timeout_s", "first_token_timeout_s", "idle_timeout_s", "max_retries", "fetches_urls", "options",
        )  # fmt: skip
        help_texts = {
            "name": "Your own short name for it, such as openai or local.",
            "kind": "OpenAI-compatible covers OpenAI, OpenRouter, Ollama, vLLM, Groq, Mistral, DeepSeek and most others.",
            "base_url": "Up to and including /v1, for example http://localhost:11434/v1 for Ollama. Empty: the vendor's own address.",
            "connect_timeout_s": "How long reaching the provider may take.",
            "first_token_timeout_s": "How long a model may think before its first word.",
            "idle_timeout_s": "How long it may fall silent in the middle of an answer.",
            "max_retries": "Tries after the first one, when the provider is busy or unreachable. Only before the first word.",
            "fetches_urls": "On: web addresses of images are passed on. Off: they are refused.",
        }

    def clean_options(self) -> Any:
        return self.cleaned_data["options"] or {}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("kind") in NEEDS_KEY and not cleaned.get("api_key") and "api_key" not in self.errors:
            self.add_error("api_key", "This kind of provider needs a key.")
        return cleaned


@admin.register(Provider)
class ProviderAdmin(ModelAdmin[Provider]):
    empty_help = "A provider is where models are served: a vendor with your key, or a server of your own. It is tried when you save it."
    form = ProviderForm
    list_display = ("name", "kind", "address", "connection", "models_served", "agents_count")
    list_filter = ("kind",)
    search_fields = ("name", "base_url")
    change_form_outer_before_template = "admin/agents/provider/status.html"
    fieldsets = (
        (None, {"fields": (("name", "kind"), "base_url", "api_key")}),
        ("Patience", {"classes": ["tab"], "fields": (("connect_timeout_s", "first_token_timeout_s"), ("idle_timeout_s", "max_retries"))}),
        ("More", {"classes": ["tab"], "fields": ("headers", "fetches_urls", "options")}),
    )

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "test", self._test), *super().get_urls()]

    def _test(self, request: HttpRequest, provider: Provider) -> None:
        answer = health.test(provider)
        messages.add_message(request, messages.SUCCESS if answer.ok else messages.ERROR, f"{provider.name}: {answer.text}")

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        """A new or changed connection is tried at once: an operator should not learn of a wrong key from a user."""
        super().save_model(request, obj, form, change)
        if {"kind", "base_url", "api_key", "headers", "options"} & set(form.changed_data) or not change:
            answer = health.test(obj)
            messages.add_message(request, messages.SUCCESS if answer.ok else messages.WARNING, f"Connection: {answer.text}")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, perms, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, perms, [*protected, *(f"Published {agent}" for row in objs for agent in versions.users_of(row))]

    @shown("address")
    def address(self, provider: Provider) -> str:
        return provider.base_url or ("in this process" if provider.kind == Provider.Kind.DEMO else "the vendor's own")

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        original = context.get("original")
        left_alone_s = circuits.open_s(str(original.pk)) if original else 0
        return super().render_change_form(request, context | {"left_alone_s": math.ceil(left_alone_s)}, *args, **options)

    @shown("connection", label={"Answers": "success", "Fails": "danger", "Not tested": "info", "Left alone": "warning"})
    def connection(self, provider: Provider) -> str:
        if circuits.open_s(str(provider.pk)):
            return "Left alone"
        return {True: "Answers", False: "Fails", None: "Not tested"}[provider.last_check_ok]

    @shown("models")
    def models_served(self, provider: Provider) -> str:
        return str(len(provider.served_models)) if provider.served_models else "–"

    @shown("agents")
    def agents_count(self, provider: Provider) -> str:
        return format_html("{}", provider.agents.count())
