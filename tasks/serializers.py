"""What the routes of schedules and webhooks take (agents.md sections 8 and 9)."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from chat.fields import MessageText, Shape, empty_is_absent

WindowHours = Literal[24, 168, 720]
WINDOWS: tuple[int, ...] = get_args(WindowHours)


def read_moment(value: Any) -> Any:
    """ISO 8601 text as a time; without an offset it stays a local time."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = datetime.min
    if not 2000 <= moment.year < 9000:
        raise PydanticCustomError("datetime_parsing", "must be a time as 2026-01-05T09:30:00Z")
    return moment


Text = Annotated[str | None, BeforeValidator(empty_is_absent)]
Moment = Annotated[datetime | None, BeforeValidator(empty_is_absent), BeforeValidator(read_moment)]


class ScheduleChange(Shape):
    """What is to be different: absent fields stay, null clears an optional one."""

    name: str = Field(default_factory=str, min_length=1, max_length=100)
    message: MessageText = Field(default_factory=str)
    cron_expression: Text = Field(
        default=None, max_length=200, description="minute hour day-of-month month day-of-week; 0 and 7 are Sunday."
    )
    run_at: Moment = Field(default=None, description="One moment instead of a cron expression; without an offset in `timezone`.")
    timezone: Text = Field(default=None, max_length=64, description="IANA name; null: UTC.")
    enabled: bool | None = None
    description: str | None = Field(default=None, max_length=500)
    timeout_seconds: int | None = Field(default=None, ge=1, le=86_400, description="null: the agent's.")
    allowed_tools: list[str] | None = Field(default=None, max_length=256, description="Only these of the agent's tools; null: all.")
    model: Text = Field(default=None, max_length=128, description="One of the agent's models; null: its first.")
    max_retries: int | None = Field(default=None, ge=0, le=5)
    retry_delay_seconds: int | None = Field(default=None, ge=30, le=600, description="Doubled with each retry, up to 600.")
    session_id: Text = Field(default=None, max_length=64, description="An own conversation with this agent; null: each run begins anew.")
    workflow: Text = Field(
        default=None, max_length=128, description="A workflow of the agent to run, by name or id; null: the agent is asked."
    )
    params: dict[str, Any] | None = Field(default=None, description="The workflow's named inputs; `message` is its message input.")


class NewSchedule(ScheduleChange):
    """Exactly one of `cron_expression` and `run_at` is needed."""

    name: str = Field(min_length=1, max_length=100)
    message: MessageText


class WebhookBody(Shape):
    """What a caller of a webhook may say."""

    context: str | None = Field(default=None, max_length=4000)
    metadata: dict[str, Any] | None = None
