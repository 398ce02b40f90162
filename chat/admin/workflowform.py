"""The form of a workflow: its definition as YAML, checked by the code that runs it, with every sentence naming its step."""

from typing import Any

from django import forms
from django.contrib.auth.models import User
from unfold.widgets import UnfoldAdminTextareaWidget

from agents import directory
from agents.access import may_use
from agents.admin.base import ModelForm
from agents.admin.formfields import MONOSPACE
from agents.specs import AgentSpec
from chat.models import Workflow
from chat.workflows.checking import check
from chat.workflows.definition import DefinitionError, read, written
from chat.workflows.graph import Graph


class DefinitionField(forms.CharField):
    """YAML or JSON as text; its value is the object. A stored object is shown as YAML."""

    def __init__(self, **options: Any) -> None:
        attrs = {**MONOSPACE, "rows": 30, "data-workflow": "definition", "wrap": "off"}
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs=attrs), max_length=500_000, **options)

    def prepare_value(self, value: Any) -> Any:
        return written(value) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return read(text)
        except DefinitionError as error:
            raise forms.ValidationError(list(error.problems)) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class WorkflowForm(ModelForm[Workflow]):
    definition = DefinitionField(help_text="YAML or JSON. docs/workflows.md tells what steps there are; it is checked while you write.")
    user: User

    class Meta:
        model = Workflow
        fields = ("agent", "name", "display_name", "description", "enabled", "definition")
        help_texts = {
            "agent": "Its host: who may use it may run the workflow, its managers edit it, its tools can be called.",
            "enabled": "Off: it cannot be started; runs go on.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        agent = cleaned.get("agent")
        agent_id = agent.pk if agent else self.instance.agent_id
        if cleaned.get("definition") is not None and agent_id is not None:
            try:
                checked(cleaned["definition"], agent_id, self.user)
            except DefinitionError as error:
                self.add_error("definition", list(error.problems))
        return cleaned


def checked(definition: Any, agent_id: Any, user: User) -> Graph:
    """The graph of a definition that this user wants to save for this agent. Raises DefinitionError."""
    catalog, person = directory.fresh(), directory.load_user(user.pk)

    def may_ask(agent: AgentSpec) -> bool:
        return person is not None and may_use(person.principal, agent)

    return check(definition, catalog.by_id.get(agent_id), catalog.by_name, may_ask)
