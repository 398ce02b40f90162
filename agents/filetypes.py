"""What an uploaded file is: its bytes decide, not its name (UI-67). ALLOWED is the closed list of kinds; text must be UTF-8."""

import codecs
import mimetypes
import re
from pathlib import Path

import filetype

from agents.errors import SwitchboardError

_OPEN_XML = "application/vnd.openxmlformats-officedocument"
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument"
PDF = "application/pdf"
ALLOWED = frozenset(
    (
        "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/heic", "image/avif",
        "audio/mpeg", "audio/mp4", "audio/ogg", "audio/flac", "audio/wav", "audio/aac",
        PDF, "application/rtf", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
        f"{_OPEN_XML}.wordprocessingml.document", f"{_OPEN_XML}.spreadsheetml.sheet", f"{_OPEN_XML}.presentationml.presentation",
        f"{_OPEN_DOCUMENT}.text", f"{_OPEN_DOCUMENT}.spreadsheet", f"{_OPEN_DOCUMENT}.presentation",
    )
)  # fmt: skip
"""Kinds with bytes of their own; every text kind is allowed too."""
_STANDARD_NAMES = {"audio/x-flac": "audio/flac", "audio/x-wav": "audio/wav", "image/apng": "image/png"}
_WRITTEN_AS_TEXT = ((b"%PDF-", PDF), (b"{\\rtf", "application/rtf"))
"""Kinds whose files may pass for text."""
_TEXT_TYPE = re.compile(r"text/[a-z0-9.+-]{1,60}|application/(?:json|xml|yaml|toml|javascript|sql|[a-z0-9.-]{1,40}\+(?:json|xml))")
_HEAD_BYTES = 8192
_PIECE_BYTES = 65_536


def type_of(path: Path, name: str, declared: str) -> str:
    """The media type of the file at `path`; of text kinds the declared one or that of the name. Raises unsupported_media_type."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for mark, kind in _WRITTEN_AS_TEXT:
        if head.startswith(mark):
            return kind
    if _is_text(path):
        return _text_type(name, declared)
    guessed = filetype.guess(head)
    kind = _STANDARD_NAMES.get(guessed.mime, guessed.mime) if guessed else ""
    if kind not in ALLOWED:
        raise SwitchboardError("unsupported_media_type", "Files of this type are not accepted.")
    return kind


def is_text(media_type: str) -> bool:
    """Whether files of this type are text as they stand."""
    return bool(_TEXT_TYPE.fullmatch(media_type))


def _text_type(name: str, declared: str) -> str:
    candidates = (declared.partition(";")[0].strip().lower(), mimetypes.guess_type(name)[0] or "")
    return next((kind for kind in candidates if is_text(kind)), "text/plain")


def _is_text(path: Path) -> bool:
    """UTF-8 from beginning to end, without U+0000."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while piece := file.read(_PIECE_BYTES):
                if "\0" in decoder.decode(piece):
                    return False
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True
