"""What a request may hold, row by row (sections 4 to 7 of the contract)."""

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import SwitchboardError
from agents.specs import Sampling
from chat.protocols.openai.formats import check_schema
from chat.protocols.openai.serializers import ChatRequest, parse, settle
from tests.protocols.openai.agents import CLOCK, agent

HELLO = [{"role": "user", "content": "Hello"}]
PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}


def ask(**fields: Any) -> ChatRequest:
    request = parse({"model": "root", "messages": HELLO, **fields})
    asyncio.run(check_schema(request.response_format))
    return request


def refused(**fields: Any) -> SwitchboardError:
    with pytest.raises(SwitchboardError) as caught:
        ask(**fields)
    assert caught.value.status == 400
    return caught.value


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def schema_format(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


REFUSED: list[tuple[str, Any, str, str, str]] = [
    ("temperature", 3, "invalid_value", "temperature", "temperature must be in [0, 2], got 3"),
    ("temperature", -0.1, "invalid_value", "temperature", "temperature must be in [0, 2], got -0.1"),
    ("temperature", True, "invalid_value", "temperature", "temperature must be a number"),
    ("temperature", "1", "invalid_value", "temperature", "temperature must be a number"),
    ("top_p", 0, "invalid_value", "top_p", "top_p must be in (0, 1], got 0"),
    ("top_p", 1.5, "invalid_value", "top_p", "top_p must be in (0, 1], got 1.5"),
    ("presence_penalty", 2.5, "invalid_value", "presence_penalty", "presence_penalty must be in [-2, 2], got 2.5"),
    ("frequency_penalty", -3, "invalid_value", "frequency_penalty", "frequency_penalty must be in [-2, 2], got -3"),
    ("max_tokens", 0, "invalid_value", "max_tokens", "max_tokens must be at least 1, got 0"),
    ("max_completion_tokens", 1.5, "invalid_value", "max_completion_tokens", "max_completion_tokens must be an integer"),
    ("max_completion_tokens", True, "invalid_value", "max_completion_tokens", "max_completion_tokens must be an integer"),
    ("seed", "1", "invalid_value", "seed", "seed must be an integer"),
    ("stream", 1, "invalid_value", "stream", "stream must be true or false"),
    ("model", 7, "invalid_value", "model", "model must be a string"),
    ("stop", 1, "invalid_value", "stop", "stop must be a string or an array of strings"),
    ("stop", [], "invalid_value", "stop", "stop must have 1 to 4 entries, got 0"),
    ("stop", list("abcde"), "invalid_value", "stop", "stop must have 1 to 4 entries, got 5"),
    ("stop", ["a", ""], "invalid_value", "stop[1]", "stop[1] must not be empty"),
    ("stop", "x" * 257, "invalid_value", "stop", "stop must have at most 256 characters, got 257"),
    ("logit_bias", [1], "invalid_value", "logit_bias", "logit_bias must be an object"),
    ("logit_bias", {"50256": 101}, "invalid_value", "logit_bias.50256", "logit_bias.50256 must be in [-100, 100], got 101"),
    ("reasoning_effort", "huge", "invalid_value", "reasoning_effort", ""),
    ("verbosity", "loud", "invalid_value", "verbosity", "verbosity must be one of low, medium, high, got loud"),
    ("metadata", "x", "invalid_value", "metadata", "metadata must be an object"),
    ("metadata", {str(n): "x" for n in range(17)}, "invalid_value", "metadata", "metadata must have at most 16 pairs, got 17"),
    ("metadata", {"k" * 65: "x"}, "invalid_value", "metadata", "keys of metadata must have at most 64 characters, got 65"),
    ("metadata", {"k": "x" * 513}, "invalid_value", "metadata.k", "metadata.k must have at most 512 characters, got 513"),
    ("metadata", {"k": 1}, "invalid_value", "metadata.k", "metadata.k must be a string"),
    ("user", "x" * 257, "invalid_value", "user", "user must have at most 256 characters, got 257"),
    ("safety_identifier", 5, "invalid_value", "safety_identifier", "safety_identifier must be a string"),
    ("n", 2, "unsupported_value", "n", ""),
    ("n", 0, "invalid_value", "n", "n must be at least 1, got 0"),
    ("logprobs", True, "unsupported_value", "logprobs", ""),
    ("top_logprobs", 2, "unsupported_value", "top_logprobs", ""),
    ("modalities", ["text", "audio"], "unsupported_value", "modalities", ""),
    ("modalities", "text", "invalid_value", "modalities", "modalities must be an array"),
    ("audio", {"voice": "alloy"}, "unsupported_parameter", "audio", ""),
    ("functions", [], "unsupported_parameter", "functions", "functions is not supported: use tools instead"),
    ("function_call", "auto", "unsupported_parameter", "function_call", ""),
    ("moderation", {}, "unsupported_parameter", "moderation", ""),
    ("web_search_options", {}, "unsupported_parameter", "web_search_options", ""),
    ("parallel_tool_calls", 0, "invalid_value", "parallel_tool_calls", "parallel_tool_calls must be true or false"),
    ("messages", None, "missing_required_parameter", "messages", "messages is required"),
    ("messages", {}, "invalid_value", "messages", "messages must be an array"),
    ("messages", [], "invalid_value", "messages", "at least one message is required"),
    ("messages", HELLO * 2001, "invalid_value", "messages", "messages must have at most 2000 entries, got 2001"),
    ("messages", ["x"], "invalid_value", "messages[0]", "messages[0] must be an object"),
    ("messages", [{"content": "x"}], "invalid_value", "messages[0].role", ""),
    ("messages", [*HELLO, {"role": "function", "content": "x"}], "invalid_value", "messages[1].role", ""),
    ("messages", [{"role": "user"}], "invalid_value", "messages[0].content", "content must be a string or array of parts"),
    ("messages", [{"role": "user", "content": 5}], "invalid_value", "messages[0].content", "content must be a string or array of parts"),
    ("messages", [{"role": "system", "content": None}], "invalid_value", "messages[0].content", ""),
    ("messages", [{"role": "tool", "content": "x"}], "invalid_value", "messages[0].tool_call_id", ""),
    ("messages", user({"type": "video", "video": {}}), "unsupported_content_part", "messages[0].content[0].type", ""),
    ("messages", user({"type": "refusal", "refusal": "no"}), "unsupported_content_part", "messages[0].content[0].type", ""),
    ("messages", user(*[{"type": "text", "text": "x"}] * 257), "invalid_value", "messages[0].content", ""),
    ("messages", user({"type": "text"}), "invalid_value", "messages[0].content[0].text", ""),
    ("messages", user({"type": "image_url", "image_url": PNG}), "invalid_value", "messages[0].content[0].image_url", ""),
    (
        "messages",
        [*HELLO, *HELLO, *user({"type": "image_url", "image_url": {"url": "ftp://x"}})],
        "invalid_value",
        "messages[2].content[0].image_url.url",
        "messages[2].content[0].image_url.url must be a data: URL of an image, or http(s)",
    ),
    (
        "messages",
        user({"type": "image_url", "image_url": {"url": "data:text/plain;base64,aGk="}}),
        "invalid_value",
        "messages[0].content[0].image_url.url",
        "",
    ),
    (
        "messages",
        user({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}),
        "invalid_value",
        "messages[0].content[0].image_url.url",
        "messages[0].content[0].image_url.url is not valid base64",
    ),
    (
        "messages",
        user({"type": "input_audio", "input_audio": {"data": "aGk", "format": "wav"}}),
        "invalid_value",
        "messages[0].content[0].input_audio.data",
        "",
    ),
    (
        "messages",
        user({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "ogg"}}),
        "invalid_value",
        "messages[0].content[0].input_audio.format",
        "",
    ),
    ("messages", user({"type": "file", "file": {}}), "invalid_value", "messages[0].content[0].file", ""),
    (
        "messages",
        user({"type": "file", "file": {"filename": "a.txt", "file_data": "?"}}),
        "invalid_value",
        "messages[0].content[0].file.file_data",
        "",
    ),
    (
        "messages",
        [{"role": "assistant", "content": [{"type": "image_url"}]}],
        "unsupported_content_part",
        "messages[0].content[0].type",
        "parts of this message must be text or refusal",
    ),
    (
        "messages",
        [{"role": "tool", "tool_call_id": "1", "content": [{"type": "file"}]}],
        "unsupported_content_part",
        "messages[0].content[0].type",
        "",
    ),
    ("messages", [{"role": "assistant", "function_call": {}}], "unsupported_parameter", "messages[0].function_call", ""),
    ("messages", [{"role": "assistant", "tool_calls": {}}], "invalid_value", "messages[0].tool_calls", ""),
    ("messages", [{"role": "assistant", "tool_calls": [{"type": "custom"}]}], "unsupported_value", "messages[0].tool_calls[0].type", ""),
    (
        "messages",
        [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}],
        "invalid_value",
        "messages[0].tool_calls[0].function.arguments",
        "",
    ),
    ("tools", [WEATHER] * 129, "invalid_value", "tools", "tools must have at most 128 entries, got 129"),
    ("tools", [WEATHER, WEATHER], "invalid_value", "tools[1].function.name", ""),
    ("tools", [{"type": "custom", "custom": {"name": "x"}}], "unsupported_value", "tools[0].type", ""),
    ("tools", [{"type": "function", "function": {"name": "get weather"}}], "invalid_value", "tools[0].function.name", ""),
    ("tools", [{"type": "function", "function": {"name": "x" * 65}}], "invalid_value", "tools[0].function.name", ""),
    ("tools", [{"type": "function", "function": {"name": "f", "parameters": []}}], "invalid_value", "tools[0].function.parameters", ""),
    ("tool_choice", "required", "invalid_value", "tool_choice", ""),
    ("tool_choice", "any", "invalid_value", "tool_choice", ""),
    ("tool_choice", {"type": "function", "function": {"name": "nobody"}}, "invalid_value", "tool_choice", ""),
    ("tool_choice", {"type": "custom", "custom": {"name": "x"}}, "unsupported_value", "tool_choice.type", ""),
    (
        "tool_choice",
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "nobody"}}]}},
        "invalid_value",
        "tool_choice",
        "",
    ),
    ("response_format", "json", "invalid_value", "response_format", ""),
    ("response_format", {"type": "xml"}, "invalid_value", "response_format.type", ""),
    (
        "response_format",
        {"type": "json_schema", "json_schema": {"schema": OBJECT}},
        "invalid_value",
        "response_format.json_schema.name",
        "",
    ),
    ("response_format", schema_format(None), "invalid_schema", "response_format.json_schema", ""),
    ("response_format", schema_format({"type": "array"}), "invalid_schema", "response_format.json_schema", ""),
    ("response_format", schema_format({"type": "nonsense"}), "invalid_schema", "response_format.json_schema", ""),
    (
        "response_format",
        schema_format({"type": "object", "properties": {"a": {"pattern": "("}}}),
        "invalid_schema",
        "response_format.json_schema",
        "",
    ),
    (
        "response_format",
        schema_format({"type": "object", "properties": {"a": {"$ref": "https://example.com/s.json"}}}),
        "invalid_schema",
        "response_format.json_schema",
        "the schema must not refer to other documents",
    ),
    (
        "response_format",
        schema_format({"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}}),
        "invalid_schema",
        "response_format.json_schema",
        "",
    ),
    (
        "response_format",
        schema_format({"type": "object", "description": "x" * 65_536}),
        "invalid_schema",
        "response_format.json_schema",
        "",
    ),
]


@pytest.mark.parametrize(("field", "value", "code", "param", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_bad_field_is_refused_with_its_path(field: str, value: Any, code: str, param: str, message: str) -> None:
    """OAI-15 … OAI-31: code, path and, where the contract names it, the sentence."""
    error = refused(**{field: value})
    assert (error.code, error.param) == (code, param)
    assert not message or error.message == message


def test_stream_options_count_only_when_streaming() -> None:
    assert ask(stream=True, stream_options={"include_usage": True, "include_obfuscation": True}).include_usage
    assert not ask(stream=True, stream_options={"include_usage": None}).include_usage
    assert not ask(stream_options={"include_usage": True}).include_usage
    assert not ask(stream_options="nonsense").include_usage
    assert refused(stream=True, stream_options={"include_usage": 1}).param == "stream_options.include_usage"


EVERYTHING = {
    "temperature": 0.5,
    "top_p": 0.9,
    "presence_penalty": -2,
    "frequency_penalty": 2,
    "seed": 7,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "xhigh",
    "verbosity": "low",
}


def test_what_is_sent_is_applied() -> None:
    """Section 4."""
    settled = settle(ask(**EVERYTHING, max_tokens=100, max_completion_tokens=50, stop=["END"]), agent())
    assert settled.sampling == Sampling(**EVERYTHING, max_tokens=50, stop=("END",))
    assert settled.ignored == ()


@pytest.mark.parametrize("field", ["store", "service_tier", "prediction", "prompt_cache_key", "prompt_cache_options", "anything_else"])
def test_hints_and_unknown_keys_are_ignored(field: str) -> None:
    assert ask(**{field: {"any": ["thing"]}}) == ask()


@pytest.mark.parametrize(
    "field", [*EVERYTHING, "max_tokens", "stop", "metadata", "user", "n", "functions", "audio", "tools", "response_format"]
)
def test_null_is_absent(field: str) -> None:
    """OAI-16."""
    assert ask(**{field: None}) == ask()


def test_a_locked_agent_names_what_it_ignores() -> None:
    """OAI-15: bounds are checked anyway, limits and stops still hold."""
    own = Sampling(temperature=0.1, stop=("OWN",), max_tokens=20)
    settled = settle(ask(**EVERYTHING, max_tokens=100, stop="END"), agent(sampling_locked=True, sampling=own))
    assert settled.sampling == Sampling(stop=("OWN", "END"), max_tokens=20)
    assert set(settled.ignored) == set(EVERYTHING)
    assert refused(temperature=9).param == "temperature"


def test_what_the_model_does_not_know_is_named() -> None:
    """OAI-15."""
    settled = settle(ask(**EVERYTHING), agent(unsupported=frozenset(("seed", "logit_bias"))))
    assert settled.ignored == ("seed", "logit_bias")
    assert settled.sampling.seed is None


def test_the_caller_s_limit_is_capped_by_the_agent_s() -> None:
    limited = agent(sampling=Sampling(max_tokens=200))
    assert settle(ask(max_tokens=500), limited).sampling.max_tokens == 200
    assert settle(ask(max_tokens=5), limited).sampling.max_tokens == 5


def test_roles_are_trimmed_and_lowered_and_developer_is_system() -> None:
    """OAI-18, OAI-19."""
    request = ask(
        messages=[
            {"role": " System", "content": "One."},
            {"role": "user", "content": "Hi"},
            {"role": "DEVELOPER", "content": [{"type": "text", "text": "Two."}]},
            {"role": "system", "content": "  "},
        ]
    )
    assert request.instructions == ("One.", "Two.")
    assert [entry.role for entry in request.entries] == ["user"]


def test_an_agent_may_refuse_instructions() -> None:
    """OAI-19."""
    request = ask(messages=[{"role": "system", "content": "One."}, *HELLO])
    assert settle(request, agent()).instructions == ("One.",)
    settled = settle(request, agent(caller_instructions=False))
    assert (settled.instructions, settled.ignored) == ((), ("messages.system",))
    assert settle(ask(), agent(caller_instructions=False)).ignored == ()


def test_blank_messages_are_dropped() -> None:
    """OAI-21: but not those with calls, with files, or results."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    messages = [
        {"role": "user", "content": " \n"},
        *user({"type": "image_url", "image_url": {"url": PNG}}),
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": [], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": ""},
        *HELLO,
    ]
    assert [entry.at for entry in ask(messages=messages).entries] == [1, 3, 4, 5]


def test_our_own_calls_are_removed_from_client_history() -> None:
    """OAI-24."""
    ours = {"id": "srv_clock0000001", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [ours]},
        {"role": "tool", "tool_call_id": "srv_clock0000001", "content": "noon"},
        {"role": "assistant", "content": "Noon.", "tool_calls": [ours]},
        *HELLO,
    ]
    assert [(entry.role, entry.text, entry.calls) for entry in ask(messages=messages).entries] == [
        ("user", "Hello", ()),
        ("assistant", "Noon.", ()),
        ("user", "Hello", ()),
    ]


def test_after_an_assistant_text_the_user_says_continue() -> None:
    """OAI-25."""
    entries = ask(messages=[*HELLO, {"role": "assistant", "content": "Half an ans"}]).entries
    assert (entries[-1].role, entries[-1].text) == ("user", "Continue.")


def test_user_parts_become_canonical() -> None:
    """OAI-22, OAI-23."""
    parts = [
        {"type": "text", "text": "Look", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "aGk="}},
        {"type": "file", "file": {"filename": "b", "file_data": "data:text/csv;charset=utf-8;base64,aGk="}},
        {"type": "file", "file": {"file_id": "abc"}},
    ]
    (entry,) = ask(messages=user(*parts)).entries
    assert entry.text == "Look"
    assert entry.parts == (
        {"type": "text", "text": "Look"},
        {"type": "image", "url": PNG, "detail": "low"},
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "audio", "data": "aGk=", "format": "wav"},
        {"type": "file", "filename": "a.pdf", "media_type": "application/pdf", "data": "data:application/pdf;base64,aGk="},
        {"type": "file", "filename": "b", "media_type": "text/csv", "data": "data:text/csv;base64,aGk="},
        {"type": "file", "filename": "", "media_type": "", "attachment_id": "abc"},
    )


def test_a_refusal_that_comes_back_is_what_was_said() -> None:
    """OAI-22."""
    entries = ask(messages=[*HELLO, {"role": "assistant", "content": None, "refusal": "No."}, *HELLO]).entries
    assert entries[1].text == "No."
    parts = [{"type": "text", "text": "I"}, {"type": "refusal", "refusal": "won't"}]
    assert ask(messages=[*HELLO, {"role": "assistant", "content": parts}, *HELLO]).entries[1].text == "I\n\nwon't"


CLIENT_TOOLS = {"tools": [WEATHER, {"type": "function", "function": {"name": "get_time", "strict": True, "description": "The time."}}]}
FUNCTION = {"type": "function", "function": {"name": "get_time"}}


@pytest.mark.parametrize(
    ("choice", "policy", "names", "told"),
    [
        (None, "pass", ["get_weather", "get_time"], None),
        ("auto", "pass", ["get_weather", "get_time"], None),
        ("required", "pass", ["get_weather", "get_time"], "required"),
        ("none", "pass", [], None),
        (FUNCTION, "pass", ["get_weather", "get_time"], FUNCTION),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [FUNCTION]}}, "pass", ["get_time"], "required"),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}}, "pass", ["get_time"], None),
        ("required", "ignore", [], None),
        ("required", ("get_weather",), ["get_weather"], "required"),
        (FUNCTION, ("get_weather",), ["get_weather"], None),
        ("required", ("other",), [], None),
    ],
)
def test_client_tools_are_offered_by_choice_and_policy(choice: Any, policy: Any, names: list[str], told: Any) -> None:
    """OAI-26, OAI-27, R11.2."""
    settled = settle(ask(**CLIENT_TOOLS, tool_choice=choice), agent(client_tools=policy))
    assert [tool.name for tool in settled.client_tools] == names
    assert settled.tool_choice == told


def test_a_client_tool_may_not_be_called_like_the_agent_s() -> None:
    """OAI-26, R11.3: unless client tools are ignored."""
    request = ask(tools=[WEATHER, {"type": "function", "function": {"name": "clock"}}])
    with pytest.raises(SwitchboardError) as caught:
        settle(request, agent(tools=(CLOCK,)))
    assert (caught.value.code, caught.value.param, caught.value.status) == ("tool_name_conflict", "tools[1].function.name", 400)
    assert settle(request, agent(tools=(CLOCK,), client_tools="ignore")).client_tools == ()


def test_formats_are_passed_on() -> None:
    """OAI-31: also the plain one, since it replaces the agent's."""
    assert ask(response_format={"type": "text"}).response_format == {"type": "text"}
    assert ask(response_format={"type": "json_object", "x": 1}).response_format == {"type": "json_object"}
    wanted = schema_format(OBJECT, strict=True, description="An answer.")
    assert ask(response_format=wanted).response_format == wanted
    recursive = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}
    assert ask(response_format=schema_format(recursive)).response_format
    old = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "dependencies": {"a": ["b"]}}
    assert ask(response_format=schema_format(old)).response_format


def test_labels_are_what_the_caller_says_of_the_call() -> None:
    """Section 4: `user` and `safety_identifier` are never used for rights."""
    request = ask(user="u1", safety_identifier="s1", metadata={"ticket": "7"})
    assert request.labels == {"user": "u1", "safety_identifier": "s1", "metadata": {"ticket": "7"}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KNOWN = sorted(
    {row[0] for row in REFUSED}
    | {"role", "content", "type", "text", "image_url", "url", "file", "input_audio", "data", "format", "file_data", "filename", "file_id"}
    | {"tool_calls", "tool_call_id", "id", "function", "name", "arguments", "refusal", "schema", "json_schema", "$ref", "properties"}
    | {"allowed_tools", "mode", "stream_options", "include_usage"}
)
WORDS = st.sampled_from(
    ["user", "assistant", "system", "tool", "text", "image_url", "file", "function", "json_schema", "object", PNG, "#/a", "wav"]
)
LIKELY = st.recursive(
    JSON | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KNOWN), inner, max_size=5), max_leaves=25
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(KNOWN), LIKELY, max_size=6))
def test_any_json_is_either_a_request_or_a_refusal(body: dict[str, Any]) -> None:
    error = refusal_of(orjson.loads(orjson.dumps(body)))
    assert error is None or (error.status == 400 and error.param)


def refusal_of(body: dict[str, Any]) -> SwitchboardError | None:
    try:
        request = parse(body)
        settle(request, agent(tools=(CLOCK,)))
        asyncio.run(check_schema(request.response_format))
    except SwitchboardError as error:
        return error
    return None
