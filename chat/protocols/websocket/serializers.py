"""What clients send (websocket.md §5): one shape per frame type, unknown keys ignored, known ones of the wrong type refused (R0.4)."""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from chat.fields import Shape, check_message, empty_is_absent

Name = Annotated[str, Field(max_length=128)]
OptionalName = Annotated[Annotated[str, Field(max_length=128)] | None, BeforeValidator(empty_is_absent)]
ThreadId = Annotated[str, Field(min_length=1, max_length=128)]
Number = Annotated[int, Field(ge=0, le=2**53)]
TOOL_NAME = r"^[A-Za-z0-9_-]{1,64}$"


def _bytes(value: Any) -> Any:
    """Bytes, or text in base64, perhaps as a `data:` URI."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.partition(",")[2] if value[:5].lower() == "data:" else value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PydanticCustomError("base64", "must be bytes, or base64") from error


Content = Annotated[bytes, BeforeValidator(_bytes)]


class Text(Shape):
    type: Literal["text"]
    text: str


class Reference(Shape):
    """Where a file is: an uploaded Attachment, an address, or the bytes themselves. `url` is the OpenAI form of `uri`."""

    asset_id: str | None = None
    uri: Annotated[str | None, Field(validation_alias=AliasChoices("uri", "url"))] = None
    data: Content | None = None
    mime_type: Annotated[str, Field(max_length=127)] = ""
    name: Annotated[str, Field(max_length=255)] = ""


class Media(Shape):
    """`{type: "image_url", image: {…}}`, `{type: "image_url", image_url: {url}}`, and the same for audio, video and documents."""

    type: Literal["image", "image_url", "audio", "audio_url", "video", "video_url", "document", "document_url"]
    file: Reference

    @model_validator(mode="before")
    @classmethod
    def find_reference(cls, value: Any) -> Any:
        kind = str(value.get("type", "")).removesuffix("_url") if isinstance(value, dict) else ""
        found = next((value[name] for name in (kind, f"{kind}_url") if kind and value.get(name) is not None), None)
        if found is None:
            raise PydanticCustomError("missing", "names no file")
        return {"type": value["type"], "file": {"url": found} if isinstance(found, str) else found}


Part = Annotated[Text | Media, Field(union_mode="left_to_right")]


class InputFile(Shape):
    """A file that comes with the message."""

    name: Annotated[str, Field(max_length=255)] = "file"
    mime_type: Annotated[str, Field(max_length=127)] = ""
    content: Content


class ToolName(Shape):
    name: Name


def _message(content: str | list[Part]) -> str | list[Part]:
    """Something that can be used: text that is not blank, or a file (§5.1)."""
    if isinstance(content, str):
        return check_message(content)
    if not any(not isinstance(part, Text) or part.text.strip() for part in content):
        raise PydanticCustomError("string_too_short", "must not be empty")
    for part in content:
        if isinstance(part, Text) and part.text.strip():
            check_message(part.text)
    return content


class ChatMessage(Shape):
    """A user's words. Keys of clients that are not here (provider, agent_mode, timestamp …) are accepted and ignored."""

    content: Annotated[str | Annotated[list[Part], Field(max_length=256)], AfterValidator(_message)]
    role: Literal["user"] = "user"
    agent: OptionalName = Field(default=None, validation_alias=AliasChoices("agent", "agent_id"))
    model: OptionalName = None
    thread_id: ThreadId | None = None
    workflow_id: OptionalName = None
    params: dict[str, Any] | None = None
    id: OptionalName = None
    tools: Annotated[list[Name | ToolName], Field(max_length=64)] | None = None
    collections: Annotated[list[Name], Field(max_length=20)] | None = None
    attachments: Annotated[list[str], Field(max_length=20)] | None = None
    input_files: Annotated[list[InputFile], Field(max_length=10)] | None = None
    graph: dict[str, Any] | None = None

    @property
    def tool_names(self) -> frozenset[str] | None:
        return None if self.tools is None else frozenset(tool if isinstance(tool, str) else tool.name for tool in self.tools)


class Stop(Shape):
    thread_id: ThreadId | None = None
    execution_id: Annotated[str | None, Field(validation_alias=AliasChoices("execution_id", "job_id"))] = None


class Ping(Shape):
    ts: float | int | None = None


class ManifestTool(Shape):
    name: Annotated[str, Field(pattern=TOOL_NAME)]
    description: str = ""
    parameters: dict[str, Any] | None = None


class Manifest(Shape):
    """The tools that this client runs for its own turns (WS-47)."""

    tools: Annotated[list[ManifestTool], Field(max_length=64)]


class ToolResult(Shape):
    tool_call_id: str
    ok: bool = True
    result: Any = None
    error: str | None = None


class ApprovalResponse(Shape):
    approval_id: str
    approved: bool
    reason: Annotated[str, Field(max_length=1000)] | None = None
    arguments: Any = None


class Resume(Shape):
    thread_id: ThreadId | None = None
    execution_id: Annotated[str | None, Field(validation_alias=AliasChoices("execution_id", "job_id"))] = None
    after: Number = Field(default=0, validation_alias=AliasChoices("after", "last_seq"))


class Attach(Shape):
    """`execution_id`: the run that `after` belongs to; without it `after` holds for every open run (WS-62)."""

    thread_id: ThreadId
    history: Annotated[int, Field(ge=0, le=100)] = 0
    after: Number = 0
    execution_id: str | None = None


class Detach(Shape):
    thread_id: ThreadId


class Auth(Shape):
    token: Annotated[str, Field(min_length=1)]


class GetStatus(Shape):
    job_id: str | None = None


class SetMode(Shape):
    mode: Literal["text", "binary"]


class RunJob(Shape):
    workflow_id: Name
    thread_id: ThreadId | None = None
    params: dict[str, Any] | None = None
