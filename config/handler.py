"""The lean ASGI handler: wire paths skip Django's stock request cycle (thread hops, sync middleware, spooled bodies: design.md §4).

Pages (admin, docs, static files) go through Django as usual. On wires every answer is JSON in the wire's own envelope (R3.1).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http.request import split_domain_port, validate_host
from django.http.response import BadHeaderError, HttpResponseBase
from django.urls import Resolver404, ResolverMatch, get_resolver
from django.utils.functional import cached_property
from django.utils.module_loading import import_string

from agents.errors import SwitchboardError
from agents.ids import new_request_id
from agents.settings import settings
from chat import housekeeping, metrics
from chat.client import too_large
from chat.peers import address_of, headers_of
from chat.streaming import StreamAnswer
from chat.views import Envelope, WireView, native_envelope, refuse
from config import logs, transport
from config.routes import ENVELOPES, PAGE_FOLDERS, PAGES, WIRE_ONLY, request_id_pattern

logger = logging.getLogger("switchboard.requests")
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class WireRequest(ASGIRequest):
    """A request as WireView reads it: decoded headers once, the id, the caller's address, and `receive` itself."""

    def __init__(self, scope: Any, receive: Receive) -> None:
        self.scope, self.method = scope, scope["method"].upper()
        self.path, self.path_info, self.script_name = scope["path"], scope["path"].removeprefix(scope.get("root_path") or ""), ""
        self.resolver_match = None
        self.wire_receive = receive
        self.wire_headers = headers_of(scope["headers"])
        self.request_id = _request_id(self.wire_headers.get("x-request-id", ""))
        self.address = address_of(scope, self.wire_headers)
        self.route = ""

    def forget(self) -> None:
        """It was answered: what follows, a stream perhaps, needs no more of it than its line in the log. Servers hold the same list."""
        self.wire_headers = {}
        self.scope["headers"].clear()

    @cached_property
    def META(self) -> dict[str, Any]:  # type: ignore[override]  # noqa: N802 - Django's name
        """Made when somebody looks (the query, the host): most wires never do."""
        return ASGIRequest(self.scope, BytesIO()).META


class Handler(ASGIHandler):
    """Django's handler for pages, and the short way for wires."""

    def __init__(self) -> None:
        super().__init__()
        self.load_middleware(is_async=True)
        answer: Callable[[Any], Awaitable[HttpResponseBase]] = self._answer
        for path in reversed(settings.WIRE_MIDDLEWARE):
            answer = import_string(path)(answer)
        self._wire_chain = answer
        self._routes: dict[str, ResolverMatch] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if is_page(scope["path"]):
            if scope["path"].startswith("/admin/"):
                await asyncio.to_thread(import_module, "config.adminurls")  # the first time this takes 0.2 s
            await self.page(scope, receive, send)
        else:
            await self.wire(scope, receive, send)

    async def page(self, scope: Any, receive: Any, send: Any) -> None:
        """One request for a page, by Django's own cycle; it has its line in the log, too."""
        started, status = time.monotonic(), 500
        headers = headers_of(scope["headers"])
        request_id = _request_id(headers.get("x-request-id", ""))

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id.encode())]}
            await send(message)

        address = address_of(scope, headers)
        try:
            await super().__call__(scope, receive, noting)
        finally:
            logs.log_request(scope["method"], scope["path"], status, (time.monotonic() - started) * 1000, request_id, address)

    async def wire(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request on a wire, logged by its path alone (R1.7)."""
        started = time.monotonic()
        housekeeping.ensure()
        request = WireRequest(scope, receive)
        response = await self._wire_chain(request)
        request.forget()
        if isinstance(response, StreamAnswer):
            await self._stream(request, response, send)
        else:
            body = b"".join(response)
            lines = _lines(response, request.request_id, len(body))
            if scope.get(transport.WHOLE) and request.method != "HEAD":
                await send({"type": transport.WHOLE, "status": response.status_code, "lines": lines, "body": body})
            else:
                await send(transport.start(response.status_code, lines))
                await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
        duration_ms = (time.monotonic() - started) * 1000
        metrics.http_request(str(request.method), request.route, response.status_code)
        logs.log_request(str(request.method), request.path, response.status_code, duration_ms, request.request_id, request.address)

    async def _stream(self, request: WireRequest, response: StreamAnswer, send: Send) -> None:
        try:
            lines = _lines(response, request.request_id)
            if request.scope.get(transport.WHOLE) and request.method != "HEAD" and not response.has_header("Content-Length"):
                await send({"type": transport.STREAM_HEAD, "status": response.status_code, "lines": lines})
            else:
                await send(transport.start(response.status_code, lines))
        except BaseException:
            response.close()
            raise
        if request.method != "HEAD":
            await response.write_to(send)
        else:
            response.close()
            await send({"type": "http.response.body", "body": b""})

    async def _answer(self, request: WireRequest) -> HttpResponseBase:
        """Steps (2) to (4) of R0.5, then the view. The last broad `except`: nothing but our envelope ever leaves."""
        try:
            _check_host(request.wire_headers.get("host", ""))
            _check_marked(request.scope)
            _check_length(request)
            match = self._resolve(request.path_info)
            request.route = match.route
            request.resolver_match = match
            response: HttpResponseBase = await _view_of(match)(request, *match.args, **match.kwargs)
        except SwitchboardError as error:
            return refuse(error, request.request_id, envelope_for(request.path_info))
        except Exception:
            logger.exception("request %s failed: %s %s", request.request_id, request.method, logs.shown_path(request.path))
            return refuse(SwitchboardError("internal_error"), request.request_id, envelope_for(request.path_info))
        return response

    def _resolve(self, path: str) -> ResolverMatch:
        """The view of a path, with or without one trailing slash (R0.1). Raises not_found."""
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        known = self._routes.get(path)
        if known is not None:
            return known
        if settings.CHAT_WIRE_ONLY and not path.startswith(WIRE_ONLY):
            raise SwitchboardError("not_found")
        try:
            match = get_resolver().resolve(path)
        except Resolver404 as error:
            raise SwitchboardError("not_found") from error
        if not match.kwargs and not match.args and len(self._routes) < 1000:
            self._routes[path] = match
        return match


def _view_of(match: ResolverMatch) -> Callable[..., Awaitable[HttpResponseBase]]:
    """A wire's view itself: what Django wraps around it (exempt from CSRF, bound to one request) is not needed here."""
    view = getattr(match.func, "view_class", None)
    return view().dispatch if view is not None and issubclass(view, WireView) else match.func


def is_page(path: str) -> bool:
    return not settings.CHAT_WIRE_ONLY and (path in PAGES or path.startswith(PAGE_FOLDERS))


def envelope_for(path: str) -> Envelope:
    return next((envelope for prefix, envelope in ENVELOPES if path.startswith(prefix)), native_envelope)


def _lines(response: HttpResponseBase, request_id: str, length: int | None = None) -> bytes:
    """The headers of an answer as HTTP/1.1 writes them, the `length` of its body among them if it is known."""
    fields = [*response.items(), ("X-Request-Id", request_id), *getattr(response, "wire_headers", {}).items()]
    if length is not None and not response.has_header("Content-Length"):
        fields.append(("Content-Length", str(length)))
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])  # and no other line breaks than these:
    if not lines.count("\r") == lines.count("\n") == len(fields) or "\0" in lines:
        raise BadHeaderError("a header has a line break")
    return lines.encode("latin-1")


def _request_id(asked: str) -> str:
    return asked if asked and request_id_pattern.fullmatch(asked) else new_request_id()


def _check_host(host: str) -> None:
    if not _is_allowed(host, tuple(settings.ALLOWED_HOSTS)):
        raise SwitchboardError("bad_host")


@lru_cache(maxsize=1000)
def _is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def _check_length(request: WireRequest) -> None:
    """Step (3) of R0.5; the view reads within its own limit later."""
    declared = request.wire_headers.get("content-length", "")
    if not (declared.isascii() and declared.isdigit()) or int(declared) <= settings.CHAT_MAX_REQUEST_SIZE:
        return
    if int(declared) > (limit := transport.body_limit(request.path_info)):
        raise too_large(limit)


def _check_marked(scope: Scope) -> None:
    """A transport that cut an oversized body passes the request on marked (R12.1a)."""
    mark = scope.get("switchboard")
    if mark and mark.get("too_large"):
        raise too_large(mark.get("limit") or settings.CHAT_MAX_REQUEST_SIZE)
