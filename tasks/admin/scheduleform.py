"""The form of a schedule: checked by the code that the API checks with."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from agents import directory
from agents.admin.base import ModelForm
from agents.admin.formfields import MONOSPACE, LinesField
from agents.errors import SwitchboardError
from tasks.cron import instant, zone_for
from tasks.editing import COLUMNS, check, is_due, timing
from tasks.models import Schedule

_FIELDS = {column: field for field, (column, _) in COLUMNS.items()}
_AT_FAULT = {
    "invalid_cron": "cron_expression",
    "invalid_timezone": "timezone",
    "schedule_timeout_exceeds_agent_cap": "timeout_s",
    "model_not_allowed": "model",
    "workflow_not_found": "workflow",
    "invalid_params": "params",
}


class ScheduleForm(ModelForm[Schedule]):
    allowed_tools = LinesField(help_text="Names of the agent's tools, one a line. Empty: all of them.")

    class Meta:
        model = Schedule
        fields = (
            "agent", "name", "message", "cron_expression", "run_at", "timezone", "enabled", "description",
            "workflow", "params", "model", "timeout_s", "allowed_tools", "max_retries", "retry_delay_s",
        )  # fmt: skip
        widgets = {
            "message": UnfoldAdminTextareaWidget(attrs={"rows": 6}),
            "cron_expression": UnfoldAdminTextInputWidget(attrs=MONOSPACE),
        }
        help_texts = {
            "agent": "Who is asked.",
            "message": "What it is asked, each time.",
            "cron_expression": "Minute, hour, day of month, month, weekday (0, 7: Sunday). <code>0 9 * * 1-5</code>: at nine on workdays.",
            "run_at": "One moment instead, in the time zone beside it.",
            "timezone": "In which the expression and the moment are read, like Europe/Oslo.",
            "enabled": "Off: it runs only when it is triggered.",
            "workflow": "One of the agent's workflows, run instead of asking it; the message is its message input.",
            "params": "The workflow's named inputs, as a JSON object.",
            "model": "One of those the agent allows. Empty: the agent's own.",
            "timeout_s": "Empty: the agent's.",
            "max_retries": "How often a failed run is tried again.",
            "retry_delay_s": "The pause before the first retry; doubled with each, up to ten minutes.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        """The moment is shown as it is on the clocks of the schedule's own zone."""
        super().__init__(*args, **options)
        if self.initial.get("params") is None:
            self.initial.pop("params", None)  # which would stand there as "null"
        self._moment, self._timing = self.instance.run_at, timing(self.instance)
        if self._moment is not None:
            self.initial["run_at"] = self._moment.astimezone(zone_for(self.instance.timezone)).replace(tzinfo=None)

    def clean(self) -> dict[str, Any]:
        """And read as such, not in the site's zone, as Django's field has it."""
        cleaned = super().clean() or {}
        if cleaned.get("run_at") is not None:
            given = {"run_at", "timezone"} & set(self.changed_data)
            cleaned["run_at"] = _in_zone(cleaned["run_at"], cleaned.get("timezone", "")) if given else self._moment
        return cleaned

    def clean_allowed_tools(self) -> list[str] | None:
        """An empty box is "all"; only the API can say "none", and that stays."""
        if "allowed_tools" not in self.changed_data:
            return self.instance.allowed_tools
        return self.cleaned_data["allowed_tools"] or None

    def _post_clean(self) -> None:
        """Once the row has the form's values: is it a schedule that can run?"""
        super()._post_clean()  # type: ignore[misc]  # Django has it, the stubs don't
        if not self.errors:
            self._check({_FIELDS[column] for column in self.changed_data if column in _FIELDS})

    def _check(self, given: set[str]) -> None:
        agent, now = directory.fresh().by_id.get(self.instance.agent_id), timezone.now()
        if agent is None:
            self.add_error("agent" if "agent" in self.fields else None, "Publish the agent first.")
            return
        try:
            check(self.instance, agent, now, given)
            if timing(self.instance) != self._timing or not is_due(self.instance, now):
                self.instance.plan(now)
        except SwitchboardError as error:
            self.add_error(_column(error), _sentence(error))
            return
        if self.instance.enabled and self.instance.next_run_at is None:
            self.add_error("run_at", "That is over. Choose a time in the future, or switch the schedule off.")


def _in_zone(moment: datetime, name: str) -> datetime:
    """What was typed, on the clocks of that zone; an unknown zone is told by check()."""
    try:
        return instant(timezone.make_naive(moment), zone_for(name))
    except SwitchboardError:
        return moment


def _column(error: SwitchboardError) -> str:
    if error.errors and error.code == "validation_error":
        return COLUMNS[error.errors[0]["loc"][1]][0]
    return _AT_FAULT[error.code]


def _sentence(error: SwitchboardError) -> Any:
    """A problem's own words, as a sentence."""
    told = str(error.errors[0]["msg"]) if error.errors else error.message
    return forms.ValidationError(told[:1].upper() + told[1:])
