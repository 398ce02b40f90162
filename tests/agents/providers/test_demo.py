"""The demo provider: honest without a script, exact with one."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from agents.providers import build
from agents.providers.base import Finish, Reasoning, Refusal, Text, ToolDefinition, Usage
from agents.providers.demo.script import DIRECTIVES, KINDS
from agents.specs import ProviderSpec, Sampling
from tests.agents.providers.asking import Answer, answer_to, request_for

FAST = ProviderSpec(id="d", name="d", kind="demo", options={"delay_ms": 0})
CLOCK = ToolDefinition(name="clock", parameters={"type": "object", "properties": {"timezone": {"type": "string"}}})
WEATHER = ToolDefinition(
    name="get_weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
)


async def ask(content: Any = "Hi", spec: ProviderSpec = FAST, **fields: Any) -> Answer:
    return await answer_to(request_for(spec, content, model="demo", **fields))


def after_calls(content: str, *results: tuple[str, str]) -> list[dict[str, Any]]:
    """The conversation in which the model called tools for `content` and got these (name, output)."""
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": "{}"}} for n, (name, _) in enumerate(results)]
    outputs = [{"role": "tool", "tool_call_id": f"c{n}", "content": output} for n, (_, output) in enumerate(results)]
    return [{"role": "user", "content": content}, {"role": "assistant", "content": None, "tool_calls": calls}, *outputs]


async def test_without_a_script_it_says_that_it_is_a_demo_and_what_it_was_told() -> None:
    answer = await ask("Is anybody there?\nHello?")
    assert answer.text().startswith("I am the demo agent: there is no model behind me")
    assert "> Is anybody there?\n> Hello?" in answer.text()
    assert "/demo text Hello" in answer.text()


async def test_text_comes_word_by_word() -> None:
    answer = await ask("/demo text One two  three")
    assert [delta.text for delta in answer.deltas if isinstance(delta, Text)] == ["One ", "two  ", "three"]
    assert answer.finish == Finish("stop", "demo")


async def test_it_names_its_tools_and_counts_messages_and_files() -> None:
    first = await ask("Hi", tools=(CLOCK,))
    assert "`clock`" in first.text()
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "x"}, {"role": "user", "content": "Again"}]
    later = await ask(messages=turns)
    assert "message number 2" in later.text()
    picture = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]
    shown = await ask(messages=[{"role": "user", "content": picture}])
    assert "1 other part (images or files)" in shown.text()


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("/demo text Hello\\nthere", Text, "Hello\nthere"),
        ('/demo text "  kept  "', Text, "  kept  "),
        ("/demo reasoning Let me think", Reasoning, "Let me think"),
        ("/demo refusal I can't", Refusal, "I can't"),
        ('/demo repeat 3 "ab "', Text, "ab ab ab "),
        ("/demo repeat 2", Text, "word word "),
        ("/demo burst 3 ab", Text, "ababab"),
        ("Please:\n/demo text Hello", Text, "Hello"),
        ("  /demo text Hello", Text, "Hello"),
        ('/demo [{"text": "Hello"}]', Text, "Hello"),
        ('/demo {"repeat": 2, "text": "x"}', Text, "xx"),
        ("/demo\n- text: Hello\n- text: ' you'", Text, "Hello you"),
        ("/demo\n[\n {text: Hello}\n]", Text, "Hello"),
    ],
)
async def test_directives_say_what_they_are_told_in_every_form(script: str, kind: type, text: str) -> None:
    assert (await ask(script)).text(kind) == text


async def test_only_the_last_paragraph_is_a_script() -> None:
    """R9.2e: a message that failed without an answer is merged with the next by a blank line."""
    assert (await ask("/demo error overloaded\n\n/demo text Better now")).text() == "Better now"
    assert "> hello again" in (await ask("/demo error overloaded\n\nhello again")).text()


@pytest.mark.parametrize("kind", KINDS)
async def test_every_error_comes_before_or_after_the_first_word(kind: str) -> None:
    before = await ask(f"/demo error {kind} retry_after=3 too much")
    assert before.error is not None
    assert (before.error.kind, before.error.retry_after_s, before.error.detail, before.deltas) == (kind, 3, "too much", [])
    after = await ask(f"/demo text Half an\n/demo error {kind}")
    assert after.error is not None
    assert (after.error.kind, after.text()) == (kind, "Half an")


@pytest.mark.parametrize(("verb", "kind"), [("cut", "network"), ("garbage", "invalid")])
async def test_a_stream_can_break(verb: str, kind: str) -> None:
    answer = await ask(f"/demo text Half\n/demo {verb}")
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == (kind, "Half")


@pytest.mark.parametrize(("script", "text"), [("/demo hang", ""), ("/demo text Half\n/demo hang", "Half"), ("/demo sleep 60000", "")])
async def test_silence_lasts_as_long_as_the_provider_is_waited_for(script: str, text: str) -> None:
    spec = ProviderSpec(id="d", name="d", kind="demo", first_token_timeout_s=0.02, idle_timeout_s=0.01, options={"delay_ms": 0})
    answer = await ask(script, spec)
    assert answer.error is not None
    assert (answer.error.kind, answer.text()) == ("timeout", text)


async def test_an_endless_answer_ends_when_it_is_closed() -> None:
    async with asyncio.timeout(30):
        async with aclosing(build(FAST).stream(request_for(FAST, "/demo endless tick"))) as reads:
            said = [await anext(reads) for _ in range(500)]
    assert said[-1] == [Text("tick")]


async def test_tools_are_called_and_their_results_told() -> None:
    script = '/demo text I look\n/demo tool get_weather {"city": "Oslo"}\n/demo tool clock\n/demo text Now I know'
    first = await ask(script)
    assert first.text() == "I look"
    assert [(name, arguments) for _, name, arguments in first.calls] == [("get_weather", '{"city":"Oslo"}'), ("clock", "{}")]
    assert first.finish == Finish("tool_calls", "demo")
    assert len({call_id for call_id, _, _ in first.calls}) == 2
    second = await ask(messages=after_calls(script, ("get_weather", "-3"), ("clock", "noon")))
    assert (second.text(), second.calls) == ("Now I know", [])


async def test_without_further_directives_the_results_are_quoted() -> None:
    script = "/demo tool get_weather\n/demo tool clock"
    answer = await ask(messages=after_calls(script, ("get_weather", '{"c": -3}'), ("clock", "noon")))
    assert answer.text() == 'The tool get_weather returned: {"c": -3}\n\nThe tool clock returned: noon'


async def test_a_script_may_call_tools_in_several_steps() -> None:
    script = "/demo tool clock\n/demo text Hmm\n/demo tool get_weather\n/demo text Done"
    second = await ask(messages=after_calls(script, ("clock", "noon")))
    assert (second.text(), [name for _, name, _ in second.calls]) == ("Hmm", ["get_weather"])
    third = await ask(messages=after_calls(script, ("clock", "noon")) + after_calls("", ("get_weather", "-3"))[1:])
    assert third.text() == "Done"


async def test_arguments_may_be_broken() -> None:
    answer = await ask('/demo tool clock {"timezone": ')
    assert answer.calls[0][2] == '{"timezone":'


async def test_asked_for_the_time_it_looks_at_the_clock() -> None:
    answer = await ask("What time is it?", tools=(WEATHER, CLOCK))
    assert [(name, arguments) for _, name, arguments in answer.calls] == [("clock", "{}")]
    told = await ask(messages=after_calls("What time is it?", ("clock", "12:00")), tools=(CLOCK,))
    assert told.text() == "The tool clock returned: 12:00"
    assert (await ask("What time is it?", tools=(WEATHER,))).calls == []
    assert (await ask("What time is it?", tools=(CLOCK,), tool_choice="none")).calls == []


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_a_demanded_call_is_made_with_valid_arguments(choice: Any) -> None:
    answer = await ask("Hi", tools=(WEATHER, CLOCK), tool_choice=choice)
    assert [(name, arguments) for _, name, arguments in answer.calls] == [("get_weather", '{"city":"demo"}')]


async def test_usage_is_counted_told_or_kept_silent() -> None:
    counted = await ask("/demo text One two")
    assert counted.usage is not None
    assert (counted.usage.output_tokens, counted.usage.input_tokens > 5) == (2, True)
    told = await ask("/demo usage 412 9 cached=256 written=4 reasoning=3\n/demo text x")
    assert told.usage == Usage(input_tokens=412, output_tokens=9, cache_read_tokens=256, cache_write_tokens=4, reasoning_tokens=3)
    assert (await ask('/demo [{"usage": {"input": 1, "output": 2}}]')).usage == Usage(input_tokens=1, output_tokens=2)
    assert (await ask("/demo no-usage\n/demo text x")).usage is None


async def test_settings_of_a_step_stay_for_the_next() -> None:
    script = "/demo no-usage\n/demo tool clock\n/demo text Done"
    assert (await ask(messages=after_calls(script, ("clock", "noon")))).usage is None


@pytest.mark.parametrize("reason", ["length", "content_filter", "stop", "tool_calls"])
async def test_the_finish_reason_can_be_chosen(reason: str) -> None:
    answer = await ask(f"/demo text x\n/demo finish {reason}")
    assert answer.finish is not None
    assert answer.finish.reason == reason


async def test_the_output_limit_and_stop_sequences_are_obeyed() -> None:
    limited = await ask("/demo text One two three", sampling=Sampling(max_tokens=2))
    assert (limited.text(), limited.finish) == ("One two ", Finish("length", "demo"))
    stopped = await ask("/demo text One END two", sampling=Sampling(stop=("END",)))
    assert stopped.text() == "One "


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "integer", "minimum": -90}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "schema": SCHEMA}}


@pytest.mark.parametrize("content", ["Hi", "/demo json", "/demo json valid"])
async def test_a_required_format_is_met(content: str) -> None:
    jsonschema.validate(orjson.loads((await ask(content, response_format=FORMAT)).text()), SCHEMA)


async def test_a_json_object_holds_what_was_written() -> None:
    assert orjson.loads((await ask("Hi", response_format={"type": "json_object"})).text()) == {"demo": True, "you_wrote": "Hi"}


async def test_bad_answers_to_a_format_can_be_ordered() -> None:
    with pytest.raises(ValueError, match="unexpected end"):
        orjson.loads((await ask("/demo json broken", response_format=FORMAT)).text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(orjson.loads((await ask("/demo json wrong", response_format=FORMAT)).text()), SCHEMA)
    assert (await ask('/demo json {"city": 1}', response_format=FORMAT)).text() == '{"city": 1}'
    assert (await ask('/demo [{"json": {"city": 1}}]', response_format=FORMAT)).text() == '{"city":1}'


async def test_asked_again_it_repairs_a_broken_answer_but_not_a_hopeless_one() -> None:
    """OAI-32"""

    async def repaired(verb: str) -> str:
        bad = (await ask(f"/demo json {verb}", response_format=FORMAT)).text()
        order = [
            {"role": "user", "content": f"/demo json {verb}"},
            {"role": "assistant", "content": bad},
            {"role": "user", "content": "Repair it."},
        ]
        return (await ask(messages=order, response_format=FORMAT)).text()

    jsonschema.validate(orjson.loads(await repaired("broken")), SCHEMA)
    assert await repaired("hopeless") == '{"hopeless": '


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("/demo dance", "dance is no directive"),
        ("/demo error none", "none is no kind of error"),
        ("/demo finish early", "early is no finish reason"),
        ("/demo repeat many x", "many is no whole number"),
        ("/demo delay", "nothing is no whole number"),
        ("/demo tool", "tool needs the name"),
        ('/demo [{"text": ', "neither JSON nor YAML"),
        ('/demo [{"dance": 1}]', "dance is no directive"),
        ('/demo [{"repeat": "x"}]', "repeat needs a number"),
        ('/demo [{"usage": 3}]', "usage needs numbers"),
        ("/demo usage 1 2 dogs=3", "usage needs numbers"),
    ],
)
async def test_a_script_with_a_mistake_is_explained(script: str, complaint: str) -> None:
    answer = await ask(script)
    assert answer.error is None
    assert complaint in answer.text()


@pytest.mark.parametrize(
    "script", ["text From the options", "/demo text From the options", [{"text": "From the options"}], ["text From the options"]]
)
async def test_the_providers_options_may_hold_the_script(script: Any) -> None:
    spec = ProviderSpec(id="d", name="d", kind="demo", options={"delay_ms": 0, "script": script})
    assert (await ask("Hi", spec)).text() == "From the options"
    assert (await ask("/demo text From the message", spec)).text() == "From the message"


async def test_delays_come_from_the_model_the_options_or_the_script() -> None:
    provider = build(ProviderSpec(id="d", name="d", kind="demo", options={"delay_ms": 7}))
    assert [provider._delay_s(name) for name in ("demo", "demo-fast", "demo-slow", "other")] == [0.007, 0, 0.25, 0.007]
    assert await provider.models() == ["demo", "demo-fast", "demo-slow"]
    slow = ProviderSpec(id="d", name="d", kind="demo", options={"delay_ms": 60_000})
    async with asyncio.timeout(30):
        assert (await ask("/demo delay 0\n/demo text One two", slow)).text() == "One two"


def test_every_directive_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "adding-a-provider.md").read_text()
    assert [verb for verb in DIRECTIVES if f"/demo {verb}" not in page] == []
