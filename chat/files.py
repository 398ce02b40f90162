"""Files that come with a message (AG-7): `files` in the body, or `attachments` uploaded before. Both become parts of the message.

Bytes decide what a file is, names are only shown, archives are kept and never opened. What the model cannot take is read as
text where it has any, and else only mentioned.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from agents import attachments
from agents.access import Principal
from agents.errors import SwitchboardError
from agents.models import Attachment
from agents.specs import AgentSpec
from chat.fields import Shape
from chat.requests import Part

MAX_FILES = 3
MAX_ATTACHMENTS = 20
MAX_FILE_BYTES = 5 * 1_048_576


def _decoded(value: Any) -> bytes:
    """The bytes; a `data:` prefix is stripped."""
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "must be text in base64")
    try:
        content = base64.b64decode(value.partition(",")[2] if value[:5].lower() == "data:" else value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PydanticCustomError("base64", "must be base64") from error
    if len(content) > MAX_FILE_BYTES:
        raise PydanticCustomError("bytes_too_long", "at most {limit} bytes: upload larger files first", {"limit": MAX_FILE_BYTES})
    return content


class FileRequest(Shape):
    """One small file in the body. A declared `size` is not trusted and not read."""

    name: str = Field(min_length=1, max_length=255, description="Only shown.")
    mimetype: str = Field(default="", max_length=127, description="Believed for kinds of text only; the bytes say what a file is.")
    data_base64: Annotated[bytes, BeforeValidator(_decoded), Field(json_schema_extra={"type": "string", "format": "byte"})]


Files = Annotated[list[FileRequest] | None, Field(max_length=MAX_FILES, description="At most 3 of 5 MB; larger ones are uploaded first.")]
Attachments = Annotated[list[str] | None, Field(max_length=MAX_ATTACHMENTS, description="Ids of own uploads.")]


@dataclass(slots=True)
class Brought:
    """`parts` go into the message after its text. `unused`: set it when the message came to nothing (a replay)."""

    parts: tuple[Part, ...] = ()
    stored: list[Attachment] = field(default_factory=list)
    unused: bool = False


@asynccontextmanager
async def brought(
    principal: Principal, agent: AgentSpec, files: Sequence[FileRequest] | None, uploaded: Sequence[str] | None = None
) -> AsyncIterator[Brought]:
    """Stores the files while the message is accepted; a message that is refused leaves none. Raises validation_error.

    Parts of files in the body say `inline`: these files go with their conversation, uploads stay (chat.forgetting).
    """
    found = Brought()
    try:
        rows = await _uploads(principal, uploaded or ())
        for file in files or ():
            row = await attachments.store(principal, file.name, [file.data_base64], file.mimetype, anything=True)
            found.stored.append(row)
        inline = [{**await part_of(row, agent), "inline": True} for row in found.stored]
        found.parts = (*inline, *[await part_of(row, agent) for row in rows])
        yield found
    except BaseException:
        found.unused = True
        raise
    finally:
        if found.unused:
            for row in found.stored:
                await attachments.discard(row)


async def _uploads(principal: Principal, ids: Sequence[str]) -> list[Attachment]:
    try:
        return await attachments.attachments_for(principal, ids)
    except SwitchboardError as error:
        problem = {"type": "value_error", "loc": ["body", "attachments"], "msg": "no file of yours has this id"}
        raise SwitchboardError("validation_error", errors=[problem]) from error


async def part_of(row: Attachment, agent: AgentSpec) -> Part:
    """The file in the form that the agent's model takes best."""
    if row.mime_type.startswith("image/") and agent.model.takes_images:
        return {"type": "image", "url": await attachments.data_url(row), "attachment_id": str(row.id)}
    named: dict[str, Any] = {"type": "file", "filename": row.name, "media_type": row.mime_type, "attachment_id": str(row.id)}
    if agent.model.takes_files and row.mime_type not in attachments.UNREAD:
        return {**named, "data": await attachments.data_url(row)}
    text = await attachments.text_of(row)
    return {**named, "text": text} if text else named
