"""Events of a turn -> bytes on the OpenAI wire, byte for byte (OAI-35 … OAI-49)."""

from dataclasses import replace

import orjson
import pytest

from chat.events import (
    Gap,
    Numbered,
    ReasoningDelta,
    RefusalDelta,
    SourceCited,
    StepFinished,
    StepStarted,
    TextDelta,
    ToolCalled,
    ToolReturned,
    TurnCancelled,
    TurnEvent,
    TurnFailed,
    TurnFinished,
    TurnStarted,
    Usage,
)
from chat.protocols.openai.codec import Encoder, Form, completion
from tests.protocols.story import STORIES, numbered
from tests.support import golden

ID = "0b5c1f7e3d0a4a529a510f6a0c1d2e3f"
BASE = Form(model="root", execution_id=ID, created_s=1767605400)
USAGE = Usage(input_tokens=412, output_tokens=9, cache_read_tokens=256, model_calls=1)
START = TurnStarted(execution_id="0b5c1f7e-3d0a-4a52-9a51-0f6a0c1d2e3f", agent="root", version=1, model="demo")
STOP = TurnFinished(finish_reason="stop", usage=USAGE, duration_ms=10)
SERVER_CALL = ToolCalled(call_id="srv_clock0000001", name="clock", arguments={"zone": "UTC"})
CLIENT_CALL = ToolCalled(call_id="call_7Qz", name="get_weather", arguments={"city": "Oslo"}, raw='{"city":"Oslo"}', client=True)
BROKEN_CALL = ToolCalled(call_id="call_8", name="get_weather", arguments={}, raw='{"city":', client=True)
NO_ARGUMENTS = ToolCalled(call_id="call_9", name="now", arguments={}, raw="", client=True)
SOURCE = SourceCited(source_id="s1", title="Findings", url="https://example.com/f")
PAGELESS = SourceCited(source_id="s2", title="Handbook", filename="handbook.pdf")
TOOL_END = TurnFinished(finish_reason="tool_calls", usage=USAGE, duration_ms=10)
FAILURE = TurnFailed(code="timeout", message="The request took longer than 300 seconds.", status=504, usage=USAGE)


def hello(*more: TurnEvent) -> list[TurnEvent]:
    return [START, StepStarted(1), TextDelta(1, "Hello"), TextDelta(1, ' "world" – Grüße 🌍\n'), *more]


TURNS: dict[str, list[TurnEvent]] = {
    "plain": hello(StepFinished(step=1, usage=USAGE, model="demo"), STOP),
    "nothing": [START, STOP],
    "length": hello(TurnFinished(finish_reason="length", usage=USAGE, duration_ms=10)),
    "filtered": hello(TurnFinished(finish_reason="content_filter", usage=USAGE, duration_ms=10)),
    "client_tools": [START, CLIENT_CALL, BROKEN_CALL, NO_ARGUMENTS, TOOL_END],
    "text_then_client_tool": hello(CLIENT_CALL, TOOL_END),
    "server_tool": [START, SERVER_CALL, ToolReturned(call_id="srv_clock0000001", name="clock", output="noon"), TextDelta(2, "Noon."), STOP],
    "two_steps": hello(SERVER_CALL, TextDelta(2, ""), TextDelta(3, "Noon"), TextDelta(3, "."), STOP),
    "refusal": [START, RefusalDelta(1, "I can't "), RefusalDelta(1, "help."), STOP],
    "reasoning": [START, ReasoningDelta(1, "Think. "), ReasoningDelta(2, "More."), TextDelta(3, "Yes."), STOP],
    "citations": [START, SERVER_CALL, SOURCE, PAGELESS, SOURCE, TextDelta(1, "Found."), STOP],
    "failed": hello(FAILURE),
    "failed_at_once": [START, FAILURE],
    "cancelled": hello(TurnCancelled(code="cancelled", message="The run was cancelled.")),
    "lost": hello(Gap(first=3, last=9), TextDelta(1, "never shown"), STOP),
}
FORMS: dict[str, dict[str, bool]] = {
    "": {},
    "usage": {"include_usage": True},
    "tool_events": {"tool_events": True},
    "reasoning": {"show_reasoning": True},
}
GOLDEN = [
    *((turn, "") for turn in TURNS),
    *((turn, "usage") for turn in ("plain", "client_tools", "failed")),
    *((turn, "tool_events") for turn in ("server_tool", "two_steps", "client_tools")),
    ("reasoning", "reasoning"),
]


def encoded(events: list[Numbered], size: int = 1, include_usage: bool = False, **form: bool) -> bytes:
    """What a reader sees who is given the events `size` at a time."""
    encoder = Encoder(replace(BASE, **form), include_usage)
    return b"".join(encoder.encode(events[at : at + size]) for at in range(0, len(events), size))


def chunks(stream: bytes) -> list[dict[str, object]]:
    frames = [frame.removeprefix(b"data: ") for frame in stream.split(b"\n\n") if frame]
    return [orjson.loads(frame) for frame in frames if frame != b"[DONE]"]


@pytest.mark.parametrize(("turn", "form"), GOLDEN)
def test_a_stream_is_these_bytes(turn: str, form: str) -> None:
    """OAI-43 … OAI-48."""
    golden.check(f"openai/{turn}{'-' + form if form else ''}.sse", encoded(numbered(*TURNS[turn]), **FORMS[form]))


def test_the_contract_s_own_example() -> None:
    """OAI-45, OAI-46."""
    head = '{"id":"chatcmpl-0b5c1f7e3d0a4a529a510f6a0c1d2e3f","object":"chat.completion.chunk","created":1767605400,"model":"root",'
    head += '"system_fingerprint":null,'
    choice = '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null}'
    usage = (
        '"choices":[],"usage":{"prompt_tokens":412,"completion_tokens":9,"total_tokens":421,'
        '"prompt_tokens_details":{"cached_tokens":256,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,'
        '"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}'
    )
    frames = [
        head + choice % ('{"role":"assistant","content":""}', "null"),
        head + choice % ('{"content":"Hello!"}', "null"),
        head + choice % ("{}", '"stop"'),
        head + usage,
        "[DONE]",
    ]
    made = encoded(numbered(START, TextDelta(1, "Hello!"), STOP), include_usage=True)
    assert made.decode() == "".join(f"data: {frame}\n\n" for frame in frames)


@pytest.mark.parametrize("story", STORIES)
def test_the_story_is_these_bytes(story: str) -> None:
    shown = encoded(STORIES[story], include_usage=True, tool_events=True, show_reasoning=True)
    golden.check(f"openai/story-{story}.sse", shown)


def test_a_paused_turn_ends_at_the_pause() -> None:
    """OAI-41, OAI-49: the same answer whether or not the run has gone on since."""
    paused = STORIES["paused"]
    gone_on = [*paused, *numbered(TextDelta(9, "Refunded."), STOP, first=len(paused) + 1)]
    assert encoded(gone_on) == encoded(paused)
    assert completion(gone_on, BASE) == completion(paused, BASE)
    last = chunks(encoded(paused))[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["switchboard"] == completion(paused, BASE)["switchboard"]


@pytest.mark.parametrize(("turn", "form"), [*GOLDEN[:10], ("citations", ""), ("server_tool", "tool_events"), ("reasoning", "reasoning")])
def test_a_whole_answer_is_this_object(turn: str, form: str) -> None:
    """OAI-35 … OAI-42."""
    options = {name: value for name, value in FORMS[form].items() if name != "include_usage"}
    whole = completion(numbered(*TURNS[turn]), replace(BASE, **options))
    golden.check(f"openai/{turn}{'-' + form if form else ''}.json", orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")


def test_a_paused_whole_answer_is_this_object() -> None:
    """OAI-41, with the caller's metadata (section 4)."""
    whole = completion(STORIES["paused"], replace(BASE, tool_events=True), {"ticket": "7"})
    golden.check("openai/story-paused.json", orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")


@pytest.mark.parametrize("turn", TURNS)
def test_content_of_a_stream_is_the_content_of_the_whole_answer(turn: str) -> None:
    """OAI-36, separators included."""
    streamed = "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks(encoded(numbered(*TURNS[turn]))) if "choices" in chunk
    )
    if turn not in ("failed", "failed_at_once", "cancelled", "lost"):
        assert streamed == (completion(numbered(*TURNS[turn]), BASE)["choices"][0]["message"]["content"] or "")


@pytest.mark.parametrize("size", [2, 3, 7, 100])
@pytest.mark.parametrize("turn", TURNS)
def test_batches_change_only_where_chunks_are_cut(turn: str, size: int) -> None:
    """Neighbouring texts of one batch are one chunk; everything else is the same."""

    def told(stream: bytes) -> tuple[str, list[object]]:
        text, rest = "", []
        for chunk in chunks(stream):
            delta = chunk["choices"][0]["delta"] if chunk.get("choices") else {}
            if set(delta) == {"content"}:
                text += delta["content"]
            else:
                rest.append(chunk)
        return text, rest

    events = numbered(*TURNS[turn])
    assert told(encoded(events, size)) == told(encoded(events))


def test_without_the_option_no_chunk_has_usage_and_with_it_all_have() -> None:
    """OAI-46."""
    events = numbered(*TURNS["plain"])
    assert not [chunk for chunk in chunks(encoded(events)) if "usage" in chunk]
    asked = chunks(encoded(events, include_usage=True))
    assert [chunk["usage"] for chunk in asked[:-1]] == [None] * (len(asked) - 1)
    assert asked[-1]["choices"] == []


def test_the_role_comes_with_the_first_event_and_not_before() -> None:
    """OAI-45, R5.1: a call of the agent's own tool counts, though it is not shown."""
    encoder = Encoder(BASE)
    assert encoder.encode(numbered(START, StepStarted(1))) == b""
    assert chunks(encoder.encode(numbered(SERVER_CALL)))[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert encoder.encode([]) == b""


def test_nothing_follows_the_end() -> None:
    encoder = Encoder(BASE)
    encoder.encode(numbered(*TURNS["plain"]))
    assert encoder.encode(numbered(TextDelta(9, "late"), STOP)) == b""


@pytest.mark.parametrize("model", ["root", 'a"b', "ünï", "org/model"])
def test_the_requested_model_is_repeated_verbatim(model: str) -> None:
    """OAI-14."""
    encoder = Encoder(replace(BASE, model=model))
    assert {chunk["model"] for chunk in chunks(encoder.encode(numbered(*TURNS["plain"])))} == {model}


def test_every_choice_has_its_keys() -> None:
    """OAI-44: `finish_reason` is there, null, until the last content chunk; `id`, `created`, `model` are shared."""
    for turn in TURNS.values():
        for chunk in (chunk for chunk in chunks(encoded(numbered(*turn))) if "error" not in chunk):
            assert list(chunk) == ["id", "object", "created", "model", "system_fingerprint", "choices"]
            assert [list(choice) for choice in chunk["choices"]] == [["index", "delta", "logprobs", "finish_reason"]]
            assert chunk["id"] == f"chatcmpl-{ID}"
