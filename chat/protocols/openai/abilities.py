"""What of the messages an agent's model can take: images, audio and files are passed on, read as text, or refused (OAI-23)."""

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from agents import attachments, extraction, filetypes
from agents.access import Principal
from agents.errors import SwitchboardError
from agents.models import Attachment
from agents.specs import AgentSpec
from chat.protocols.openai.errors import invalid, unsupported_part
from chat.protocols.openai.messages import Entry
from chat.requests import Part


async def checked(entries: Sequence[Entry], agent: AgentSpec, principal: Principal) -> Sequence[Entry]:
    """Entries whose parts the model can be sent. Raises unsupported_content_part, or invalid_value for an unknown file."""
    if all(not entry.parts for entry in entries):
        return entries
    return [await _checked(entry, agent, principal) if entry.parts else entry for entry in entries]


async def _checked(entry: Entry, agent: AgentSpec, principal: Principal) -> Entry:
    return entry._replace(
        parts=tuple([await _part(part, agent, principal, f"messages[{entry.at}].content[{at}]") for at, part in enumerate(entry.parts)])
    )


async def _part(part: Part, agent: AgentSpec, principal: Principal, path: str) -> Part:
    match part["type"]:
        case "image":
            _check_image(part, agent, f"{path}.image_url.url")
        case "audio" if not agent.model.takes_audio:
            raise unsupported_part(f"{path}.input_audio", "this agent's model does not take audio")
        case "file" if "attachment_id" in part:
            return await _attachment(part, agent, principal, f"{path}.file.file_id")
        case "file" if not agent.model.takes_files:
            return await _as_text(part, f"{path}.file")
    return part


def _check_image(part: Part, agent: AgentSpec, path: str) -> None:
    if not agent.model.takes_images:
        raise unsupported_part(path, "this agent's model does not take images")
    if part["url"][:5].lower() != "data:" and not agent.model.provider.fetches_urls:
        raise unsupported_part(path, "remote images are not fetched here: send the image as a data: URL")


async def _as_text(part: Part, path: str) -> Part:
    """A file for a model that takes none: its text stands in the prompt."""
    content = base64.b64decode(part["data"].partition(",")[2])
    if filetypes.is_text(part["media_type"]):
        text = _decoded(content)
    else:
        text = await _text_of_document(content, part["media_type"]) if extraction.is_readable(part["media_type"]) else None
    if text is None:
        raise _not_taken(path)
    return {"type": "file", "filename": part["filename"], "media_type": part["media_type"], "text": text}


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


async def _text_of_document(content: bytes, media_type: str) -> str | None:
    with NamedTemporaryFile() as file:
        await asyncio.to_thread(Path(file.name).write_bytes, content)
        try:
            return await extraction.text_of_document(Path(file.name), media_type)
        except extraction.ExtractionError:
            return None


async def _attachment(part: Part, agent: AgentSpec, principal: Principal, path: str) -> Part:
    """An uploaded file of the caller; others' are as unknown as those that never were (R2.2)."""
    try:
        (row,) = await attachments.attachments_for(principal, [part["attachment_id"]])
        return await _sent(row, agent, path)
    except SwitchboardError as error:
        if error.code != "attachment_not_found":
            raise
        raise invalid(path, "no file of yours has this id") from error


async def _sent(row: Attachment, agent: AgentSpec, path: str) -> Part:
    named: dict[str, Any] = {"type": "file", "filename": row.name, "media_type": row.mime_type, "attachment_id": str(row.id)}
    if row.mime_type.startswith("image/") and agent.model.takes_images:
        return {"type": "image", "url": await attachments.data_url(row)}
    if agent.model.takes_files:
        return {**named, "data": await attachments.data_url(row)}
    text = await attachments.text_of(row)
    if text is None:
        raise _not_taken(path)
    return {**named, "text": text}


def _not_taken(path: str) -> SwitchboardError:
    return unsupported_part(path, "this agent's model does not take files of this type")
