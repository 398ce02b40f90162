"""How /api/schema and /docs describe the files of the UI-message wire."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from agents.errors import CODES
from chat import documents
from chat.documents import properties
from chat.protocols.uimessage.errors import envelope, invalid

TAG = "uimessage: files"
ATTACHMENT_ID = "550e8400-e29b-41d4-a716-446655440000"
_UUID = {"type": "string", "format": "uuid"}
_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "required": ["message", "error", "code", "request_id"],
    "properties": {
        "message": _TEXT,
        "error": {"type": "string", "description": "The same text."},
        "code": {"type": "string", "description": "Stable; branch on this."},
        "errors": {"type": "array", "items": properties(path=_TEXT, message=_TEXT), "description": "Only for invalid fields."},
        "request_id": _TEXT,
    },
}


def refusals(*codes: str) -> dict[Any, Any]:
    """Responses for error codes, in the envelope of this wire (UI-3)."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CODES[code][0], []).append(code)
    return {status: _refusal(found) for status, found in sorted(by_status.items())}


def _refusal(codes: list[str]) -> OpenApiResponse:
    examples = [OpenApiExample(code, _shown(code), response_only=True) for code in codes]
    return OpenApiResponse(_ERROR, description=", ".join(f"`{code}`" for code in codes), examples=examples)


def _shown(code: str) -> dict[str, Any]:
    error = invalid("attachmentId", "The id of an attachment is required.", code)
    if code != "invalid_request":
        error.message, error.errors = CODES[code][1], None
    return envelope(error, documents.REQUEST_ID)


upload = extend_schema(
    operation_id="attachment_upload",
    tags=[TAG],
    summary="Upload a file",
    description="One field `file`, at most 32 MiB, text 10 MiB. Its bytes decide what it is. Name the id in `metadata.attachments`.",
    parameters=[documents.IDEMPOTENCY_KEY],
    request={"multipart/form-data": properties(file={"type": "string", "format": "binary"})},
    responses={
        200: documents.body(
            properties(attachmentId=_UUID, file=properties(name=_TEXT, mimeType=_TEXT, sizeInBytes={"type": "integer"})),
            "Stored.",
            {"attachmentId": ATTACHMENT_ID, "file": {"name": "a.pdf", "mimeType": "application/pdf", "sizeInBytes": 48213}},
        ),
        **refusals(
            "invalid_request", "invalid_credentials", "insufficient_scope", "request_too_large", "unsupported_media_type",
            "idempotency_key_reused",
        ),
    },
)  # fmt: skip
delete = extend_schema(
    operation_id="attachment_delete",
    tags=[TAG],
    summary="Delete a file",
    description="The id in a JSON body works too. The bytes are removed; past messages keep name and size.",
    parameters=[OpenApiParameter("attachmentId", str, description="The id that the upload gave.")],
    request=None,
    responses={
        200: documents.body(
            properties(success={"const": True}, message=_TEXT, attachmentId=_UUID),
            "Deleted.",
            {"success": True, "message": "Attachment deleted successfully", "attachmentId": ATTACHMENT_ID},
        ),
        **refusals("invalid_request", "invalid_credentials", "insufficient_scope", "attachment_not_found"),
    },
)
download = extend_schema(
    operation_id="attachment_download",
    tags=[TAG],
    summary="Download a file by its signed address",
    description="Signed addresses come with messages and work for 24 hours.",
    parameters=[OpenApiParameter("signed", str, OpenApiParameter.PATH)],
    auth=[],
    responses={(200, "*/*"): OpenApiResponse({"type": "string", "format": "binary"}, description="The bytes."), **refusals("not_found")},
)
