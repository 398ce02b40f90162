"""Request shapes of the native wires: pydantic models, and their problems as the 422 list of R3.2."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from django.conf import settings
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from agents.errors import SwitchboardError

T = TypeVar("T", bound=BaseModel)
CONVERSATION_ID = r"^[A-Za-z0-9._:-]{1,128}\Z"


class Shape(BaseModel):
    """Unknown fields are ignored, known ones of the wrong type refused (R0.4). A shape is built when it is first used, in milliseconds."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, defer_build=True)


def parse(shape: type[T], body: Mapping[str, Any]) -> T:
    """The body in its shape. Raises validation_error with the list of field problems."""
    try:
        return shape.model_validate(dict(body))
    except ValidationError as error:
        raise SwitchboardError("validation_error", errors=problems(error)) from None


def problems(error: ValidationError) -> list[dict[str, Any]]:
    """pydantic's own error types and places, in our sentences where it has none fit for a caller."""
    return [
        {"type": found["type"], "loc": ["body", *found["loc"]], "msg": found["msg"]}
        for found in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def check_message(text: str) -> str:
    """A message: not blank, not longer than CHAT_MAX_MESSAGE_CHARS (AG-6, run.md section 2). Taken as it is (RUN-5)."""
    if not text.strip():
        raise PydanticCustomError("string_too_short", "must not be empty")
    if len(text) > settings.CHAT_MAX_MESSAGE_CHARS:
        raise PydanticCustomError("string_too_long", "at most {limit} characters", {"limit": settings.CHAT_MAX_MESSAGE_CHARS})
    return text


def empty_is_absent(value: Any) -> Any:
    """Front ends fill templates with nothing."""
    return None if value == "" else value


def matching(pattern: str, sentence: str) -> Callable[[str], str]:
    """A validator like pydantic's `pattern`, with a sentence of ours."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.match(text):
            raise PydanticCustomError("string_pattern_mismatch", sentence)
        return text

    return check


MessageText = Annotated[str, AfterValidator(check_message), Field(json_schema_extra={"minLength": 1, "maxLength": 200_000})]
ConversationId = Annotated[
    Annotated[str, AfterValidator(matching(CONVERSATION_ID, "1 to 128 characters of A-Z a-z 0-9 . _ : -"))] | None,
    BeforeValidator(empty_is_absent),
    Field(json_schema_extra={"maxLength": 128}),
]
