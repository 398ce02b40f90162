"""WireView: an async DRF view that checks in the order of R0.5 and answers every refusal in its wire's envelope.

Django's and DRF's per-request machinery (sync middleware, negotiation, parsers) is not run here: design.md §4 says what it costs.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar
from uuid import UUID

import orjson
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders
from django.utils.functional import cached_property
from rest_framework.views import APIView

from agents import directory
from agents.access import ANONYMOUS, Principal
from agents.authentication import authenticate
from agents.errors import SwitchboardError
from agents.settings import settings
from chat.client import DEPARTURE, Client, too_large
from chat.errors import CatalogChanged
from chat.jsonbody import parse_object

Envelope = Callable[[SwitchboardError, str], dict[str, Any]]
_BUSY = frozenset(("request_in_progress", "session_busy"))
_JSON = "application/json"
_UNKNOWN_AGENT = frozenset(("agent_not_found", "model_not_found"))
"""Before these go out, the database is asked whether another process has published something (acceptance of an edit at once)."""
_ATTEMPTS = 4
"""A turn that finds the catalog changed is asked for anew; so many changes within one request do not happen."""


def native_envelope(error: SwitchboardError, request_id: str) -> dict[str, Any]:
    """`{"detail", "code", "request_id"}` (R3.1); `detail` is a list of field problems for 422."""
    return {"detail": error.errors or error.message, "code": error.code, "request_id": request_id, **error.extra}


class JsonAnswer(HttpResponse):
    """A JSON response as config.handler writes it. Django's part of it (headers that CORS or a refusal adds) is made when it is used."""

    _charset = _reason_phrase = _handler_class = None
    _resource_closers = ()
    closed = False

    def __init__(self, body: bytes, status: int, wire_headers: Mapping[str, str]) -> None:
        self.status_code, self.wire_headers, self._container = status, wire_headers, [body]

    @cached_property
    def headers(self) -> ResponseHeaders:  # type: ignore[override]  # Django sets an attribute of this name in the __init__ that is not called here
        return ResponseHeaders({"Content-Type": _JSON})

    def items(self) -> Iterable[tuple[str, str]]:
        return self.headers.items() if "headers" in vars(self) else _JSON_ALONE

    def has_header(self, header: str) -> bool:
        return header in self.headers if "headers" in vars(self) else header.lower() == "content-type"


_JSON_ALONE = (("Content-Type", _JSON),)


def respond(payload: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A JSON response; config.handler adds `headers` as they are (Django would encode each of them and decode it again)."""
    return JsonAnswer(orjson.dumps(payload), status, headers or {})


def refuse(error: SwitchboardError, request_id: str, envelope: Envelope = native_envelope) -> HttpResponse:
    """The error in its envelope, with the retry headers of R3.5 and the challenge of R1.8."""
    response = respond(envelope(error, request_id), error.status)
    if error.status in (429, 503) or error.code in _BUSY:
        response["Retry-After"] = str(max(1, error.retry_after_s or 1))
    if (error.status == 409 and error.code not in _BUSY) or error.code == "budget_exhausted":
        response["x-should-retry"] = "false"
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    for name, value in error.headers.items():
        response[name] = value
    return response


class Call:
    """One authenticated request: who asks, what was sent, and the client that may leave."""

    __slots__ = ("address", "body", "client", "headers", "principal", "request", "request_id")

    def __init__(self, request: HttpRequest, principal: Principal, client: Client) -> None:
        self.request = request
        self.principal = principal
        self.client = client
        self.headers: Mapping[str, str] = request.wire_headers  # type: ignore[attr-defined]  # set by config.handler
        self.request_id: str = request.request_id  # type: ignore[attr-defined]  # likewise
        self.address: str = request.address  # type: ignore[attr-defined]  # likewise
        self.body = b""

    @property
    def query(self) -> Any:
        """The query's parameters. Raises invalid_request for more of them than Django reads, and for a query that is not UTF-8."""
        try:
            return self.request.GET
        except TooManyFieldsSent as error:
            raise SwitchboardError("invalid_request", "The query has too many parameters.") from error
        except UnicodeDecodeError as error:
            raise SwitchboardError("invalid_request", "The query is not UTF-8.") from error

    def json(self) -> dict[str, Any]:
        """The body as one JSON object. Raises invalid_json or invalid_request (R0.4)."""
        return parse_object(self.body)

    def check_size(self, limit: int) -> None:
        """Raises request_too_large when the body is over the agent's own limit (R12.1a)."""
        if len(self.body) > limit:
            raise too_large(limit)


def uuid_for(text: str, code: str) -> UUID:
    """An id from a path; one that could not exist is refused like an unknown one (R0.2)."""
    try:
        value = UUID(text)
    except ValueError as error:
        raise SwitchboardError(code) from error
    if str(value) != text:
        raise SwitchboardError(code)
    return value


class WireView(APIView):
    """Base of every wire's views. Subclasses define async `get`/`post`/… taking (call, **path) and raise SwitchboardError.

    `scopes`: method -> scope needed ("" = any credential). `public`: no authentication. `json_body` False: any media type.
    """

    scopes: ClassVar[Mapping[str, str]] = {"GET": "read", "POST": "run"}
    public: ClassVar[bool] = False
    json_body: ClassVar[bool] = True
    reads_body: ClassVar[bool] = True
    envelope: Envelope = staticmethod(native_envelope)

    async def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # Django's is not async
        client = Client(request.wire_receive, request.scope.get(DEPARTURE))  # type: ignore[attr-defined]  # set by config.handler
        try:
            return await self._checked(request, client, **kwargs)
        except SwitchboardError as error:
            return refuse(error, request.request_id, self.envelope)  # type: ignore[attr-defined]  # likewise
        finally:
            client.close()

    async def _checked(self, request: HttpRequest, client: Client, **kwargs: Any) -> HttpResponseBase:
        """Steps (4) to (9), then the handler; once more from (5) when the catalog moved under it."""
        handler, scope = self.handler_for(request)
        call = Call(request, await self.principal_for(request), client)
        self.check_media_type(call)
        await self.check_path(call, **kwargs)
        if self.reads_body and request.method not in ("GET", "HEAD"):
            call.body = await client.body(call.headers, self.body_limit())
        for _ in range(_ATTEMPTS):
            catalog = directory.current()
            if scope and scope not in call.principal.scopes:
                self.missing_scope(call, scope)
            try:
                return await handler(call, **kwargs)
            except SwitchboardError as error:
                if error.code not in _UNKNOWN_AGENT or not await directory.moved(catalog):
                    raise
                call.principal = await self.principal_for(request)
            except CatalogChanged:
                call.principal = await self.principal_for(request)
        raise SwitchboardError("store_unavailable")

    def handler_for(self, request: HttpRequest) -> tuple[Callable[..., Awaitable[HttpResponseBase]], str]:
        """Step (4): the method's handler and scope, else 405 with Allow."""
        method = "GET" if request.method == "HEAD" else str(request.method)
        handler = getattr(self, method.lower(), None) if method in self.scopes else None
        if handler is None:
            allowed = sorted(method for method in self.scopes if hasattr(self, method.lower()))
            raise SwitchboardError("method_not_allowed", headers={"Allow": ", ".join(allowed)})
        return handler, self.scopes[method]

    async def principal_for(self, request: HttpRequest) -> Principal:
        """Step (5)."""
        if self.public:
            return ANONYMOUS
        headers, address = request.wire_headers, request.address  # type: ignore[attr-defined]  # set by config.handler
        return await authenticate(headers, path=request.path_info, address=address)

    def check_media_type(self, call: Call) -> None:
        """Step (6): JSON or nothing declared."""
        declared = call.headers.get("content-type", "")
        if not self.json_body or not declared or call.request.method in ("GET", "HEAD"):
            return
        media_type = declared.partition(";")[0].strip().lower()
        if media_type != _JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
            raise SwitchboardError("unsupported_media_type")

    async def check_path(self, call: Call, **kwargs: Any) -> None:
        """Step (7): what the path names; rooms with an agent in the path override it."""

    def missing_scope(self, call: Call, scope: str) -> None:
        """Step (9); rooms where a scope is implied (R1.4) override it."""
        call.principal.check_scope(scope)

    def body_limit(self) -> int:
        """Bytes read at most; the agent's own limit is checked once it is known (R12.1a)."""
        return max(int(settings.CHAT_MAX_REQUEST_SIZE), directory.current().max_body_bytes)
