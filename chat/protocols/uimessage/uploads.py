"""A multipart body as one file on disk: read in pieces, parsed by Django in a thread, never whole in memory (UI-67)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from agents.errors import SwitchboardError
from chat.client import too_large
from chat.views import Call

FORM_BYTES = 65_536
"""What may stand around the file: boundaries, headers, other fields."""
_IN_MEMORY_BYTES = 1_048_576


def check_multipart(headers: Mapping[str, str]) -> None:
    """Raises unsupported_media_type for any other kind of body."""
    if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise SwitchboardError("unsupported_media_type", "Send the file as multipart/form-data.")


@asynccontextmanager
async def received(call: Call) -> AsyncIterator[TemporaryUploadedFile]:
    """The field `file` of the body, for as long as the block runs. Raises invalid_request without one, request_too_large."""
    limit = settings.UPLOAD_MAX_BYTES + FORM_BYTES
    declared = call.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as body:
        async for chunk in call.client.chunks(limit):
            await asyncio.to_thread(body.write, chunk)
        file = await asyncio.to_thread(_file_in, body, call.headers["content-type"])
    try:
        yield file
    finally:
        await asyncio.to_thread(file.close)


def _file_in(body: IO[bytes], content_type: str) -> TemporaryUploadedFile:
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(body.tell())}
    body.seek(0)
    try:
        _, files = MultiPartParser(meta, body, [TemporaryFileUploadHandler()], "utf-8").parse()  # type: ignore[arg-type]  # a file will do
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise SwitchboardError("invalid_request", "The body is not valid multipart/form-data.") from error
    file = files.get("file")
    for other in [other for name in files for other in files.getlist(name) if other is not file]:
        other.close()
    if not isinstance(file, TemporaryUploadedFile):
        raise SwitchboardError("invalid_request", "No file provided")
    return file
