"""Arguments fill an action; they never choose the host, leave their step of the path or write a header line (R11.4)."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from agents.tools.http import handwritten
from agents.tools.http.action import ActionError, Field
from agents.tools.http.build import request_for
from agents.tools.http.check import check_action

SECRETS = {"token": " t0p/secret \n", "q": "a&b=c"}


def properties(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {} for name in names}, "required": list(names)}


def built(config: dict[str, Any], **arguments: Any) -> Any:
    return request_for(handwritten.action_for(config), arguments, SECRETS)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("42", "/users/42/x"),
        (42, "/users/42/x"),
        (True, "/users/true/x"),
        ("a/b?c#d%e&f=g;h@i:j\\k", "/users/a%2Fb%3Fc%23d%25e%26f%3Dg%3Bh%40i%3Aj%5Ck/x"),
        ("%2e%2e", "/users/%252e%252e/x"),
        ("...", "/users/.../x"),
        ("münchen 1\n", "/users/m%C3%BCnchen%201%0A/x"),
        (["a", "b,c"], "/users/a%2Cb%2Cc/x"),
    ],
)
def test_what_means_something_in_an_address_is_encoded(value: Any, path: str) -> None:
    request = built({"url": "https://api.test/users/{id}/x", "parameters": properties("id")}, id=value)
    assert request.url == "https://api.test" + path


@pytest.mark.parametrize("value", ["..", ".", "../admin", "a/../b", "..\\admin", "a/."])
def test_steps_to_another_path_are_refused(value: str) -> None:
    with pytest.raises(ActionError, match="another path"):
        built({"url": "https://api.test/users/{id}/x", "parameters": properties("id")}, id=value)


@pytest.mark.parametrize("arguments", [{"id": ""}, {"id": None}, {"id": []}, {}])
def test_an_empty_step_is_refused_since_it_means_another_address(arguments: dict[str, Any]) -> None:
    with pytest.raises(ActionError, match="id: must not be empty"):
        built({"url": "https://api.test/users/{id}", "parameters": properties("id")}, **arguments)


@given(st.text(min_size=1, max_size=20))
def test_no_argument_changes_host_or_depth(value: str) -> None:
    config = {"url": "https://api.test/users/{id}/x?q={id}", "parameters": properties("id")}
    try:
        url = URL(built(config, id=value).url)
    except ActionError:
        return
    assert url.host == "api.test"
    assert len(url.raw_parts) == 4
    assert url.fragment == ""
    assert list(url.query) == ["q"]


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ("a b&c=d", "q=a%20b%26c%3Dd&fixed=1"),
        (["x", "y"], "q=x&q=y&fixed=1"),
        ({"a": 1}, "q=%7B%22a%22%3A1%7D&fixed=1"),
        (None, "fixed=1"),
    ],
)
def test_queries(value: Any, query: str) -> None:
    config = {"url": "https://api.test/s", "query": {"q": "{q}", "fixed": 1}, "parameters": properties("q")}
    assert built(config, q=value).url == f"https://api.test/s?{query}"


def test_what_needs_an_argument_that_was_not_given_is_left_out() -> None:
    config = {
        "method": "POST",
        "url": "https://api.test/s?v=1",
        "query": {"q": "{q}", "r": "r-{q}"},
        "headers": {"X-Q": "{q}"},
        "body": {"a": "{q}", "b": ["{q}", "{w}"], "c": "{q}!", "d": {"e": "{w}"}},
        "parameters": properties("q", "w"),
    }
    request = built(config, w=[1])
    assert request.url == "https://api.test/s?v=1"
    assert request.headers == {"Content-Type": "application/json"}
    assert orjson.loads(request.body) == {"b": [[1]], "d": {"e": [1]}}


def test_a_body_template_keeps_the_types_of_arguments() -> None:
    body = {"n": "{n}", "text": "n is {n}", "deep": [{"list": "{l}"}], "fixed": {"a": None}}
    request = built({"method": "PUT", "url": "https://api.test/", "body": body, "parameters": properties("n", "l")}, n=5, l=["x"])
    assert orjson.loads(request.body) == {"n": 5, "text": "n is 5", "deep": [{"list": ["x"]}], "fixed": {"a": None}}


def test_without_a_body_template_the_remaining_arguments_are_the_body() -> None:
    config = {"method": "POST", "url": "https://api.test/{id}", "parameters": properties("id", "a", "b")}
    assert orjson.loads(built(config, id="1", a=[1], b=None, undeclared=1).body) == {"a": [1], "b": None}


def test_without_a_body_the_remaining_arguments_of_a_get_are_the_query() -> None:
    request = built({"url": "https://api.test/{id}", "parameters": properties("id", "a", "b")}, id="1", a=[1, 2], b=True)
    assert (request.url, request.body) == ("https://api.test/1?a=1&a=2&b=true", None)


def test_undeclared_arguments_are_sent_only_where_the_schema_invites_them() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}}
    assert built({"url": "https://api.test/", "parameters": schema}, a="1", z="2").url == "https://api.test/?a=1&z=2"


def test_a_form_is_sent_where_the_headers_say_so() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = built(
        {"method": "POST", "url": "https://api.test/", "headers": headers, "parameters": properties("a", "b")}, a="x y", b=[1, 2]
    )
    assert request.body == b"a=x+y&b=1&b=2"


def test_secrets_are_put_in_everywhere_without_the_blanks_of_pasting() -> None:
    config = {
        "method": "POST",
        "url": "https://api.test/hooks/{{secret:token}}",
        "query": {"key": "{{secret:q}}"},
        "headers": {"Authorization": "Bearer {{secret:token}}"},
        "body": {"k": "{{secret:token}}"},
    }
    request = built(config)
    assert request.url == "https://api.test/hooks/t0p/secret?key=a%26b%3Dc"
    assert request.headers["Authorization"] == "Bearer t0p/secret"
    assert orjson.loads(request.body) == {"k": "t0p/secret"}


def test_an_argument_cannot_ask_for_a_secret() -> None:
    config = {"method": "POST", "url": "https://api.test/{a}", "headers": {"X": "{a}"}, "body": "{a}", "parameters": properties("a")}
    request = built(config, a="{{secret:token}}")
    assert "t0p" not in f"{request}"


def test_a_missing_secret_is_said_without_its_name() -> None:
    with pytest.raises(ActionError, match="lacks one of its secrets"):
        built({"url": "https://api.test/", "headers": {"A": "{{secret:other}}"}})


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\0"])
def test_a_header_line_cannot_be_written_by_an_argument(value: str) -> None:
    with pytest.raises(ActionError, match="control characters"):
        built({"url": "https://api.test/", "headers": {"X-A": "{a}"}, "parameters": properties("a")}, a=value)


BASE = handwritten.action_for({"url": "https://api.test/p/{a}", "parameters": properties("a")})


@pytest.mark.parametrize(
    ("style", "explode", "value", "query"),
    [
        ("form", True, [1, "b"], "n=1&n=b"),
        ("form", False, [1, "b"], "n=1%2Cb"),
        ("form", True, {"k": 1, "l": "m"}, "k=1&l=m"),
        ("form", False, {"k": 1, "l": "m"}, "n=k%2C1%2Cl%2Cm"),
        ("spaceDelimited", False, [1, "b"], "n=1%20b"),
        ("pipeDelimited", False, [1, "b"], "n=1%7Cb"),
        ("deepObject", True, {"k": 1}, "n%5Bk%5D=1"),
        ("json", True, {"k": [1]}, "n=%7B%22k%22%3A%5B1%5D%7D"),
        ("json", True, "x", "n=%22x%22"),
    ],
)
def test_styles_of_openapi_in_a_query(style: Any, explode: bool, value: Any, query: str) -> None:
    action = replace(BASE, url="https://api.test/", query=(Field(name="n", template="{a}", style=style, explode=explode),))
    assert request_for(action, {"a": value}, {}).url == f"https://api.test/?{query}"


@pytest.mark.parametrize(
    ("style", "explode", "value", "text"),
    [
        ("simple", False, [1, 2], "1,2"),
        ("simple", False, {"k": 1}, "k,1"),
        ("simple", True, {"k": 1}, "k=1"),
        ("json", False, {"k": 1}, '{"k":1}'),
    ],
)
def test_styles_of_openapi_in_a_header(style: Any, explode: bool, value: Any, text: str) -> None:
    action = replace(BASE, url="https://api.test/", headers=(Field(name="X-N", template="{a}", style=style, explode=explode),))
    assert request_for(action, {"a": value}, {}).headers["X-N"] == text


def test_cookies_are_one_encoded_header() -> None:
    cookies = (Field(name="a", template="{a}", style="form"), Field(name="b", template="{b}"), Field(name="c", template="1"))
    assert (
        request_for(replace(BASE, url="https://api.test/", cookies=cookies), {"a": "x; y=z"}, {}).headers["Cookie"] == "a=x%3B%20y%3Dz; c=1"
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, 'Set "url"'),
        ({"url": 5}, 'Set "url"'),
        ({"url": "ftp://api.test/"}, "http:// or https://"),
        ({"url": "https://{host}/x", "parameters": properties("host")}, "a host without gaps"),
        ({"url": "https://api.test{path}", "parameters": properties("path")}, "a host without gaps"),
        ({"url": "https://api.{a}.test/", "parameters": properties("a")}, "a host without gaps"),
        ({"url": "https://{{secret:host}}/"}, "a host without gaps"),
        ({"url": "https://u:p@api.test/"}, "a host without gaps and credentials"),
        ({"url": "https://api.test/#{a}", "parameters": properties("a")}, "no fragment"),
        ({"url": "https://api.test/a/../b"}, "steps"),
        ({"url": "http://169.254.169.254/latest"}, "ALLOW_PRIVATE_ADDRESSES"),
        ({"url": "https://api.test/", "method": "CONNECT"}, '"method" must be one of'),
        ({"url": "https://api.test/{a}"}, '"{a}" is used but is not among'),
        ({"url": "https://api.test/{a}", "parameters": {"type": "object", "properties": {"a": {}}}}, "among \"required\""),
        ({"url": "https://api.test/", "headers": {"X": "{{secret:my token}}"}}, "A secret is written"),
        ({"url": "https://api.test/", "headers": {"Host": "other.test"}}, '"Host" may not be set'),
        ({"url": "https://api.test/", "headers": {"Bad Name": "x"}}, '"Bad Name" may not be set'),
        ({"url": "https://api.test/", "headers": ["x"]}, '"headers" must be an object'),
        ({"url": "https://api.test/", "query": {"a": [1]}}, '"query" must be an object'),
        ({"url": "https://api.test/", "parameters": {"type": "array"}}, '"type": "object"'),
        ({"url": "https://api.test/", "parameters": []}, None),
        ({"url": "https://api.test/", "parameters": [1]}, "JSON Schema"),
    ],
)  # fmt: skip
def test_operators_are_told_what_cannot_work(config: dict[str, Any], said: str | None) -> None:
    if said is None:
        check_action(handwritten.action_for(config))
        return
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        check_action(handwritten.action_for(config))
    assert said in str(refusal.value)
