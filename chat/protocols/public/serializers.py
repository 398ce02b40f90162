"""What the routes of this room take: links (managers), messages and e-mail codes (visitors)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone
from django.utils.encoding import punycode
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from chat.fields import MessageText, Shape
from chat.files import Files
from chat.visitors import normal

MOST_MESSAGES = 2_147_483_647


def _future(value: Any) -> datetime | None:
    """A moment to come; without a zone it is UTC (AG-53)."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise PydanticCustomError("datetime_parsing", "must be an ISO 8601 time") from error
    if moment <= timezone.now():
        raise PydanticCustomError("datetime_future", "must be in the future")
    return moment


def _address(text: str) -> str:
    try:
        validate_email(normal(text))
        punycode(normal(text).rpartition("@")[2])  # a domain that DNS cannot have
    except (ValidationError, UnicodeError) as error:
        raise PydanticCustomError("email", "must be an e-mail address") from error
    return normal(text)


Moment = Annotated[datetime | None, BeforeValidator(_future), Field(json_schema_extra={"type": ["string", "null"], "format": "date-time"})]
MaxMessages = Annotated[int | None, Field(ge=1, le=MOST_MESSAGES, description="User messages in all; null: no limit.")]
LinkName = Annotated[str | None, Field(max_length=100)]
Email = Annotated[str, Field(max_length=254), AfterValidator(_address)]
SessionId = Annotated[str | None, Field(description="As an earlier answer gave it.")]


class LinkRequest(Shape):
    """A new link."""

    name: LinkName = None
    expires_at: Moment = None
    max_messages: MaxMessages = None
    link_type: Literal["chat"] | None = None


class LinkChange(Shape):
    """What is absent stays; null takes away the end or the limit."""

    name: LinkName = None
    enabled: bool | None = None
    expires_at: Moment = None
    max_messages: MaxMessages = None


class ChatRequest(Shape):
    """A visitor's message."""

    message: MessageText
    session_id: SessionId = None
    session_token: str | None = Field(default=None, description="Of a verified visitor, where the link requires it.")
    async_mode: bool | None = Field(default=None, description="true: do not wait for the answer.")
    stream: bool | None = None
    files: Files = None


class CodeRequest(Shape):
    """Asks for a one-time code."""

    token: str = Field(description="The link's token.")
    email: Email


class ConfirmRequest(Shape):
    """Proves the address."""

    token: str = Field(description="The link's token.")
    email: Email
    code: str
