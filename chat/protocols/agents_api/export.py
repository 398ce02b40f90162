"""A whole conversation as a download: JSON with every branch, or Markdown to read (AG-22)."""

import re
from collections.abc import Iterator

import orjson
from django.http import HttpResponse
from django.utils.http import content_disposition_header

from agents.specs import AgentSpec
from chat.archive import Stretch
from chat.models import ChatSession, Message
from chat.sessionviews import branched_views, content_of, files, session_view, tool_calls
from chat.times import iso

_LINE_END = re.compile(r"\r\n|\r|\n")
_TYPES = {"json": "application/json", "md": "text/markdown; charset=utf-8"}


def download(form: str, session: ChatSession, said: Stretch, agent: AgentSpec) -> HttpResponse:
    """The file, named by the conversation's id: titles are other people's text."""
    content = _json(session, said, agent) if form == "json" else "\n".join(_markdown(session, said.rows)).encode()
    response = HttpResponse(content, content_type=_TYPES[form])
    response["Content-Disposition"] = content_disposition_header(True, f"session-{session.id}.{form}") or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _json(session: ChatSession, said: Stretch, agent: AgentSpec) -> bytes:
    shown = {
        "session": session_view(session, context_window=agent.model.context_window),
        "messages": branched_views(said.rows, None, session, said.runs),
    }
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2)


def _markdown(session: ChatSession, rows: list[Message]) -> Iterator[str]:
    yield f"# {_line(session.title) or 'Conversation'}\n"
    yield f"{session.agent_name} · {iso(session.created_at)} – {iso(session.last_message_at)}\n"
    for row in rows:
        yield f"## {'User' if row.role == Message.Role.USER else session.agent_name} · {iso(row.created_at)}\n"
        yield from (f"- file: {_line(file['name'])}" for file in files(row.parts))
        yield from (f"- tool: `{call['tool']}` `{orjson.dumps(call['input']).decode()}`" for call in tool_calls(row.parts))
        yield f"\n{_quoted(content_of(row))}\n" + ("\n*(incomplete)*\n" if row.incomplete else "")


def _quoted(text: str) -> str:
    """What was said, as a quotation: whatever it opens (headings, fences, HTML) ends with it, and no message passes for another."""
    return "\n".join(f"> {line}".rstrip() for line in _LINE_END.split(text))


def _line(text: str) -> str:
    return " ".join(text.split())
