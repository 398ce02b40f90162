"""The OpenAI wire over plain HTTP: paths, headers, errors, parameters, tools, formats (openai.md sections 1 to 9 and 11)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx2 as httpx
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from tests.support import clients
from tests.support.server import Server
from tests.support.upstream import FakeUpstream
from tests.wire import openaiwire
from tests.wire.openaiwire import PATH, WEATHER, ask, content, error, heard, stream, user

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", autouse=True)
def agents(server: Server) -> None:
    openaiwire.prepare(server)


# Paths and errors


def test_unknown_paths_and_wrong_methods(client: httpx.Client) -> None:
    """OAI-1, R0.5: before any credential is looked at; a slash at the end changes nothing (R0.1)."""
    for path in ("/v1/nothing", "/v1/", "/v1/chat", "/v1/chat/completions/x"):
        assert error(client.get(path, headers={"authorization": ""})) == (404, "unknown_url", None)
    for method, path, allowed in (("GET", PATH, "POST"), ("POST", "/v1/models", "GET"), ("DELETE", "/v1/models/root", "GET")):
        refused = client.request(method, path, headers={"authorization": ""})
        assert error(refused) == (405, "method_not_allowed", None)
        assert refused.headers["allow"] == allowed
    assert client.get("/v1/models/").status_code == 200


def test_every_refusal_has_the_envelope(client: httpx.Client, server: Server) -> None:
    """R3.1, R3.4, OAI-59, OAI-60."""
    said = {"model": "root", "messages": user("x")}
    rows: list[tuple[dict[str, Any], tuple[int, str, str | None]]] = [
        ({"json": said, "headers": {"authorization": "Bearer sk-nobody"}}, (401, "invalid_api_key", None)),
        ({"json": said, "headers": {"host": "evil.example.com"}}, (400, "bad_host", None)),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, (415, "unsupported_media_type", None)),
        ({"content": b""}, (400, "invalid_json", None)),
        ({"content": b'{"model": "root", } '}, (400, "invalid_json", None)),
        ({"content": b'{"model": "\\ud800"}'}, (400, "invalid_json", None)),
        ({"content": b'{"model": "a\\u0000b"}'}, (400, "invalid_json", None)),
        ({"content": b'{"temperature": NaN}'}, (400, "invalid_json", None)),
        ({"content": b'{"a":' * 70 + b"1" + b"}" * 70}, (400, "invalid_json", None)),
        ({"content": b"[]"}, (400, "invalid_value", None)),
        ({"json": {"messages": user("x")}}, (400, "missing_required_parameter", "model")),
        ({"json": {"model": "root"}}, (400, "missing_required_parameter", "messages")),
        ({"json": {**said, "model": "gpt-4"}}, (404, "model_not_found", "model")),
        ({"json": {**said, "model": "private"}}, (200, "", None)),
        ({"json": {**said, "temperature": 3}}, (400, "invalid_value", "temperature")),
        ({"json": said, "headers": {"idempotency-key": "a b"}}, (400, "invalid_idempotency_key", None)),
        ({"json": said, "headers": {"x-conversation-id": "a b"}}, (400, "invalid_value", "X-Conversation-Id")),
        ({"json": {**said, "model": "oai-disabled"}}, (503, "agent_not_running", None)),
        ({"content": b"x" * 20_000_000}, (413, "request_too_large", None)),
        ({"content": iter([b"x" * 1_000_000] * 20)}, (413, "request_too_large", None)),
    ]
    for request, expected in rows:
        answer = client.post(PATH, **request)
        if expected[0] != 200:
            assert error(answer) == expected, request
        assert answer.headers["x-request-id"]
        assert answer.headers["content-type"] == "application/json"
    assert client.post(PATH, content=orjson.dumps(said), headers={"content-type": ""}).status_code == 200
    assert (
        client.post(PATH, content=orjson.dumps(said), headers={"content-type": "application/vnd.api+json; charset=utf-8"}).status_code
        == 200
    )


def test_401_challenges(server: Server) -> None:
    """R1.8."""
    with clients.http(server, None) as nobody:
        for path in ("/v1/models", "/v1/models/root"):
            refused = nobody.get(path)
            assert error(refused) == (401, "invalid_api_key", None)
            assert refused.json()["error"]["message"] == "missing or invalid bearer token"
            assert refused.headers["www-authenticate"] == "Bearer"


def test_what_one_may_not_use_does_not_exist(server: Server) -> None:
    """R2.1: for the stranger a private agent is like one that never was."""
    with clients.http(server, "stranger") as stranger, clients.http(server, "guest") as guest:
        assert "private" not in {model["id"] for model in stranger.get("/v1/models").json()["data"]}
        hidden, unknown = (ask(stranger, "x", model=model) for model in ("private", "nobody"))
        assert hidden.content == unknown.content.replace(b"nobody", b"private")
        assert set(hidden.headers) == set(unknown.headers)
        assert error(stranger.get("/v1/models/private")) == (404, "model_not_found", "model")
        assert guest.get("/v1/models/private").json()["id"] == "private"
        assert ask(guest, "x", model="private").status_code == 200


def test_scopes(server: Server) -> None:
    """R1.4: `run` also lists; the scope is asked after the body (R0.5)."""
    expected = {"run": (200, 200, 400), "read": (200, 403, 400), "knowledge": (403, 403, 400)}
    for scope, statuses in expected.items():
        with clients.http(server, f"owner:{scope}") as client:
            got = client.get("/v1/models"), ask(client, "x"), client.post(PATH, json={"model": "root"})
            assert tuple(answer.status_code for answer in got) == statuses


def test_a_key_for_some_agents_sees_only_those(server: Server) -> None:
    """R1.3, R2.3; R1.1: the scheme in any case, spaces around the token."""
    key = server.manage("create_api_key", "owner", "--agent", "oai-fast")
    with clients.http(server, None, authorization=f"bearer   {key}") as client:
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["oai-fast"]
        assert error(ask(client, "x", model="root")) == (404, "model_not_found", "model")


def test_openapi_is_open_to_all(server: Server) -> None:
    """OAI-2."""
    with clients.http(server, None) as nobody:
        answer = nobody.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    validate(answer.json(), cls=OpenAPIV31SpecValidator)
    assert answer.json()["servers"] == [{"url": server.base_url}]


# Answers


def test_the_whole_answer(client: httpx.Client) -> None:
    """OAI-35, OAI-40: exactly these keys; the id is the execution's."""
    answer = ask(client, "Hello", metadata={"ticket": "7"}, user="u1")
    assert list(answer.json()) == [
        "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "metadata",
    ]  # fmt: skip
    choice = answer.json()["choices"][0]
    assert list(choice) == ["index", "finish_reason", "logprobs", "message"]
    assert choice["message"] == {"role": "assistant", "content": "Hello! How can I help?", "refusal": None, "annotations": []}
    assert answer.json()["id"] == f"chatcmpl-{UUID(answer.headers['x-execution-id']).hex}"
    assert answer.json()["metadata"] == {"ticket": "7"}
    assert answer.headers["x-switchboard-agent"] == "root"
    assert {f"x-ratelimit-{kind}-{what}" for kind in ("limit", "remaining", "reset") for what in ("requests", "tokens")} <= set(
        answer.headers
    )
    assert "x-session-id" not in answer.headers
    detail = client.get(f"/api/executions/{answer.headers['x-execution-id']}").json()
    assert detail["status"] == "success"


def test_the_stream(client: httpx.Client) -> None:
    """OAI-43, R12.2."""
    response, frames = stream(client, "Hello")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert frames[-1] == "[DONE]"
    assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert frames[-2]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert content(frames) == "Hello! How can I help?"
    assert frames[0]["id"] == f"chatcmpl-{UUID(response.headers['x-execution-id']).hex}"


@pytest.mark.parametrize(
    "script", ["/demo text Hm.\n/demo tool oai_clock\n/demo text It is late.", "/demo tool oai_clock\n/demo text Late."]
)
def test_both_modes_say_the_same(client: httpx.Client, script: str) -> None:
    """OAI-36: the text of all steps, parted by one blank line."""
    whole = ask(client, script, model="oai-clock").json()["choices"][0]
    _, frames = stream(client, script, model="oai-clock")
    assert content(frames) == whole["message"]["content"] == ("Hm.\n\nIt is late." if "Hm" in script else "Late.")
    assert whole["finish_reason"] == frames[-2]["choices"][0]["finish_reason"] == "stop"
    assert "tool_calls" not in whole["message"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_finish_reasons(client: httpx.Client, reason: str) -> None:
    """OAI-37."""
    script = f"/demo text Half\n/demo finish {reason}"
    assert ask(client, script, model="oai-fast").json()["choices"][0]["finish_reason"] == reason
    assert stream(client, script, model="oai-fast")[1][-2]["choices"][0]["finish_reason"] == reason


def test_reasoning_is_sent_where_the_agent_allows_it(client: httpx.Client) -> None:
    """OAI-39: never in `content`."""
    script = "/demo reasoning Think.\n/demo text Yes."
    shown = ask(client, script, model="oai-thinker").json()["choices"][0]["message"]
    assert (shown["content"], shown["reasoning_content"]) == ("Yes.", "Think.")
    assert "reasoning_content" not in ask(client, script, model="oai-fast").json()["choices"][0]["message"]
    _, frames = stream(client, script, model="oai-thinker")
    assert content(frames) == "Yes."
    assert "Think." in "".join(frame["choices"][0]["delta"].get("reasoning_content", "") for frame in frames[:-1])


def test_calls_of_own_tools_are_shown_on_demand(client: httpx.Client) -> None:
    """OAI-30, R11.1: under an id of ours."""
    script = '/demo tool oai_clock {"timezone": "Europe/Oslo"}\n/demo text Late.'
    headers = {"X-Switchboard-Tool-Events": "true"}
    (call,) = ask(client, script, model="oai-clock", headers=headers).json()["choices"][0]["message"]["tool_calls"]
    assert call["id"].startswith("srv_")
    assert (call["server_executed"], call["function"]["name"]) == (True, "oai_clock")
    _, frames = stream(client, script, model="oai-clock", headers=headers)
    (streamed,) = [frame for frame in frames[:-1] if "tool_calls" in frame["choices"][0]["delta"]]
    assert streamed["choices"][0]["delta"]["tool_calls"][0]["function"] == call["function"]
    assert frames[-2]["choices"][0]["finish_reason"] == "stop"


def test_a_pause_is_told(client: httpx.Client) -> None:
    """OAI-41, OAI-49."""
    script = '/demo text I look.\n/demo tool oai_clock {"timezone": "Europe/Oslo"}\n/demo text It is late.'
    answer = ask(client, script, model="oai-approval")
    assert answer.headers["x-execution-status"] == "paused"
    choice, pause = answer.json()["choices"][0], answer.json()["switchboard"]
    assert choice["message"]["content"] == "I look.\n\nThis step needs approval before it can continue."
    assert choice["finish_reason"] == "stop"
    assert (pause["status"], pause["execution_id"]) == ("paused", answer.headers["x-execution-id"])
    assert [(each["name"], each["arguments"]) for each in pause["approvals"]] == [("oai_clock", {"timezone": "Europe/Oslo"})]
    _, frames = stream(client, script, model="oai-approval")
    assert content(frames) == choice["message"]["content"]
    assert frames[-2]["switchboard"]["approvals"][0]["name"] == "oai_clock"
    approval = pause["approvals"][0]["tool_call_id"]
    decided = client.post(f"/api/executions/{pause['execution_id']}/approvals/{approval}", json={"approve": True})
    assert decided.status_code == 200


# Requests


def test_what_the_model_is_asked(client: httpx.Client, upstream: FakeUpstream) -> None:
    """Section 4: applied, capped, or named in X-Switchboard-Ignored."""
    fields = {"temperature": 0.5, "seed": 7, "stop": ["END"], "max_tokens": 100, "logit_bias": {"1": 2}, "reasoning_effort": "low"}
    assert "x-switchboard-ignored" not in ask(client, "Hello", **fields, store=True).headers
    body = upstream.last["body"]
    assert {name: body.get(name) for name in ("temperature", "seed", "stop", "logit_bias", "reasoning_effort")} == {
        name: fields[name] for name in ("temperature", "seed", "stop", "logit_bias", "reasoning_effort")
    }
    assert 100 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert "store" not in body
    messages = [{"role": "system", "content": "Be brief."}, *user("Hello")]
    locked = ask(client, messages, model="oai-locked", **fields)
    assert set(locked.headers["x-switchboard-ignored"].replace(" ", "").split(",")) == {
        "temperature", "seed", "logit_bias", "reasoning_effort", "messages.system",
    }  # fmt: skip
    body = upstream.last["body"]
    assert body["temperature"] == 0.1
    assert 50 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert body["stop"] == ["END"]
    assert heard(upstream) == [("user", "Hello")]


def test_instructions_come_after_the_agent_s_own(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-18, OAI-19: in order, marked, never first."""
    ask(client, [{"role": "developer", "content": "One."}, *user("Hello"), {"role": " SYSTEM", "content": "Two."}], model="oai-able")
    (role, text), (last, _) = heard(upstream)
    assert (role, last) == ("system", "user")
    assert text.startswith("You are able.")
    assert "caller" in text.lower()
    assert text.index("One.") < text.index("Two.")


def test_messages_reach_the_model_as_they_were(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-21 … OAI-25."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    sound = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    paper = {"type": "file", "file": {"filename": "a.pdf", "file_data": "JVBERi0="}}
    parts = [{"type": "text", "text": "What is this?"}, picture, sound, paper]
    messages = [*user("First"), *user("Second"), {"role": "assistant", "content": "Yes"}, {"role": "user", "content": parts}]
    assert ask(client, messages, model="oai-able").status_code == 200
    told = heard(upstream)[1:]
    assert told[:2] == [("user", "First\n\nSecond"), ("assistant", "Yes")]
    sent = {part["type"]: part for part in told[2][1]}
    assert sent["image_url"] == picture
    assert sent["input_audio"] == sound
    assert sent["file"]["file"]["filename"] == "a.pdf"
    assert sent["file"]["file"]["file_data"].endswith("JVBERi0=")
    assert error(ask(client, messages)) == (400, "unsupported_content_part", "messages[3].content[1].image_url.url")


def test_continue_buttons_work(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-25."""
    ask(client, [*user("Count"), {"role": "assistant", "content": "One, two"}])
    assert heard(upstream) == [("user", "Count"), ("assistant", "One, two"), ("user", "Continue.")]


def test_requests_that_nobody_could_answer(client: httpx.Client) -> None:
    """OAI-20, OAI-24."""
    assert error(ask(client, [{"role": "system", "content": "x"}])) == (400, "invalid_value", "messages")
    lost = [*user("x"), {"role": "tool", "tool_call_id": "call_1", "content": "y"}]
    assert error(ask(client, lost)) == (400, "invalid_tool_history", "messages[1].tool_call_id")


# Client tools


def test_client_tools_by_policy(client: httpx.Client, upstream: FakeUpstream) -> None:
    """R11.2, OAI-26, OAI-27."""
    ask(client, "Hello", tools=[WEATHER], tool_choice="required", parallel_tool_calls=False)
    assert [tool["function"]["name"] for tool in upstream.last["body"]["tools"]] == ["get_weather"]
    assert upstream.last["body"]["tool_choice"] == "required"
    ask(client, "Hello", model="oai-ignores", tools=[WEATHER], tool_choice="required")
    assert "tools" not in upstream.last["body"]
    conflict = {"type": "function", "function": {"name": "oai_clock"}}
    assert error(ask(client, "x", model="oai-clock", tools=[conflict])) == (400, "tool_name_conflict", "tools[0].function.name")


def test_only_the_first_call_counts_where_one_was_allowed(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-27."""
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Oslo", "Rome")]
    answer = ask(client, upstream.script(tools=calls), tools=[WEATHER], parallel_tool_calls=False)
    assert len(answer.json()["choices"][0]["message"]["tool_calls"]) == 1


def test_arguments_are_the_model_s_own_text(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-28: even when it is not JSON."""
    said = upstream.script(tools=[{"name": "get_weather", "arguments": '{"city": "Os'}])
    (call,) = ask(client, said, tools=[WEATHER]).json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"city": "Os'


def test_a_secret_in_arguments_reaches_their_caller_alone(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-28, R0.9 (docs/decisions/0005): the caller acts on what the model wrote; what is stored and shown elsewhere is scrubbed."""
    said = upstream.script(tools=[{"name": "get_weather", "arguments": '{"city": "sk-fake-upstream-key", }'}])
    answer = ask(client, said, tools=[WEATHER])
    (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"city": "sk-fake-upstream-key", }'
    said = upstream.script(tools=[{"name": "get_weather", "arguments": {"city": "sk-fake-upstream-key"}}])
    answer = ask(client, said, tools=[WEATHER], headers={"idempotency-key": str(uuid4())})
    found = client.get(f"/api/executions/{answer.headers['x-execution-id']}").json()
    assert found["tool_calls"][0]["input"] == {"city": "[redacted]"}
    assert "sk-fake-upstream-key" not in orjson.dumps([found["execution_log"], found["tool_calls"]]).decode()


def test_a_step_with_both_kinds_of_calls_is_kept_for_the_next_request(client: httpx.Client, server: Server, upstream: FakeUpstream) -> None:
    """OAI-29: the model sees the whole step again; for another caller the client's copy is all there is."""
    calls = [
        {"id": "call_own", "name": "oai_clock", "arguments": {}},
        {"id": "call_mix", "name": "get_weather", "arguments": {"city": "Oslo"}},
    ]
    said = user(upstream.script(tools=calls, text="Cold and late."))
    first = ask(client, said, model="oai-mixed", tools=[WEATHER]).json()["choices"][0]
    assert [call["id"] for call in first["message"]["tool_calls"]] == ["call_mix"]
    history = [*said, first["message"], {"role": "tool", "tool_call_id": "call_mix", "content": "-3"}]
    second = ask(client, history, model="oai-mixed", tools=[WEATHER])
    assert second.json()["choices"][0]["message"]["content"] == "Cold and late."
    seen = upstream.last["body"]["messages"]
    assert [call["id"] for call in seen[1]["tool_calls"]] == ["call_own", "call_mix"]
    assert sorted(message["tool_call_id"] for message in seen[2:]) == ["call_mix", "call_own"]
    with clients.http(server, "guest") as guest:
        ask(guest, history, model="oai-mixed", tools=[WEATHER])
    assert [call["id"] for call in upstream.last["body"]["messages"][1]["tool_calls"]] == ["call_mix"]


# Formats

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def test_the_final_answer_alone_is_bound(client: httpx.Client) -> None:
    """OAI-32: text before a tool call is no part of `content`."""
    script = '/demo text Let me look.\n/demo tool oai_clock\n/demo json {"a": 1}'
    assert ask(client, script, model="oai-clock", response_format=FORMAT).json()["choices"][0]["message"]["content"] == '{"a": 1}'
    assert content(stream(client, script, model="oai-clock", response_format=FORMAT)[1]) == '{"a": 1}'


def test_an_invalid_answer_is_repaired_once(client: httpx.Client) -> None:
    """OAI-32, OAI-33, R10.1: counted in the usage; a stream cannot be taken back."""
    fixed = ask(client, "/demo usage 10 1\n/demo json wrong", model="oai-fast", response_format=FORMAT)
    assert list(orjson.loads(fixed.json()["choices"][0]["message"]["content"])) == ["a"]
    assert fixed.json()["usage"]["prompt_tokens"] > 10
    hopeless = ask(client, "/demo json hopeless", model="oai-fast", response_format=FORMAT)
    assert error(hopeless) == (500, "structured_output_failed", None)
    assert hopeless.headers["x-should-retry"] == "false"
    _, frames = stream(client, "/demo json wrong", model="oai-fast", response_format=FORMAT)
    assert frames[-2]["error"]["code"] == "structured_output_failed"
    assert frames[-1] == "[DONE]"


def test_json_objects_are_checked_for_parsing(client: httpx.Client) -> None:
    """OAI-33."""
    answer = ask(client, '/demo json {"b": 2}', model="oai-fast", response_format={"type": "json_object"})
    assert answer.json()["choices"][0]["message"]["content"] == '{"b": 2}'
    assert (
        error(ask(client, "/demo json hopeless", model="oai-fast", response_format={"type": "json_object"}))[1]
        == "structured_output_failed"
    )


def test_the_request_s_format_replaces_the_agent_s(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-31."""
    ask(client, upstream.script(text='{"a": 1}'), model="oai-json")
    assert upstream.last["body"]["response_format"]["type"] == "json_object"
    assert ask(client, "Hello", model="oai-json", response_format={"type": "text"}).status_code == 200
    assert "response_format" not in upstream.last["body"]


# Failures


def test_failures_before_the_first_event_have_a_status(client: httpx.Client, upstream: FakeUpstream) -> None:
    """R5.1, R3.3, OAI-59: streaming or not, in our words."""
    for script, expected in (
        ({"status": 400, "error": "secret text"}, (502, "provider_error", None)),
        ({"status": 503}, (503, "provider_unavailable", None)),
    ):
        for answer in (ask(client, upstream.script(**script)), stream(client, upstream.script(**script))[0]):
            assert error(answer) == expected
            assert "secret" not in answer.text
    assert answer.headers["retry-after"]


def test_a_failure_after_tools_ran_is_not_to_be_repeated(client: httpx.Client) -> None:
    """OAI-61, R3.5."""
    failed = ask(client, "/demo tool oai_clock\n/demo error network", model="oai-clock")
    assert failed.status_code == 503
    assert failed.headers["x-should-retry"] == "false"
    assert failed.json()["error"]["execution_id"] == failed.headers["x-execution-id"]


def test_a_failure_in_the_stream_ends_it_properly(client: httpx.Client) -> None:
    """OAI-48, R5.2: no finish reason is invented, no usage is sent."""
    script = "/demo text Half an\n/demo error overloaded"
    response, frames = stream(client, script, model="oai-fast", stream_options={"include_usage": True})
    assert response.status_code == 200
    assert content(frames[:-2]) == "Half an"
    assert list(frames[-2]) == ["error"]
    assert frames[-1] == "[DONE]"
    assert all(frame["choices"][0]["finish_reason"] is None for frame in frames[:-2])


def test_the_answer_to_a_key_is_given_again(client: httpx.Client, upstream: FakeUpstream) -> None:
    """R4.2, R4.3: byte for byte, without a model call; another question under the same key is refused."""
    for how in ({}, {"stream": True}):
        key = {"Idempotency-Key": f"oai-{len(how)}"}
        body = {"model": "root", "messages": user("Hello"), **how}
        first = client.post(PATH, json=body, headers=key)
        calls = upstream.stats["requests"]
        again = client.post(PATH, json=body, headers=key)
        assert upstream.stats["requests"] == calls
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["x-execution-id"] == first.headers["x-execution-id"]
        if how:
            told, told_again = ([line for line in answer.text.splitlines() if line.startswith("data: ")] for answer in (first, again))
            assert (told_again[0], told_again[-2:]) == (told[0], told[-2:])
            assert "Hello! How can I help?" in again.text
        else:
            assert again.content == first.content
        other = client.post(PATH, json={**body, "messages": user("Bye")}, headers=key)
        assert error(other) == (422, "idempotency_key_reused", None)


# Front ends


def test_background_calls_of_a_front_end(client: httpx.Client, upstream: FakeUpstream) -> None:
    """OAI-69: no tools, no conversation, labelled."""
    for said, headers in (
        ("Name this chat", {"X-OpenWebUI-Task": "title_generation", "X-Conversation-Id": "a b", "X-OpenWebUI-User-Id": "u9"}),
        ("### Task:\nName it.\n<chat_history>x</chat_history>", {"X-Conversation-Id": "oai-task"}),
    ):
        answer = ask(client, said, model="oai-mixed", tools=[WEATHER], headers=headers)
        assert answer.status_code == 200
        assert not {"x-conversation-id", "x-session-id"} & set(answer.headers)
        assert "tools" not in upstream.last["body"]
    ask(client, "### Task: real work", model="oai-mixed")
    assert [tool["function"]["name"] for tool in upstream.last["body"]["tools"]] == ["oai_clock"]


# Which agent answers


def test_clients_with_a_hard_coded_model(new_server: Callable[..., Server]) -> None:
    """OAI-12, OAI-14: the fallback answers under the name that was asked for."""
    server = new_server(env={"CHAT_UNKNOWN_MODEL": "fallback", "CHAT_DEFAULT_AGENT": "private"})
    with clients.http(server) as owner, clients.http(server, "stranger") as stranger:
        answer = ask(owner, "Hello", model="gpt-4")
        assert (answer.json()["model"], answer.headers["x-switchboard-agent"]) == ("gpt-4", "private")
        unnamed = owner.post(PATH, json={"messages": user("Hello")})
        assert (unnamed.json()["model"], unnamed.headers["x-switchboard-agent"]) == ("private", "private")
        assert error(ask(stranger, "Hello", model="gpt-4")) == (404, "model_not_found", "model")
    server.stop()


def test_a_pinned_agent(new_server: Callable[..., Server]) -> None:
    """OAI-3, OAI-13."""
    server = new_server(env={"CHAT_AGENT": "scripted", "CHAT_OWNED_BY": "acme"})
    with clients.http(server) as client:
        assert [(model["id"], model["owned_by"]) for model in client.get("/v1/models").json()["data"]] == [("scripted", "acme")]
        assert error(ask(client, "Hello", model="root")) == (404, "model_not_found", "model")
        assert client.post(PATH, json={"messages": user("Hello")}).headers["x-switchboard-agent"] == "scripted"
    server.stop()
