"""What of the messages an agent's model can take: images, audio and files are passed on, read as text, or refused (OAI-23)."""

import base64
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from agents.access import Principal
from agents.database import run
from agents.models import Attachment
from agents.specs import AgentSpec
from chat.protocols.openai.errors import invalid, unsupported_part
from chat.protocols.openai.messages import Entry
from chat.requests import Part

_TEXT_TYPES = frozenset(
    f"application/{name}" for name in ("json", "xml", "yaml", "x-yaml", "toml", "javascript", "x-sh", "sql", "x-ndjson")
)


async def checked(entries: Sequence[Entry], agent: AgentSpec, principal: Principal) -> Sequence[Entry]:
    """Entries whose parts the model can be sent. Raises unsupported_content_part, or invalid_value for an unknown file."""
    if all(not entry.parts for entry in entries):
        return entries
    return [await _checked(entry, agent, principal) if entry.parts else entry for entry in entries]


async def _checked(entry: Entry, agent: AgentSpec, principal: Principal) -> Entry:
    parts = []
    for index, part in enumerate(entry.parts):
        path = f"messages[{entry.at}].content[{index}]"
        if part["type"] == "image":
            _check_image(part, agent, f"{path}.image_url.url")
        elif part["type"] == "audio" and not agent.model.takes_audio:
            raise unsupported_part(f"{path}.input_audio", "this agent's model does not take audio")
        elif part["type"] == "file":
            part = await _file(part, agent, principal, f"{path}.file")  # noqa: PLW2901 - the part as it is sent
        parts.append(part)
    return entry._replace(parts=tuple(parts))


def _check_image(part: Part, agent: AgentSpec, path: str) -> None:
    if not agent.model.takes_images:
        raise unsupported_part(path, "this agent's model does not take images")
    if part["url"][:5].lower() != "data:" and not agent.model.provider.fetches_urls:
        raise unsupported_part(path, "remote images are not fetched here: send the image as a data: URL")


async def _file(part: Part, agent: AgentSpec, principal: Principal, path: str) -> Part:
    if "attachment_id" in part:
        return await _attachment(part, agent, principal, path)
    if agent.model.takes_files:
        return part
    text = _decoded(part["media_type"], part["data"])
    if text is None:
        raise unsupported_part(path, "this agent's model does not take files of this type")
    return {"type": "file", "filename": part["filename"], "media_type": part["media_type"], "text": text}


def _decoded(media_type: str, data_url: str) -> str | None:
    """The text of a text file; None for other types and for what is not UTF-8."""
    if not media_type.startswith("text/") and media_type not in _TEXT_TYPES:
        return None
    try:
        return base64.b64decode(data_url.partition(",")[2]).decode()
    except UnicodeDecodeError:
        return None


async def _attachment(part: Part, agent: AgentSpec, principal: Principal, path: str) -> Part:
    """An uploaded file of the caller; others' are as unknown as those that never were (R2.2)."""
    row = await run(_find, principal.namespace, part["attachment_id"])
    if row is None:
        raise invalid(f"{path}.file_id", "no file of yours has this id")
    made: dict[str, Any] = {"type": "file", "filename": row.name, "media_type": row.mime_type, "attachment_id": str(row.id)}
    is_image = row.mime_type.startswith("image/")
    if is_image and agent.model.takes_images:
        return {"type": "image", "url": await run(_data_url, row)}
    if agent.model.takes_files and not is_image:
        return {**made, "data": await run(_data_url, row)}
    if row.text_status != "ready":
        raise unsupported_part(path, "this agent's model does not take files of this type")
    return {**made, "text": row.text}


def _find(namespace: str, file_id: str) -> Attachment | None:
    try:
        attachment_id = UUID(file_id)
    except ValueError:
        return None
    return Attachment.objects.filter(id=attachment_id, namespace=namespace, deleted_at=None).first()


def _data_url(row: Attachment) -> str:
    with row.file.open("rb") as file:
        return f"data:{row.mime_type};base64,{base64.b64encode(file.read()).decode()}"
