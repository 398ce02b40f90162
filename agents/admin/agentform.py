"""The form of an agent's draft: every setting explained, and a model that the provider does not serve said at once."""

import difflib
from typing import Any

from django import forms
from django.utils.safestring import mark_safe
from unfold import widgets

from agents import health
from agents.admin.base import ModelForm
from agents.admin.formfields import FallbacksField, LinesField, ReadableJSONField, SuggestingInput
from agents.models import Agent, Provider

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
VARIABLES = mark_safe(
    "What the agent is and how it behaves. Variables are filled in for each turn: "
    "<code>{{date}}</code> today's date, <code>{{time}}</code> the time in the site's time zone, "
    "<code>{{user}}</code> the name of who asks (empty for visitors), <code>{{agent}}</code> the agent's own name."
)


class AgentForm(ModelForm[Agent]):
    fallbacks = FallbacksField(
        help_text="Tried in order when the model above does not begin to answer. One a line, like <code>openai: gpt-5-mini</code>."
    )
    save_anyway = forms.BooleanField(
        label="Save although the provider does not list this model",
        required=False,
        widget=widgets.UnfoldBooleanSwitchWidget(),
        help_text="For models that a provider serves without listing them.",
    )
    stop = LinesField(
        label="Stop sequences", escaped=True, max_lines=4, help_text="Up to four, one a line; <code>\\n</code> is a line break."
    )
    allowed_models = LinesField(help_text="Models of the same provider that callers may ask for instead, on the agents API. One a line.")
    unsupported_parameters = LinesField(
        help_text="Request parameters this model refuses, one a line, such as <code>temperature</code>. They are left out."
    )
    client_tool_names = LinesField(label="Allowed client tools", help_text="One a line; used when the choice beside is “Only those named”.")
    conversation_starters = LinesField(rows=4, max_lines=20, help_text="Shown as buttons in an empty chat, one a line.")
    output_schema = ReadableJSONField(rows=10, help_text="JSON Schema; used when the output is “JSON that matches the schema”.")
    reasoning_effort = forms.ChoiceField(
        required=False,
        choices=[("", "The model's own default"), *((effort, effort) for effort in EFFORTS)],
        widget=widgets.UnfoldAdminSelectWidget(),
        help_text="For models that reason. Others refuse it: name it under unsupported parameters or leave it empty.",
    )

    class Meta:
        model = Agent
        exclude = ()
        labels = {"accept_audio": "Accept audio", "accept_files": "Accept documents"}
        help_texts = {
            "name": "What callers write as <code>model</code>. Changing it breaks callers that use the old one.",
            "display_name": "For people, in chat pages and lists. Empty: the name.",
            "description": "One sentence on what it is good at; shown in lists of models.",
            "avatar": "An emoji.",
            "instructions": VARIABLES,
            "provider": "Where the model is served.",
            "model": "The model's name at the provider.",
            "context_window": "How much the model can read. Older turns are left out of a conversation that outgrows it.",
            "temperature": "0: always the likeliest word; 1: lively. Empty: the model's own default.",
            "top_p": "Another way to limit chance; change this or temperature, not both. Empty: the model's own default.",
            "max_tokens": "The longest answer. Empty: the model's own limit.",
            "sampling_locked": "On: callers may not change temperature, top_p and the like; what they send is ignored and named.",
            "max_steps": "Model calls in one turn, tools in between. The site's CHAT_MAX_STEPS is the upper limit.",
            "run_timeout_s": "For tasks and schedules; chats have the site's CHAT_REQUEST_TIMEOUT.",
            "turn_policy": "What happens to a message sent while the agent still answers the last one of the conversation.",
            "max_parallel_runs": "Turns at a time, over all protocols. 0: no limit.",
            "max_queued_chats": "Chats that may wait for a free place before callers are refused.",
            "max_parallel_tasks": "Background tasks at a time.",
            "max_queued_tasks": "Tasks that may wait.",
            "client_tools": "Functions that callers bring along and run themselves.",
            "caller_instructions": "On: system messages of callers are added after the agent's own instructions, marked as theirs.",
            "show_reasoning": "On: callers see what the model thinks before it answers, where it tells.",
            "accept_images": "On: callers may send pictures; choose a model that can see.",
            "accept_audio": "On: callers may send recordings; choose a model that can hear.",
            "accept_files": "On: callers may send documents; choose a model that reads them.",
            "max_body_bytes": "0: the site's limit, or 10 MiB when images are accepted.",
            "output_mode": "What every answer has to be.",
            "approval_notice": "Said to callers of protocols that cannot show an approval.",
            "enabled": "Off: callers are told that the agent is not running. Acts at once.",
            "owner": "May edit the agent and see its conversations.",
            "managers": "May do what the owner may.",
            "access": "Who may talk to it, besides owner, co-managers and administrators.",
            "shareable": "Off: every public link to it is dead at once.",
            "require_email": "On: visitors of public links are sent a code before they may chat.",
        }
        widgets = {"instructions": widgets.UnfoldAdminTextareaWidget(attrs={"rows": 16})}

    provider_warning = ""
    """Why the model could not be checked; the page says it after saving."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "model" in self.fields:
            self.fields["model"].widget = SuggestingInput(_served_models())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        wants_schema = cleaned.get("output_mode") == Agent.OutputMode.JSON_SCHEMA
        if wants_schema and not cleaned.get("output_schema") and "output_schema" not in self.errors:
            self.add_error("output_schema", "This output needs a schema.")
        if {"provider", "model"} & set(self.changed_data) and cleaned.get("provider") and cleaned.get("model"):
            self._check_model(cleaned["provider"], cleaned["model"], bool(cleaned.get("save_anyway")))
        return cleaned

    def _check_model(self, provider: Provider, model: str, anyway: bool) -> None:
        answer = health.test(provider)
        if not answer.ok:
            self.provider_warning = f"The model could not be checked. {provider.name}: {answer.text}"
        elif not answer.serves(model) and not anyway:
            self.add_error("model", _not_served(provider, model, answer))


def _not_served(provider: Provider, model: str, answer: health.Answer) -> str:
    near = difflib.get_close_matches(model, answer.models, n=3, cutoff=0.4) or answer.models[:3]
    return f"{provider.name} does not serve “{model}”. It serves, for example: {', '.join(near)}. If you are sure, save it anyway (below)."


def _served_models() -> list[tuple[str, str]]:
    return [(model, provider.name) for provider in Provider.objects.only("name", "served_models") for model in provider.served_models]
