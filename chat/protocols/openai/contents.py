"""`content` of a message: a string or an array of parts, checked and put in canonical form (OAI-21 … OAI-23)."""

import binascii
import mimetypes
import re
from collections.abc import Callable, Mapping
from typing import Any

from chat.protocols.openai.errors import invalid, unsupported_part
from chat.protocols.openai.parameters import mapping, one_of, text
from chat.requests import Part

MAX_PARTS = 256
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*;base64,", re.ASCII | re.IGNORECASE)
_audio_format = one_of("wav", "mp3")


def text_content(content: Any, path: str, allowed: tuple[str, ...] = ("text",)) -> str:
    """The text of a system, developer, assistant or tool message; parts are set off by a blank line."""
    if isinstance(content, str):
        return content
    return "\n\n".join(filter(None, (_text_part(part, where, allowed) for part, where in _parts(content, path))))


def user_content(content: Any, path: str) -> tuple[str, tuple[Part, ...]]:
    """Text and canonical parts of a user message that is an array."""
    parts = tuple(_user_part(part, where) for part, where in _parts(content, path))
    return "\n\n".join(part["text"] for part in parts if part["type"] == "text" and part["text"]), parts


def _parts(content: Any, path: str) -> list[tuple[dict[str, Any], str]]:
    if not isinstance(content, list):
        raise invalid(path, "content must be a string or array of parts")
    if len(content) > MAX_PARTS:
        raise invalid(path, f"content must have at most {MAX_PARTS} parts, got {len(content)}")
    return [(mapping(part, f"{path}[{index}]"), f"{path}[{index}]") for index, part in enumerate(content)]


def _text_part(part: dict[str, Any], path: str, allowed: tuple[str, ...]) -> str:
    kind = text(part.get("type"), f"{path}.type")
    if kind not in allowed:
        raise unsupported_part(f"{path}.type", f"parts of this message must be {' or '.join(allowed)}")
    return text(part.get(kind), f"{path}.{kind}")


def _user_part(part: dict[str, Any], path: str) -> Part:
    kind = text(part.get("type"), f"{path}.type")
    read = _USER_PARTS.get(kind)
    if read is None:
        raise unsupported_part(f"{path}.type", f"parts of a user message must be {', '.join(_USER_PARTS)}")
    return read(part.get(kind), f"{path}.{kind}")


def _text(value: Any, path: str) -> Part:
    return {"type": "text", "text": text(value, path)}


def _image(value: Any, path: str) -> Part:
    image = mapping(value, path)
    url, where = text(image.get("url"), f"{path}.url"), f"{path}.url"
    if url[:5].lower() == "data:":
        media_type, _ = _data_url(url, where)
        if not media_type.startswith("image/"):
            raise invalid(where, f"{where} must be a data: URL of an image, or http(s)")
    elif not url.lower().startswith(("https://", "http://")):
        raise invalid(where, f"{where} must be a data: URL of an image, or http(s)")
    detail = image.get("detail")
    return {"type": "image", "url": url} if detail is None else {"type": "image", "url": url, "detail": text(detail, f"{path}.detail")}


def _audio(value: Any, path: str) -> Part:
    audio = mapping(value, path)
    data = _base64(text(audio.get("data"), f"{path}.data"), f"{path}.data")
    return {"type": "audio", "data": data, "format": _audio_format(audio.get("format"), f"{path}.format")}


def _file(value: Any, path: str) -> Part:
    file = mapping(value, path)
    file_id, data = file.get("file_id"), file.get("file_data")
    if (file_id is None) == (data is None):
        raise invalid(path, f"{path} must have either file_data or file_id")
    if file_id is not None:
        return {"type": "file", "filename": "", "media_type": "", "attachment_id": text(file_id, f"{path}.file_id")}
    name, where = text(file.get("filename"), f"{path}.filename", 255), f"{path}.file_data"
    encoded = text(data, where)
    declared, content = _data_url(encoded, where) if encoded[:5].lower() == "data:" else ("", _base64(encoded, where))
    media_type = declared or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"type": "file", "filename": name, "media_type": media_type, "data": f"data:{media_type};base64,{content}"}


def _data_url(url: str, path: str) -> tuple[str, str]:
    """Media type (lower case, may be empty) and base64 text of a data: URL."""
    head = _DATA_URL.match(url)
    if head is None:
        raise invalid(path, f"{path} must be a data: URL in base64")
    return (head[1] or "").lower(), _base64(url[head.end() :], path)


def _base64(data: str, path: str) -> str:
    try:
        empty = not binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        raise invalid(path, f"{path} is not valid base64") from None
    if empty:
        raise invalid(path, f"{path} must not be empty")
    return data


_USER_PARTS: Mapping[str, Callable[[Any, str], Part]] = {"text": _text, "image_url": _image, "input_audio": _audio, "file": _file}
