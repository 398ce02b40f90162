"""What chat, sessions and history of this room take (agents.md sections 2 and 4)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from agents.errors import SwitchboardError
from chat.fields import Shape, check_message, empty_is_absent
from chat.files import Attachments, Files
from chat.protocols.agents_api.errors import field_problem

Optional = BeforeValidator(empty_is_absent)
MessageId = Annotated[str | None, Optional]


class ChatRequest(Shape):
    """One turn. Fields not shown here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Summarize the latest research findings"}]})
    message: str | None = Field(
        default=None,
        description="What the user says, 1 to 200 000 characters. Left out with `regenerate_of` only.",
        json_schema_extra={"maxLength": 200_000},
    )
    session_id: Annotated[str | None, Optional] = Field(default=None, description="An own session; absent: the current one, or a new one.")
    new_session: bool | None = Field(default=None, description="Close the current session and start a fresh one.")
    stream: bool | None = Field(default=None, description="true: stream; false: one JSON body whatever `Accept` says.")
    edit_of: MessageId = Field(default=None, description="An own message that `message` takes the place of.")
    regenerate_of: MessageId = Field(default=None, description="An assistant's message: the same is asked again.")
    after: MessageId = Field(
        default=None, description="The message of the session that this one follows: another branch than the newest goes on."
    )
    model: Annotated[str | None, Optional] = Field(default=None, max_length=128, description="One of the agent's allowed models.")
    files: Files = None
    attachments: Attachments = None

    @property
    def text(self) -> str:
        return self.message or ""


def _no_truth(value: Any) -> Any:
    """To Python, and so to pydantic's Literal, true is 1."""
    return str(value) if isinstance(value, bool) else value


Rating = Annotated[Literal[1, -1] | None, BeforeValidator(_no_truth)]


class TitleRequest(Shape):
    title: str = Field(max_length=200)


class FeedbackRequest(Shape):
    """Both are replaced: a comment that is left out is gone."""

    rating: Rating
    comment: str | None = Field(default=None, max_length=2000)


def check(asked: ChatRequest) -> ChatRequest:
    """What fields mean together (AG-6, AG-26). Raises validation_error."""
    if asked.regenerate_of is not None:
        return _checked_again(asked)
    if asked.message is None:
        raise SwitchboardError("validation_error", errors=[{"type": "missing", "loc": ["body", "message"], "msg": "Field required"}])
    _check_text(asked.message)
    if asked.after and asked.edit_of:
        raise field_problem("after", "an edited message stands where the old one stood")
    if asked.new_session and (asked.session_id or asked.edit_of or asked.after):
        raise field_problem("new_session", "a new session has neither an id nor messages yet")
    return asked


def _check_text(text: str) -> None:
    try:
        check_message(text)
    except PydanticCustomError as error:
        problem = {"type": error.type, "loc": ["body", "message"], "msg": error.message()}
        raise SwitchboardError("validation_error", errors=[problem]) from error


def _checked_again(asked: ChatRequest) -> ChatRequest:
    given = {
        "message": asked.text.strip(),
        "edit_of": asked.edit_of,
        "after": asked.after,
        "new_session": asked.new_session,
        "files": asked.files,
        "attachments": asked.attachments,
    }
    for name, value in given.items():
        if value:
            raise field_problem(name, "is not sent with regenerate_of: the same is asked again")
    return asked
