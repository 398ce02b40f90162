"""One operation of an OpenAPI 3.x document as an HTTP action. The document is the operator's; no other document is read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args
from urllib.parse import urljoin

from agents.tools.http.action import Action, Field, Style
from agents.tools.http.schemas import Schemas, as_list, as_object

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_MAX_DESCRIPTION_CHARS = 1_000
_SHOWN_OPERATIONS = 20
_SET_BY_OTHERS = frozenset(("accept", "content-type", "authorization"))
"""Header parameters the specification tells to ignore."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Where an operation stands in its document."""

    method: str
    path: str
    item: Mapping[str, Any]
    content: Mapping[str, Any]

    @property
    def key(self) -> str:
        return f"{self.method.upper()} {self.path}"

    @property
    def description(self) -> str:
        texts = [str(self.content[key]) for key in ("summary", "description") if self.content.get(key)]
        return "\n\n".join(texts)[:_MAX_DESCRIPTION_CHARS] or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator adds: `server` replaces the document's; headers and query with these names are no arguments any more."""

    server: str = ""
    document_url: str = ""
    description: str = ""
    headers: tuple[Field, ...] = ()
    query: tuple[Field, ...] = ()


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """All operations, in the document's order. Raises ValueError unless it is OpenAPI 3."""
    version = str(as_object(document, "it").get("openapi", ""))
    if not version.startswith("3."):
        raise ValueError('This is not an OpenAPI 3 document: it has no "openapi": "3.…".')
    return list(_operations(document))


def action_for(document: Mapping[str, Any], wanted: str, settings: Settings) -> Action:
    """The action of the operation with this operationId or `METHOD /path`. Raises ValueError with a sentence for operators."""
    operation = _find(operations(document), wanted)
    builder = _Builder(Schemas(document), operation, settings)
    return Action(
        description=settings.description or operation.description,
        method=operation.method.upper(),
        url=_server(document, operation, settings).rstrip("/") + builder.path(),
        query=(*builder.fields("query"), *settings.query),
        headers=(*builder.fields("header"), *builder.content_type(), *settings.headers),
        cookies=tuple(builder.fields("cookie")),
        body=builder.body(),
        parameters=builder.schema(),
    )


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    schemas = Schemas(document)
    for path, item in as_object(document.get("paths", {}), "paths").items():
        found = schemas.resolve(item, path)
        for method in METHODS:
            if method in found:
                yield Operation(method=method, path=path, item=found, content=as_object(found[method], f"{method} {path}"))


def _find(found: list[Operation], wanted: str) -> Operation:
    method, _, path = wanted.partition(" ")
    for operation in found:
        if operation.content.get("operationId") == wanted or operation.key == f"{method.upper()} {path}":
            return operation
    names = ", ".join(str(operation.content.get("operationId") or operation.key) for operation in found[:_SHOWN_OPERATIONS])
    raise ValueError(f'The document has no operation "{wanted}". It has: {names or "none"}.')


def _server(document: Mapping[str, Any], operation: Operation, settings: Settings) -> str:
    """The operation's server, the path's or the document's first one, with its variables' defaults."""
    if settings.server:
        return settings.server
    servers = operation.content.get("servers") or operation.item.get("servers") or document.get("servers") or [{"url": "/"}]
    server = as_object(as_list(servers, "servers")[0], "servers")
    url = str(server.get("url", "/"))
    for name, variable in as_object(server.get("variables", {}), "variables").items():
        url = url.replace(f"{{{name}}}", str(as_object(variable, name).get("default", "")))
    url = urljoin(settings.document_url, url)
    if not url.startswith(("http://", "https://")):
        raise ValueError('The document names no server with an absolute URL: set "server".')
    return url


class _Builder:
    """Collects the arguments of one operation: each has a name of its own, whatever it is called on the wire."""

    def __init__(self, schemas: Schemas, operation: Operation, settings: Settings) -> None:
        self._schemas = schemas
        self._operation = operation
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._names: dict[tuple[str, str], str] = {}
        self._parameters = self._collect(settings)
        self._media_type, self._has_body = self._add_body()

    def path(self) -> str:
        def gap(match: re.Match[str]) -> str:
            if ("path", match[1]) not in self._names:
                raise ValueError(f'The operation does not declare its path parameter "{match[1]}".')
            return f"{{{self._names['path', match[1]]}}}"

        return re.sub(r"\{([^{}]+)\}", gap, self._operation.path)

    def fields(self, place: str) -> Iterator[Field]:
        for parameter in self._parameters:
            if parameter["in"] == place:
                name = parameter["name"]
                style = _style(parameter)
                explode = parameter.get("explode", style == "form")
                yield Field(name=name, template=f"{{{self._names[place, name]}}}", style=style, explode=bool(explode))

    def content_type(self) -> tuple[Field, ...]:
        return (Field(name="Content-Type", template=self._media_type),) if self._has_body else ()

    def body(self) -> str | None:
        return f"{{{self._names['body', 'body']}}}" if self._has_body else None

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object", "properties": self._properties, "additionalProperties": False}
        return {**schema, "required": self._required} if self._required else schema

    def _collect(self, settings: Settings) -> list[Mapping[str, Any]]:
        """Parameters of path and operation, the operation's in place of the path's, without those that others set."""
        fixed = {("query", field.name) for field in settings.query} | {("header", field.name.lower()) for field in settings.headers}
        fixed |= {("header", name) for name in _SET_BY_OTHERS}
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        shared, own = (as_list(holder.get("parameters") or [], "parameters") for holder in (self._operation.item, self._operation.content))
        for parameter in (*shared, *own):
            resolved = self._schemas.resolve(parameter, "a parameter")
            place, name = resolved.get("in"), resolved.get("name")
            if place not in ("path", "query", "header", "cookie") or not isinstance(name, str):
                raise ValueError('The OpenAPI document is not valid: a parameter needs "name" and "in".')
            if (place, name.lower() if place == "header" else name) not in fixed:
                found[place, name] = resolved
        for (place, name), parameter in found.items():
            self._add_parameter(place, name, parameter)
        return list(found.values())

    def _add_parameter(self, place: str, name: str, parameter: Mapping[str, Any]) -> None:
        if _style(parameter) not in get_args(Style):
            raise ValueError(f'The parameter "{name}" has a style that is not supported: {parameter.get("style")}.')
        schema = parameter.get("schema")
        if schema is None and (content := as_object(parameter.get("content", {}), f"the content of {name}")):
            schema = as_object(next(iter(content.values())), f"the content of {name}").get("schema")
        self._add(
            place, name, schema, str(parameter.get("description") or ""), required=place == "path" or parameter.get("required") is True
        )

    def _add_body(self) -> tuple[str, bool]:
        if "requestBody" not in self._operation.content:
            return "", False
        body = self._schemas.resolve(self._operation.content["requestBody"], "requestBody")
        for media_type, content in as_object(body.get("content", {}), "the content of requestBody").items():
            if media_type.partition(";")[0].strip().lower() in ("application/json", _FORM) or "+json" in media_type:
                schema = as_object(content, media_type).get("schema")
                self._add("body", "body", schema, str(body.get("description") or ""), required=body.get("required") is True)
                return media_type, True
        if body.get("required") is True:
            raise ValueError("The operation needs a request body that is neither JSON nor a form.")
        return "", False

    def _add(self, place: str, name: str, schema: Any, description: str, *, required: bool) -> None:
        plain = self._schemas.plain({} if schema is None else schema)
        plain = plain if isinstance(plain, dict) else {}
        if description and "description" not in plain:
            plain["description"] = description[:_MAX_DESCRIPTION_CHARS]
        argument = self._own_name(place, name)
        self._names[place, name] = argument
        self._properties[argument] = plain
        if required:
            self._required.append(argument)

    def _own_name(self, place: str, name: str) -> str:
        """Letters that every provider takes; two parameters of one name differ by their place."""
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] or place
        candidates = (plain, f"{place}_{plain}"[:64], *(f"{plain}_{number}" for number in range(2, 100)))
        return next(candidate for candidate in candidates if candidate not in self._properties)


def _style(parameter: Mapping[str, Any]) -> Style:
    if "content" in parameter:
        return "json"
    default = "form" if parameter.get("in") in ("query", "cookie") else "simple"
    return cast(Style, parameter.get("style", default))
