"""Files that a message names by an https address (UI-15, websocket.md §5.1): from hosts on the operator's list only, through the guard."""

from urllib.parse import unquote, urlsplit

from django.conf import settings

from agents.errors import SwitchboardError
from agents.fetch import Answer, Request, fetch
from agents.net import FetchError

TIMEOUT_S = 20
_SENTENCE = "Files may not be fetched from this address."


async def remote_file(url: str) -> tuple[str, Answer]:
    """The file's name and what the server answered. Raises remote_file_not_allowed (400), whatever the cause; follows no redirect."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused() from error
    named = {host, f"{host}:{port}"} if port else {host}
    if parts.scheme != "https" or not named & {entry.lower() for entry in settings.REMOTE_FILE_HOSTS}:
        raise _refused()
    try:
        request = Request(method="GET", url=url, headers={})
        answer = await fetch(request, timeout_s=TIMEOUT_S, max_bytes=settings.UPLOAD_MAX_BYTES, max_redirects=0)
    except FetchError as error:
        raise _refused() from error
    if answer.status != 200 or answer.cut:
        raise _refused()
    return unquote(parts.path.rpartition("/")[2]) or host, answer


def _refused() -> SwitchboardError:
    return SwitchboardError("remote_file_not_allowed", _SENTENCE, status=400)
