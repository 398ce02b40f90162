"""`python -m tests.config.transport daphne|uvicorn [NAME=NUMBER…]`: serving.run() with a small application, limits as given."""

import asyncio
import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from config import serving, transport  # noqa: E402

LARGE_PIECE = 65_536
stopping: asyncio.Event


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["path"] == "/stream":
        await stream(send)
    elif scope["path"].startswith("/large"):
        await large(send, int(scope["query_string"]))
    else:
        await measure(scope, receive, send)


async def lifespan(receive, send):
    global stopping
    stopping = asyncio.Event()
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    stopping.set()
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def stream(send):
    """Begins, and ends when the server does: what a turn with an end mark looks like to the transport."""
    await start(send, 200)
    await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    await stopping.wait()
    await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"end mark\n"})


async def large(send, pieces):
    """More than the client's and the kernel's buffers hold."""
    await start(send, 200)
    for _ in range(pieces):
        await send({"type": "http.response.body", "body": b"x" * LARGE_PIECE, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"end mark\n"})


async def measure(scope, receive, send):
    too_large = scope.get("switchboard", {}).get("too_large", False)
    size, more = 0, not too_large
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    body = json.dumps({"size": size, "too_large": too_large, "root_path": scope["root_path"]}).encode()
    await start(send, 413 if too_large else 200, len(body))
    await send({"type": "http.response.body", "body": body})


async def start(send, status, length=None):
    headers = [(b"content-length", str(length).encode())] if length is not None else []
    await send({"type": "http.response.start", "status": status, "headers": headers})


def main():
    kind, *limits = sys.argv[1:]
    for name, number in (limit.split("=") for limit in limits):
        assert hasattr(transport, name)
        setattr(transport, name, float(number) if "." in number else int(number))
    bound, address = serving.bind(serving.parse_address("127.0.0.1:0"))
    serving.run(application, bound, kind, lambda: print(address.port, flush=True))
    print("ended", flush=True)


if __name__ == "__main__":
    main()
