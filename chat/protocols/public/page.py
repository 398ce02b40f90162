"""GET /chat/{token}: the page on which a visitor chats. It loads nothing from elsewhere, and runs no script but ours."""

import asyncio

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from agents.access import ANONYMOUS, Principal
from agents.errors import SwitchboardError
from chat import rendering
from chat.links import Link, link_for
from chat.protocols.public import documents
from chat.protocols.public.codec import SENTENCES
from chat.protocols.public.views import count_look_up
from chat.views import Call, WireView

_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    )
)  # fmt: skip
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
"""The address of this page is a secret: it is passed on to nobody and found by nobody."""


class PageView(WireView):
    """People see pages, also when the link is not valid."""

    scopes = {"GET": ""}
    public = True

    async def principal_for(self, request: HttpRequest) -> Principal:
        return ANONYMOUS

    @documents.page
    async def get(self, call: Call, token: str) -> HttpResponse:
        try:
            await count_look_up(call.request)
            link = await link_for(token)
        except SwitchboardError as error:
            return _page("public/invalid.html", {"sentence": _sentence(error), "gone": error.status == 404}, error)
        await asyncio.to_thread(rendering.warm)
        return _page("public/chat.html", {"token": token, "name": _name(link), "agent": link.agent})


def _page(template: str, context: dict[str, object], error: SwitchboardError | None = None) -> HttpResponse:
    response = HttpResponse(render_to_string(template, context), status=error.status if error else 200, headers=HEADERS)
    if error is not None and error.status in (429, 503):
        response["Retry-After"] = str(error.retry_after_s or 1)
    return response


def _name(link: Link) -> str:
    return link.agent.display_name or link.agent.name


def _sentence(error: SwitchboardError) -> str:
    return SENTENCES.get(error.code, error.message)
