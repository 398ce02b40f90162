"""An operation of an OpenAPI 3 document becomes an action: its parameters the model's, its address the document's."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.tools import http
from agents.tools.arguments import check_arguments
from agents.tools.http import documents, openapi
from agents.tools.http.build import request_for
from agents.tools.http.check import check_action

PETS = yaml.safe_load("""
openapi: 3.0.3
info: {title: Pets, version: "1"}
servers: [{url: "https://{region}.pets.test/v1/", variables: {region: {default: eu}}}]
paths:
  /pets/{petId}:
    parameters:
      - {$ref: "#/components/parameters/PetId"}
      - {name: verbose, in: query, schema: {type: boolean}, description: Old text.}
    get:
      operationId: getPet
      summary: One pet.
      description: With everything.
      parameters:
        - {name: verbose, in: query, schema: {type: boolean}, description: Say more.}
        - {name: "filter[tag]", in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: X-Trace, in: header, schema: {type: string}}
        - {name: Authorization, in: header, required: true, schema: {type: string}}
        - {name: session, in: cookie, schema: {type: string}}
        - {name: petId, in: query, schema: {type: string}}
    put:
      requestBody:
        required: true
        description: The new pet.
        content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}
  /upload:
    post:
      operationId: upload
      requestBody: {required: true, content: {image/png: {}}}
  /token:
    post:
      operationId: token
      requestBody: {content: {application/x-www-form-urlencoded: {schema: {type: object, properties: {grant: {type: string}}}}}}
components:
  parameters:
    PetId: {name: petId, in: path, required: true, schema: {type: integer, minimum: 0, exclusiveMinimum: true}}
  schemas:
    Pet:
      type: object
      required: [id, name]
      properties:
        id: {type: integer, readOnly: true}
        name: {type: string, pattern: '^\\p{L}+$', example: Rex}
        owner: {type: string, nullable: true}
        kind: {type: string, enum: [cat, dog], nullable: true}
        parent: {$ref: "#/components/schemas/Pet"}
        best: {nullable: true, allOf: [{$ref: "#/components/schemas/Tag"}]}
      discriminator: {propertyName: kind}
    Tag: {type: object, properties: {a~b/c: {type: string}}}
""")
NONE = openapi.Settings()


def action(wanted: str, document: dict[str, Any] = PETS, **settings: Any) -> Any:
    built = openapi.action_for(document, wanted, openapi.Settings(**settings))
    check_action(built)
    return built


def test_an_operation_gives_description_and_parameters() -> None:
    got = action("getPet")
    assert (got.description, got.method) == ("One pet.\n\nWith everything.", "GET")
    assert got.parameters == {
        "type": "object",
        "properties": {
            "petId": {"type": "integer", "exclusiveMinimum": 0},
            "verbose": {"type": "boolean", "description": "Say more."},
            "filter_tag_": {"type": "array", "items": {"type": "string"}},
            "X-Trace": {"type": "string"},
            "session": {"type": "string"},
            "query_petId": {"type": "string"},
        },
        "required": ["petId"],
        "additionalProperties": False,
    }


def test_arguments_go_where_the_document_says() -> None:
    arguments = {"petId": 7, "verbose": True, "filter_tag_": ["a", "b"], "X-Trace": "t", "session": "s", "query_petId": "q"}
    request = request_for(action("getPet"), arguments, {})
    assert request.url == "https://eu.pets.test/v1/pets/7?verbose=true&filter%5Btag%5D=a%2Cb&petId=q"
    assert request.headers == {"X-Trace": "t", "Cookie": "session=s"}


def test_an_operation_without_id_is_called_by_method_and_path() -> None:
    got = action("put /pets/{petId}")
    assert got.parameters["required"] == ["petId", "body"]
    request = request_for(got, {"petId": 7, "body": {"name": "Rex"}}, {})
    assert (request.method, request.body, request.headers) == ("PUT", b'{"name":"Rex"}', {"Content-Type": "application/json"})


def test_the_dialect_of_openapi_3_0_becomes_json_schema() -> None:
    body = action("PUT /pets/{petId}").parameters["properties"]["body"]
    assert body == {
        "type": "object",
        "required": ["name"],
        "description": "The new pet.",
        "properties": {
            "name": {"type": "string"},
            "owner": {"type": ["string", "null"]},
            "kind": {"type": ["string", "null"], "enum": ["cat", "dog", None]},
            "parent": {},
            "best": {"anyOf": [{"allOf": [{"type": "object", "properties": {"a~b/c": {"type": "string"}}}]}, {"type": "null"}]},
        },
    }


def test_its_schema_checks_arguments() -> None:
    parameters = action("PUT /pets/{petId}").parameters
    assert check_arguments(parameters, {"petId": 1, "body": {"name": "Rex", "owner": None}}) is None
    assert check_arguments(parameters, {"petId": 0, "body": {"name": "Rex"}}) == "petId: does not satisfy exclusiveMinimum: 0"
    assert check_arguments(parameters, {"petId": 1, "body": {"name": "Rex", "best": 5}})


def test_a_form_body_is_sent_as_a_form() -> None:
    request = request_for(action("token"), {"body": {"grant": "a b"}}, {})
    assert (request.body, request.headers) == (b"grant=a+b", {"Content-Type": "application/x-www-form-urlencoded"})


def test_what_the_operator_sets_is_no_argument_any_more() -> None:
    config = {
        "openapi": PETS,
        "operation": "getPet",
        "server": "https://mirror.test",
        "headers": {"x-trace": "fixed", "Authorization": "Bearer {{secret:t}}"},
        "query": {"verbose": True, "petId": "p"},
    }
    http.check(config)
    assert set(http.describe(config)[1]["properties"]) == {"petId", "filter_tag_", "session"}
    request = request_for(http._action(config), {"petId": 1}, {"t": "s3cret"})
    assert request.url == "https://mirror.test/pets/1?verbose=true&petId=p"
    assert request.headers == {"x-trace": "fixed", "Authorization": "Bearer s3cret"}


def test_a_relative_server_is_that_of_the_document() -> None:
    document = {**PETS, "servers": [{"url": "/v2"}]}
    assert action("getPet", document, document_url="https://docs.test/a/openapi.json").url == "https://docs.test/v2/pets/{petId}"


def changed(**changes: Any) -> dict[str, Any]:
    return {**orjson.loads(orjson.dumps(PETS)), **changes}


def with_schema(schema: Any) -> dict[str, Any]:
    """A document whose operation `a` takes the parameter `p` of this schema."""
    return with_parameter({"name": "p", "in": "query", "schema": schema})


def with_parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    return changed(paths={"/a": {"get": {"operationId": "a", "parameters": [parameter]}}})


@pytest.mark.parametrize(
    ("document", "wanted", "said"),
    [
        (PETS, "nope", 'no operation "nope". It has: getPet, PUT /pets/{petId}, upload, token.'),
        (PETS, "upload", "neither JSON nor a form"),
        ({"swagger": "2.0"}, "a", "not an OpenAPI 3 document"),
        (changed(paths=[]), "a", "paths must be an object"),
        (changed(paths={"/a": {"$ref": "https://x.test/y"}}), "a", "refers to another document"),
        (changed(paths={"/a/{b}": {"get": {"operationId": "a"}}}), "a", 'does not declare its path parameter "b"'),
        (changed(servers=[{"url": "/v1"}]), "getPet", 'set "server"'),
        (with_schema({"$ref": "other.yaml#/A"}), "a", "refers to another document"),
        (with_schema({"$ref": "#/components/schemas/Nope"}), "a", "refers to something it lacks"),
        (with_schema("text"), "a", "a schema must be an object"),
        (with_schema({"type": "strung"}), "a", "not valid JSON Schema"),
        (
            changed(paths={"/a": {"get": {"operationId": "a", "parameters": [{"name": "p", "in": "path", "style": "matrix"}]}}}),
            "a",
            "style",
        ),
    ],
)
def test_operators_are_told_what_is_wrong_with_a_document(document: dict[str, Any], wanted: str, said: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011
        action(wanted, document)
    assert said in str(refusal.value)


def test_a_parameter_that_refers_to_itself_is_refused() -> None:
    loop = {"$ref": "#/components/parameters/Loop"}
    document = changed(paths={"/a": {"get": {"operationId": "a", "parameters": [loop]}}}, components={"parameters": {"Loop": loop}})
    with pytest.raises(ValueError, match="refers to itself"):
        action("a", document)


def test_schemas_that_multiply_are_refused() -> None:
    levels = {
        f"L{n}": {"type": "object", "properties": {str(k): {"$ref": f"#/components/schemas/L{n + 1}"} for k in range(10)}} for n in range(9)
    }
    document = with_schema({"$ref": "#/components/schemas/L0"}) | {"components": {"schemas": {**levels, "L9": {"type": "string"}}}}
    with pytest.raises(ValueError, match="too large"):
        action("a", document)


JUNK = [None, 5, "x", [], {}, [1], {"a": 1}, True, {"$ref": "#/components/schemas/Pet"}, {"$ref": 5}, [None], ""]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a document."""
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield node, key
        yield from places(child)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_is_wrong_with_a_document_is_a_sentence(data: st.DataObject) -> None:
    document = changed()
    container, key = data.draw(st.sampled_from(list(places(document))))
    container[key] = data.draw(st.sampled_from(JUNK))
    for wanted in ("getPet", "PUT /pets/{petId}", "token"):
        with suppress(ValueError):
            http.check({"openapi": document, "operation": wanted})


def test_yaml_text_is_read_as_json_would_be() -> None:
    document = documents.parse("openapi: 3.1.0\ninfo: {version: 2020-01-02}\npaths: {/a: {get: {responses: {200: {description: ok}}}}}")
    assert document["info"] == {"version": "2020-01-02"}
    assert list(document["paths"]["/a"]["get"]["responses"]) == ["200"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "neither JSON nor YAML"),
        ("just text", "must be an object"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f]", "too large"),
        ("a: &a {b: *a}", "too large"),
        ("!!python/object/apply:os.getcwd []", "neither JSON nor YAML"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_document_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        documents.parse(text)
