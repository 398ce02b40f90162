"""WebSocket paths: a room's own, and the catch-all that says there is no other (WS-1, WS-2)."""

from django.urls import re_path

from chat.protocols.websocket.consumer import ChatConsumer, no_such_socket

websocket_urlpatterns = [
    re_path(r"^(?:chat|ws)/?\Z", ChatConsumer.as_asgi()),
    re_path(r"", no_such_socket),  # type: ignore[arg-type]  # an ASGI application, as Channels has it
]
