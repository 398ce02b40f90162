"""Scripts of the fake model server and the bytes they stand for. Made once per script and model, so that bursts cost nothing.

A script is the JSON object in the last paragraph of the last user message, or the model name written `chunks=100,burst=1`;
its keys are the fields of Script.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import orjson

HELLO = "Hello! How can I help?"
USAGE: Mapping[str, Any] = {
    "prompt_tokens": 412,
    "completion_tokens": 9,
    "total_tokens": 421,
    "prompt_tokens_details": {"cached_tokens": 256},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How one request is answered. Values that are objects or lists are kept as JSON text, so that answers can be cached."""

    text: str = HELLO
    chunks: int = 0
    """That many chunks of `text` (default `tok `); 0: `text` word by word."""
    delay_ms: int = 0
    burst: bool = False
    """Everything in one write."""
    reasoning: str = ""
    refusal: str = ""
    tools: str = ""
    """Calls [{"name", "arguments"}, …] first; `text` when their results are there."""
    finish: str = ""
    usage: str = orjson.dumps(USAGE).decode()
    """false: none."""
    usage_everywhere: bool = False
    status: int = 200
    retry_after: str = ""
    error: str = ""
    """Error body of `status`, or with status 200 an in-band error after the chunks."""
    fail_first: int = 0
    """Only that many requests with this `key` fail."""
    key: str = ""
    cut: bool = False
    """The connection ends after the chunks."""
    garbage: bool = False
    endless: bool = False
    hang: bool = False
    """Never answers, after the calls of `tools`; with `fail_first` only that often."""
    stall: bool = False
    """Falls silent after the chunks."""
    hold: str = ""
    """Answers when the test says so: FakeUpstream.hold()."""
    slow_headers_ms: int = 0
    whole: bool = False
    """One JSON object, though a stream was asked for."""
    done: bool = True
    crlf: bool = False
    comments: bool = False
    no_stream_options: bool = False
    """Refuses `stream_options` with 400."""


FIELDS = {each.name: each.type for each in fields(Script)}


def script_for(body: Mapping[str, Any]) -> Script:
    """The last user message's script, else the model name's, else the default. `echo` as model repeats the message."""
    text = last_user_text(body)
    paragraph = text.strip().split("\n\n")[-1]
    if paragraph.startswith("{"):
        try:
            written = orjson.loads(paragraph)
        except ValueError:
            written = None
        if isinstance(written, dict) and written and set(written) <= set(FIELDS):
            return script_from(written)
    model = str(body.get("model", ""))
    return Script(text=text) if model == "echo" else _script_of_model(model)


def last_user_text(body: Mapping[str, Any]) -> str:
    users = [message for message in body["messages"] if message["role"] == "user"]
    content = users[-1]["content"] if users else ""
    return content if isinstance(content, str) else "\n\n".join(part["text"] for part in content if part.get("type") == "text")


def script_from(written: Mapping[str, Any]) -> Script:
    values = dict(written)
    if "chunks" in values:
        values.setdefault("text", "tok ")
    for name in ("tools", "usage", "error"):
        if name in values and not isinstance(values[name], str):
            values[name] = orjson.dumps(values[name]).decode()
    if "retry_after" in values:
        values["retry_after"] = str(values["retry_after"])
    return Script(**values)


@lru_cache(maxsize=1000)
def _script_of_model(model: str) -> Script:
    pairs = [pair.split("=", 1) for pair in model.split(",") if "=" in pair]
    known = {name: value for name, value in pairs if name in FIELDS}
    return script_from({name: _converted(name, value) for name, value in known.items()})


def _converted(name: str, value: str) -> Any:
    if FIELDS[name] is bool:
        return value not in ("0", "false")
    return int(value) if FIELDS[name] is int else value


def answered(body: Mapping[str, Any]) -> bool:
    """The results of tool calls stand at the end of the conversation."""
    return bool(body["messages"]) and body["messages"][-1]["role"] == "tool"


@lru_cache(maxsize=1000)
def burst(script: Script, model: str, after_tools: bool) -> bytes:
    return b"".join(frames(script, model, after_tools))


@lru_cache(maxsize=1000)
def frames(script: Script, model: str, after_tools: bool) -> tuple[bytes, ...]:
    """The frames of an answer, in the order of Script's fields."""
    made = list(_frames(script, model, after_tools))
    if script.comments:
        made = [piece for each in made for piece in (b": keep-alive\n\n", each)]
    return tuple(piece.replace(b"\n", b"\r\n") if script.crlf else piece for piece in made)


def _frames(script: Script, model: str, after_tools: bool) -> Iterator[bytes]:
    extra = {"usage": orjson.loads(script.usage)} if script.usage_everywhere else {}
    calls = orjson.loads(script.tools) if script.tools and not after_tools else []
    yield frame(model, {"role": "assistant", "content": ""}, extra)
    for delta in _deltas(script, calls):
        yield frame(model, delta, extra)
    if script.garbage:
        yield b"data: {this is not JSON}\n\n"
    if script.error and script.status == 200:
        yield b"data: " + script.error.encode() + b"\n\n"
    if script.cut or script.endless or script.stall or (script.error and script.status == 200):
        return
    yield frame(model, {}, extra, finish=script.finish or ("tool_calls" if calls else "stop"))
    if script.usage != "false":
        yield b'data: {"id":"chatcmpl-fake","object":"chat.completion.chunk","choices":[],"usage":' + script.usage.encode() + b"}\n\n"
    if script.done:
        yield b"data: [DONE]\n\n"


def _deltas(script: Script, calls: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for word in words(script.reasoning):
        yield {"reasoning_content": word}
    for word in words(script.refusal):
        yield {"refusal": word}
    for index, call in enumerate(calls):
        yield from _call_pieces(index, call)
    if not calls and not script.refusal:
        for text in [script.text] * script.chunks or words(script.text):
            yield {"content": text}


def _whole_call(index: int, call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    head = {"id": call.get("id", f"call_fake_{index + 1}"), "type": "function"}
    return {**head, "function": {"name": call["name"], "arguments": text}}


def _call_pieces(index: int, call: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    made = _whole_call(index, call)
    text = made["function"]["arguments"]
    yield {"tool_calls": [{"index": index, **made, "function": {**made["function"], "arguments": ""}}]}
    for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def words(text: str) -> list[str]:
    """Words with the space before them, as tokens usually are."""
    first, *others = text.split(" ")
    return [piece for piece in (first, *(f" {word}" for word in others)) if piece]


def frame(model: str, delta: Mapping[str, Any], extra: Mapping[str, Any] | None = None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1767605400, "model": model, "choices": [choice]}
    return b"data: " + orjson.dumps({**chunk, **(extra or {})}) + b"\n\n"


def whole(script: Script, model: str, after_tools: bool) -> bytes:
    calls = orjson.loads(script.tools) if script.tools and not after_tools else []
    message: dict[str, Any] = {"role": "assistant", "content": None if calls else script.text * max(script.chunks, 1)}
    if calls:
        message["tool_calls"] = [_whole_call(index, call) for index, call in enumerate(calls)]
    choice = {"index": 0, "message": message, "finish_reason": script.finish or ("tool_calls" if calls else "stop")}
    answer = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1767605400, "model": model, "choices": [choice]}
    return orjson.dumps({**answer, "usage": orjson.loads(script.usage) or None})
