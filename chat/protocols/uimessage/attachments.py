"""POST /attachment/v1/upload, DELETE /attachment/v1/delete, GET /attachment/{signed}: files of callers (UI-67, UI-68)."""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import IO, Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from agents import attachments, filetypes
from agents.errors import SwitchboardError
from agents.models import Attachment
from chat import idempotency
from chat.models import IdempotencyRecord
from chat.protocols.uimessage import documents, uploads
from chat.protocols.uimessage.errors import envelope, invalid
from chat.requests import IdempotencyClaim
from chat.store import run
from chat.streaming import Send, StreamAnswer
from chat.views import Call, WireView, respond

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_ROUTE = "/attachment/v1/upload"


class UploadView(WireView):
    """One file. The same upload with the same Idempotency-Key gives the first one's answer (UI-8)."""

    scopes = {"POST": "knowledge"}
    json_body = False
    reads_body = False
    envelope = staticmethod(envelope)

    def check_media_type(self, call: Call) -> None:
        uploads.check_multipart(call.headers)

    @documents.upload
    async def post(self, call: Call) -> HttpResponse:
        key, digest = call.headers.get("idempotency-key"), sha256()
        idempotency.claim_for(call.principal, _ROUTE, "", key, None, {})  # a malformed key is refused before anything is stored
        async with uploads.received(call) as file:
            name, declared = file.name or "", file.content_type or ""
            row = await attachments.store(call.principal, name, _hashed(file.chunks(), digest), declared)
        body = [digest.hexdigest(), row.name]
        claim = idempotency.claim_for(call.principal, _ROUTE, "", key, body, {})
        first = await _first_upload(call, claim, row) if claim else row
        return respond(_uploaded(first), headers={"Idempotent-Replayed": "true"} if first is not row else None)


class DeleteView(WireView):
    """The id comes in a JSON body or in the query."""

    scopes = {"DELETE": "knowledge"}
    envelope = staticmethod(envelope)

    @documents.delete
    async def delete(self, call: Call) -> HttpResponse:
        given = call.json().get("attachmentId") if call.body else call.query.get("attachmentId")
        if not isinstance(given, str) or not _UUID.match(given):
            raise invalid("attachmentId", "The id of an attachment is required.")
        row = await attachments.delete(call.principal, given)
        return respond({"success": True, "message": "Attachment deleted successfully", "attachmentId": str(row.id)})


class DownloadView(WireView):
    """Whoever has the signed address has the file: as a download, of the type we found, and never as a page."""

    scopes = {"GET": ""}
    public = True
    envelope = staticmethod(envelope)

    @documents.download
    async def get(self, call: Call, signed: str) -> HttpResponseBase:
        row = await attachments.attachment_of(signed)
        return FileAnswer(row, await attachments.opened(row), with_body=call.request.method != "HEAD")


class FileAnswer(StreamAnswer):
    """The bytes of a file, written a piece at a time by config.handler."""

    def __init__(self, row: Attachment, file: IO[bytes], *, with_body: bool) -> None:
        charset = "; charset=utf-8" if filetypes.is_text(row.mime_type) else ""
        HttpResponseBase.__init__(self, content_type=row.mime_type + charset)
        self["Content-Length"] = str(row.size_bytes)
        self["Content-Disposition"] = content_disposition_header(True, row.name) or "attachment"
        self["Content-Security-Policy"] = "sandbox; default-src 'none'"
        self["X-Content-Type-Options"] = "nosniff"
        self["Cache-Control"] = "private, max-age=3600"
        self._file, self._with_body = file, with_body

    async def write_to(self, send: Send) -> None:
        async for piece in attachments.pieces(self._file):
            if self._with_body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        """For an answer that is never written (HEAD)."""
        self._file.close()


def _uploaded(row: Attachment) -> dict[str, Any]:
    return {"attachmentId": str(row.id), "file": {"name": row.name, "mimeType": row.mime_type, "sizeInBytes": row.size_bytes}}


def _hashed(chunks: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


async def _first_upload(call: Call, claim: IdempotencyClaim, row: Attachment) -> Attachment:
    """The upload that used this key first; if that was another one, ours leaves no trace. Raises idempotency_key_reused."""
    record = await run(_claimed, claim, row)
    if record.execution_id == row.id:
        return row
    await attachments.discard(row)
    if record.fingerprint != claim.fingerprint:
        raise SwitchboardError("idempotency_key_reused")
    return await run(Attachment.objects.get, pk=record.execution_id)


def _claimed(claim: IdempotencyClaim, row: Attachment) -> IdempotencyRecord:
    values = {"fingerprint": claim.fingerprint, "execution_id": row.id}
    return IdempotencyRecord.objects.get_or_create(key_hash=claim.key_hash, defaults=values)[0]
