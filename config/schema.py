"""The OpenAPI 3.1 description of the whole site at /api/schema, and /docs to read and try it. Nothing is loaded from elsewhere."""

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerView

from agents.errors import SwitchboardError
from chat.documents import COMPONENTS
from chat.views import Call, WireView

Form = Literal["json", "yaml"]
_YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "application/vnd.oai.openapi")
_RENDERERS = {"json": OpenApiJsonRenderer, "yaml": OpenApiYamlRenderer}
_CONTENT_TYPES = {"json": "application/json", "yaml": "application/yaml; charset=utf-8"}


class SchemaView(WireView):
    """JSON, unless `?format=yaml` or `Accept` asks for YAML."""

    public = True
    scopes = {"GET": ""}

    @extend_schema(exclude=True)
    async def get(self, call: Call) -> HttpResponse:
        form = wanted_form(call.query.get("format"), call.headers.get("accept", ""))
        body = await asyncio.to_thread(rendered, form)
        return HttpResponse(body, content_type=_CONTENT_TYPES[form], headers={"Vary": "Accept"})


class DocsView(SpectacularSwaggerView):
    """Swagger UI with our own copy of its files."""

    url = "/api/schema"
    title = "Switchboard API"


def wanted_form(asked: str | None, accept: str) -> Form:
    """Raises invalid_request for a format that is neither json nor yaml."""
    if asked is not None:
        if asked not in _RENDERERS:
            raise SwitchboardError("invalid_request", "format is json or yaml.")
        return "yaml" if asked == "yaml" else "json"
    types = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "yaml" if next((kind for kind in types if kind in _CHOICES), "") in _YAML_TYPES else "json"


_CHOICES = (*_YAML_TYPES, "application/json", "application/vnd.oai.openapi+json", "*/*")


@lru_cache(maxsize=2)
def rendered(form: Form) -> bytes:
    """The description does not change while a process lives."""
    body = _RENDERERS[form]().render(document(), renderer_context={})
    return body if isinstance(body, bytes) else body.encode()


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular: what the rooms' descriptions refer to by name, and their order."""
    result.setdefault("components", {}).setdefault("schemas", {}).update(COMPONENTS)
    told = [operation for path in result["paths"].values() for operation in path.values()]
    for operation in told:
        operation["responses"] = _with_common_refusals(operation)
    names = {tag for operation in told for tag in operation.get("tags", ())}
    result["tags"] = [{"name": name} for name in sorted(names, key=_place)]
    return result


def _with_common_refusals(operation: Mapping[str, Any]) -> dict[str, Any]:
    """What every call with a credential may be answered (R1.8), and every one with a body (R12, OAI-59), in its room's own envelope."""
    responses: dict[str, Any] = dict(operation["responses"])
    refused = responses.get("401", {}).get("content")
    if refused:
        media = {name: {"schema": content["schema"]} for name, content in refused.items()}
        for status, code in (*_ANY_CALL, *(_ANY_BODY if "requestBody" in operation else ())):
            responses.setdefault(status, {"description": f"`{code}`", "content": media})
    return dict(sorted(responses.items()))


_ANY_CALL = (("429", "rate_limited"),)
_ANY_BODY = (("413", "request_too_large"), ("415", "unsupported_media_type"))


def _place(tag: str) -> tuple[int, str]:
    """Wires in the order of their usefulness to a newcomer, what belongs to all of them after, the operator's own last."""
    return _ORDER.get(tag.partition(":")[0], 2), tag


_ORDER = {"openai": 0, "run": 1, "executions": 3, "tokens": 4, "operating": 5}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # drf-spectacular is
    return schema
