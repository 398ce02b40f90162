"""From the content of a chat message to the parts of a turn (§5.1): its text, then its files in the form the model takes."""

import base64
import binascii
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote_to_bytes

from django.conf import settings

from agents import attachments
from agents.access import Principal
from agents.specs import AgentSpec
from chat.files import Brought, FileRequest, brought
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.serializers import ChatMessage, Media, Reference, Text
from chat.remotefiles import remote_file
from chat.requests import Part

_DEFAULT_NAMES = {"image": "image", "audio": "recording", "video": "video", "document": "document"}


@asynccontextmanager
async def parts_of(
    message: ChatMessage, principal: Principal, agent: AgentSpec, site: str
) -> AsyncIterator[tuple[tuple[Part, ...], Brought]]:
    """The parts, and what was stored for them; a message that is refused inside the block leaves no files.

    `site` is this server's own address. Raises attachment_not_found, remote_file_not_allowed or frame_too_large.
    """
    files, uploads = await _files(message, principal, site)
    async with brought(principal, agent, files, uploads) as found:
        yield (*_texts(message), *found.parts), found


def _texts(message: ChatMessage) -> list[Part]:
    texts = [message.content] if isinstance(message.content, str) else [part.text for part in message.content if isinstance(part, Text)]
    return [{"type": "text", "text": text} for text in texts if text.strip()]


async def _files(message: ChatMessage, principal: Principal, site: str) -> tuple[list[FileRequest], list[str]]:
    """Files to store, and ids of the caller's own uploads."""
    files = [_file(file.name, file.mime_type, file.content) for file in message.input_files or ()]
    uploads = list(message.attachments or ())
    media: Sequence[Media] = () if isinstance(message.content, str) else [part for part in message.content if isinstance(part, Media)]
    for part in media:
        reference, name = part.file, part.file.name or _DEFAULT_NAMES[part.type.removesuffix("_url")]
        if reference.asset_id:
            uploads.append(reference.asset_id)
        elif reference.data is not None:
            files.append(_file(name, reference.mime_type, reference.data))
        elif reference.uri:
            await _named(reference, reference.uri, name, principal, site, files, uploads)
        else:
            raise refusal("invalid_message", f"A part of type {part.type} names no file.")
    await attachments.attachments_for(principal, uploads)
    return files, uploads


async def _named(
    reference: Reference, uri: str, name: str, principal: Principal, site: str, files: list[FileRequest], uploads: list[str]
) -> None:
    """A file by its address: in the address itself, uploaded here, or on a host that the operator lists."""
    if uri[:5].lower() == "data:":
        files.append(_file(name, *_data(uri)))
        return
    own = await attachments.attachment_by_url(principal, uri, settings.PUBLIC_BASE_URL or site)
    if own is not None:
        uploads.append(str(own.id))
        return
    fetched_name, answer = await remote_file(uri)
    files.append(_file(reference.name or fetched_name, reference.mime_type or answer.media_type, answer.body))


def _data(uri: str) -> tuple[str, bytes]:
    """Media type and bytes of a `data:` URI (RFC 2397)."""
    head, _, body = uri[5:].partition(",")
    media_type, *options = head.split(";")
    content = unquote_to_bytes(body)
    try:
        return media_type, base64.b64decode(content, validate=True) if "base64" in options else content
    except binascii.Error as error:
        raise refusal("invalid_message", "A data: URI does not hold base64.") from error


def _file(name: str, mime_type: str, content: bytes) -> FileRequest:
    """The bytes were checked with the frame's size; what they are is seen when they are stored."""
    return FileRequest.model_construct(name=name[:255] or "file", mimetype=mime_type[:127], data_base64=content)
