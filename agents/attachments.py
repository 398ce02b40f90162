"""Files of callers (UI-67, UI-68): written in pieces, seen by their owner alone, read out by signed address, deleted softly.

The row is the truth: bytes without a row are garbage, a row with `deleted_at` has no bytes. Names are only ever shown.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db.models import Q
from django.utils import timezone

from agents import database, extraction, filetypes
from agents.access import Principal
from agents.errors import SwitchboardError
from agents.ids import uuid7
from agents.models import Attachment

PATH = "/attachment/"
SIGNED_S = 86_400
"""How long a signed address works."""
TEXT_WAIT_S = 30.0
"""How long a turn waits for the text of a file (UI-69)."""
UNREAD = frozenset(("application/octet-stream",))
"""What is kept without knowing, or wanting to know, what is in it: archives, programs."""
_MAX_NAME_CHARS = 255
_PIECE_BYTES = 65_536

log = logging.getLogger(__name__)
_signer = signing.TimestampSigner(salt="switchboard.attachment", sep=".")
_extracting: dict[UUID, asyncio.Task[None]] = {}


async def store(principal: Principal, name: str, chunks: Iterable[bytes], declared_type: str = "", *, anything: bool = False) -> Attachment:
    """Writes a file in pieces and gives its row; text of documents follows in the background.

    Raises request_too_large while writing, unsupported_media_type when the bytes are of no allowed kind; with `anything` they
    are kept all the same, as bytes that nobody reads (AG-7).
    """
    row = Attachment(id=uuid7(), owner_id=principal.user_id, namespace=principal.namespace, name=display_name(name))
    await asyncio.to_thread(_write, row, chunks, declared_type, anything)
    try:
        await database.run(row.save, force_insert=True)
    except BaseException:
        await asyncio.to_thread(_remove_bytes, row)
        raise
    if row.text_status == "pending":
        _start_extraction(row)
    return row


async def attachments_for(principal: Principal, ids: Iterable[object]) -> list[Attachment]:
    """The caller's files with these ids, in their order. Raises attachment_not_found for any other id, whatever the cause (R2.2)."""
    wanted = [_uuid(value) for value in ids]
    if not wanted:
        return []
    found = await database.run(_rows, Q(pk__in=wanted) & _own(principal))
    by_id = {row.id: row for row in found}
    if not by_id.keys() >= set(wanted):
        raise SwitchboardError("attachment_not_found")
    return [by_id[key] for key in wanted]


async def delete(principal: Principal, attachment_id: object) -> Attachment:
    """Removes the bytes and the text; name and size stay for past messages. Raises attachment_not_found."""
    row = (await attachments_for(principal, [attachment_id]))[0]
    if not await database.run(_mark_deleted, row.id):
        raise SwitchboardError("attachment_not_found")
    await asyncio.to_thread(_remove_bytes, row)
    return row


async def discard(row: Attachment) -> None:
    """Removes a file as if it had never been stored."""
    await database.run(row.delete)
    await asyncio.to_thread(_remove_bytes, row)


async def read(row: Attachment) -> bytes:
    """All bytes of the file. Raises attachment_not_found when they are gone."""
    try:
        return await asyncio.to_thread(Path(row.file.path).read_bytes)
    except FileNotFoundError as error:
        raise SwitchboardError("attachment_not_found") from error


async def opened(row: Attachment) -> IO[bytes]:
    """The file, to be read with pieces(). Raises not_found when its bytes are gone."""
    try:
        return await asyncio.to_thread(Path(row.file.path).open, "rb")
    except FileNotFoundError as error:
        raise SwitchboardError("not_found") from error


async def pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The bytes of an opened file, a piece at a time; closes it."""
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


async def data_url(row: Attachment) -> str:
    """`data:<type>;base64,…`, the form in which models are given files."""
    return f"data:{row.mime_type};base64,{base64.b64encode(await read(row)).decode()}"


async def text_of(row: Attachment, wait_s: float = TEXT_WAIT_S) -> str | None:
    """The text of the file; None when it has none, or not within `wait_s`. Takes up an extraction that a dead process left."""
    status, text = await database.run(_text, row.id)
    if status == "pending":
        running = _extracting.get(row.id)
        if running is None or running.get_loop() is not asyncio.get_running_loop():
            running = _start_extraction(row)
        await asyncio.wait((running,), timeout=wait_s)
        status, text = await database.run(_text, row.id)
    return text if status == "ready" else None


def signed_path(row: Attachment) -> str:
    """A path on this site that gives the file to whoever has it, for 24 hours."""
    return signed_path_of(row.id)


def signed_path_of(attachment_id: UUID | str) -> str:
    """The same by the id alone; nothing says that the file is still there."""
    return PATH + _signer.sign(UUID(str(attachment_id)).hex)


async def attachment_of(signed: str) -> Attachment:
    """The file of a signed path's last step. Raises not_found for a bad, an expired or an orphaned one alike."""
    try:
        key = UUID(_signer.unsign(signed, max_age=SIGNED_S))
    except (signing.BadSignature, ValueError) as error:
        raise SwitchboardError("not_found") from error
    found = await database.run(_rows, Q(pk=key))
    if not found:
        raise SwitchboardError("not_found")
    return found[0]


async def attachment_by_url(principal: Principal, url: str, site: str) -> Attachment | None:
    """The caller's file that a signed address of this `site` (scheme and host) stands for; None for any other address (UI-15)."""
    own_path = url.removeprefix(site.rstrip("/"))
    if not own_path.startswith(PATH):
        return None
    try:
        row = await attachment_of(own_path.removeprefix(PATH))
        return (await attachments_for(principal, [str(row.id)]))[0]
    except SwitchboardError:
        return None


def display_name(name: str) -> str:
    """What is shown as the file's name: its last step, without anything that does not print."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(filter(str.isprintable, last)).strip()[:_MAX_NAME_CHARS] or "file"


def _write(row: Attachment, chunks: Iterable[bytes], declared_type: str, anything: bool) -> None:
    """Fills the row and stores the bytes. In a temporary file until they are known to be welcome."""
    with TemporaryUploadedFile(row.id.hex, "", 0, None) as spool:
        _copy(chunks, spool, settings.UPLOAD_MAX_BYTES)
        path = Path(spool.temporary_file_path())
        row.size_bytes = spool.tell()
        row.mime_type = _type_of(path, row.name, declared_type, anything)
        if filetypes.is_text(row.mime_type):
            check_size(row.size_bytes, settings.UPLOAD_MAX_TEXT_BYTES)
            row.text, row.text_status = extraction.text_of_plain(path), "ready"
        elif extraction.is_readable(row.mime_type):
            row.text_status = "pending"
        row.file.save(row.id.hex, spool, save=False)


def _type_of(path: Path, name: str, declared_type: str, anything: bool) -> str:
    try:
        return filetypes.type_of(path, name, declared_type)
    except SwitchboardError:
        if not anything:
            raise
        return "application/octet-stream"


def _copy(chunks: Iterable[bytes], spool: Any, limit: int) -> None:
    for chunk in chunks:
        check_size(spool.tell() + len(chunk), limit)
        spool.write(chunk)
    spool.flush()
    spool.size = spool.tell()


def _remove_bytes(row: Attachment) -> None:
    row.file.delete(save=False)


def check_size(size_bytes: int, limit: int) -> None:
    """Raises request_too_large (413)."""
    if size_bytes > limit:
        raise SwitchboardError("request_too_large", f"The file is larger than {limit} bytes.")


def _uuid(value: object) -> UUID:
    """Ids are UUIDs in lower-case text (R0.2); anything else could not exist."""
    try:
        key = UUID(value) if isinstance(value, str) else None
    except ValueError:
        key = None
    if key is None or str(key) != value:
        raise SwitchboardError("attachment_not_found")
    return key


def _own(principal: Principal) -> Q:
    """A user's files are the user's, whatever the credential; those of callers without a user belong to their namespace."""
    if principal.user_id is not None:
        return Q(owner_id=principal.user_id)
    return Q(owner=None, namespace=principal.namespace)


def _rows(condition: Q) -> list[Attachment]:
    return list(Attachment.objects.filter(condition, deleted_at=None).defer("text"))


def _text(key: UUID) -> tuple[str, str]:
    """Status and text as they are now; of a deleted file there is none."""
    return Attachment.objects.filter(pk=key).values_list("text_status", "text").first() or ("none", "")


def _mark_deleted(key: UUID) -> bool:
    """Whether this call deleted it: two at once do it once."""
    gone = {"deleted_at": timezone.now(), "text": "", "text_status": "none"}
    return Attachment.objects.filter(pk=key, deleted_at=None).update(**gone) == 1


def _start_extraction(row: Attachment) -> asyncio.Task[None]:
    task = asyncio.create_task(_extract(row.id, Path(row.file.path), row.mime_type))
    _extracting[row.id] = task
    task.add_done_callback(lambda _: _extracting.pop(row.id, None))
    return task


async def _extract(key: UUID, path: Path, media_type: str) -> None:
    """A document that was deleted meanwhile stays without text."""
    values = {"text_status": "ready"}
    try:
        values["text"] = await extraction.text_of_document(path, media_type)
    except extraction.ExtractionError:
        log.warning("extraction_failed attachment=%s", key)
        values["text_status"] = "failed"
    await database.run(Attachment.objects.filter(pk=key, deleted_at=None).update, **values)
