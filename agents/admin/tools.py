"""Tools: functions that agents may be given."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from agents import versions
from agents.admin.base import ModelAdmin, ModelForm, person, shown
from agents.admin.formfields import LinesField, ReadableJSONField, SecretField
from agents.models import Tool
from agents.tools import TOOLS, kind_for

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "http: an operation of an OpenAPI document": {
        "openapi": "https://api.example.com/openapi.json",
        "operation": "getWeather",
        "headers": {"Authorization": "Bearer {{secret:token}}"},
    },
    "http: a request written by hand": {
        "method": "GET",
        "url": "https://api.example.com/orders/{order}",
        "headers": {"X-Api-Key": "{{secret:key}}"},
        "description": "State and contents of an order.",
        "parameters": {"type": "object", "required": ["order"], "properties": {"order": {"type": "integer"}}},
    },
    "clock: another time zone than UTC": {"timezone": "Europe/Oslo"},
}
"""What operators may write into the settings; docs/adding-a-tool.md has all of it."""


def _examples() -> SafeString:
    rows = ((title, json.dumps(config, indent=2)) for title, config in EXAMPLES.items())
    shown = format_html_join("", '<div class="sb-note">{}</div><pre class="sb-code">{}</pre>', rows)
    told = "Settings of this kind as JSON. {{secret:NAME}} stands for a secret below."
    return format_html('{}<details class="sb-fold"><summary>Examples</summary>{}</details>', told, shown)


class ToolForm(ModelForm[Tool]):
    kind = forms.ChoiceField(choices=[(kind, kind) for kind in TOOLS], widget=UnfoldAdminSelectWidget())
    config = ReadableJSONField(rows=10, help_text=_examples())
    secrets = SecretField(json_object=True, help_text='A JSON object, for example {"token": "…"}. Stored encrypted, never shown again.')
    masked_arguments = LinesField(help_text="One name a line: values of these arguments are shown to nobody, here neither.")

    class Meta:
        model = Tool
        fields = ("name", "kind", "description", "config", "secrets", "timeout_s", "masked_arguments", "owner")
        widgets = {"description": UnfoldAdminTextareaWidget(attrs={"rows": 3})}
        help_texts = {
            "description": "When to use it and what it returns, as the model is told. Empty: the kind's own description.",
            "timeout_s": "A call that takes longer ends as an error that the model sees.",
            "owner": "Who looks after it. Empty: the administrators.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        cleaned["config"] = {} if cleaned.get("config") is None else cleaned["config"]
        if "kind" in cleaned and "config" not in self.errors:
            self._check_config(cleaned["kind"], cleaned["config"])
        return cleaned

    def _check_config(self, kind: str, config: Any) -> None:
        if not isinstance(config, Mapping):
            self.add_error("config", "The settings are a JSON object.")
            return
        try:
            self.cleaned_data["config"] = kind_for(kind).prepare(config)
            kind_for(kind).check(self.cleaned_data["config"])
        except ValueError as error:
            self.add_error("config", str(error))


@admin.register(Tool)
class ToolAdmin(ModelAdmin[Tool]):
    empty_help = "A tool is something that agents may call. Once it is here, an agent's page offers it under Tools."
    form = ToolForm
    list_display = ("name", "kind", "told", "agents_count", "timeout_s")
    list_filter = ("kind",)
    search_fields = ("name", "description")
    autocomplete_fields = ("owner",)
    readonly_fields = ("function",)
    fieldsets = (
        (None, {"fields": (("name", "kind"), "description", "config", "secrets")}),
        ("Limits", {"fields": (("timeout_s", "owner"), "masked_arguments")}),
        ("What the model sees", {"fields": ("function",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Tool | None = None) -> Any:
        return super().get_fieldsets(request, obj) if obj else self.fieldsets[:-1]

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"owner": person(request).pk, **super().get_changeform_initial_data(request)}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, perms, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, perms, [*protected, *(f"Published {agent}" for row in objs for agent in versions.users_of(row))]

    @shown("description")
    def told(self, tool: Tool) -> str:
        return tool.description[:80] or "–"

    @shown("agents")
    def agents_count(self, tool: Tool) -> int:
        return tool.agent_tools.count()

    @shown("function")
    def function(self, tool: Tool) -> str:
        try:
            spec = versions.tool_spec(tool)
        except (LookupError, ImportError, ValueError) as error:
            return f"It cannot be used as it is: {error}"
        shown = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
        return format_html('<pre class="sb-code">{}</pre>', json.dumps(shown, indent=2, ensure_ascii=False))
