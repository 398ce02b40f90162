"""What POST /api/agents/{name}/task takes (agents.md section 6)."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from agents.net import FetchError, check_url
from chat.fields import MessageText, Shape, empty_is_absent
from chat.files import Attachments, Files

Optional = BeforeValidator(empty_is_absent)


def check_https(url: str) -> str:
    """An address that could be delivered to. Where a name leads is seen when it is called (R11.4)."""
    try:
        parts = urlsplit(url)
        named = parts.scheme == "https" and parts.hostname and (parts.port is None or parts.port > 0) and parts.username is None
    except ValueError:
        named = None
    if not named or not url.isascii() or not url.isprintable() or " " in url:
        raise PydanticCustomError("url", "must be an https URL, without credentials in it")
    try:
        check_url(url)
    except FetchError as error:
        raise PydanticCustomError("url", "must not be an address of a private network") from error
    return url


class TaskRequest(Shape):
    """Background work. Fields not shown here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Generate a report on Q1 sales data"}]})
    message: MessageText = Field(description="The task.")
    async_mode: bool | None = Field(default=None, description="false: wait for the result; absent or true: 202 at once.")
    model: Annotated[str | None, Optional] = Field(default=None, max_length=128, description="One of the agent's allowed models.")
    files: Files = None
    attachments: Attachments = None
    system_prompt: str | None = Field(default=None, max_length=20_000, description="Added after the agent's instructions.")
    allowed_tools: list[str] | None = Field(default=None, max_length=500, description="Only these of the agent's tools; [] is none.")
    max_turns: int | None = Field(default=None, ge=1, le=100, description="Model calls, at most what the agent allows.")
    timeout_seconds: int | None = Field(default=None, ge=1, le=86_400, description="At most what the agent allows.")
    priority: int | None = Field(default=None, ge=0, le=9, description="Higher starts first; 5 by default.")
    max_attempts: int | None = Field(
        default=None, ge=1, le=5, description="How often it may begin if its worker dies; 3 by default. 1: its tools never run twice."
    )
    callback_url: Annotated[Annotated[str, AfterValidator(check_https)] | None, Optional] = Field(
        default=None, max_length=2000, description="The result is delivered there too, signed."
    )
    chat_session_id: Annotated[str | None, Optional] = Field(default=None, description="Run as a turn of this own session.")
    save_to_session: bool | None = Field(default=None, description="Add question and answer to the current session.")
    user_message: Annotated[MessageText | None, Optional] = Field(
        default=None, description="What the session keeps as the question, in place of `message`."
    )
