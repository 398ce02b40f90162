"""Clients of live servers: plain HTTP as one of the cast, the official OpenAI SDK, and the frames of an event stream."""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count

import httpx2 as httpx
import openai
import orjson

from tests.support import cast
from tests.support.server import Server

TIMEOUT_S = 30
_addresses = count(int(IPv4Address("127.1.0.1")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame of an event stream: its `id:`, `event:` and `data:` fields, or the text of a comment."""

    id: str = ""
    event: str = ""
    data: str = ""
    comment: str = ""

    def json(self) -> object:
        return orjson.loads(self.data)


def http(server: Server, person: str | None = "owner", **headers: str) -> httpx.Client:
    """A client with the API key of `person`; None sends no credentials. Close it, or use it in a `with`."""
    credentials = {"authorization": f"Bearer {server.keys[person]}"} if person else {}
    return browser(server.base_url, {**credentials, **headers})


def http_of(client: httpx.Client) -> httpx.Client:
    """Another client with the same credentials, for what happens at the same time."""
    return browser(client.base_url, client.headers)


def browser(base_url: httpx.URL | str, headers: Mapping[str, str] | None = None) -> httpx.Client:
    """A client that sends what it is told to, and keeps cookies."""
    return httpx.Client(base_url=base_url, headers=headers, timeout=TIMEOUT_S, transport=transport())


def transport() -> httpx.HTTPTransport:
    """Calls from an address of its own: tests that share a server do not share a count of failed authentications (R1.8).

    Without TLS, whose certificates take 25 ms to load.
    """
    return httpx.HTTPTransport(local_address=str(IPv4Address(next(_addresses))), verify=False)


def leave(client: httpx.Client, path: str, body: object, when: Callable[[], object]) -> None:
    """Posts `body` with the client's credentials, and closes the connection unanswered when `when` returns."""
    request = client.build_request("POST", path, json=body)
    lines = [b"POST %b HTTP/1.1" % request.url.raw_path, *(b"%b: %b" % pair for pair in request.headers.raw), b"", request.content]
    with socket.create_connection((request.url.host, request.url.port)) as connection:
        connection.sendall(b"\r\n".join(lines))
        when()


def token(server: Server, person: str = "owner", **fields: str) -> str:
    """A JWT of `person`, from `POST /api/token`."""
    with http(server, None) as client:
        answer = client.post("/api/token", json={"username": person, "password": cast.password(person), **fields})
    answer.raise_for_status()
    access: str = answer.json()["access_token"]
    return access


def sdk(server: Server, person: str = "owner", **options: object) -> openai.OpenAI:
    """The official client with the API key of `person`, without retries of its own."""
    settings: dict[str, object] = {"max_retries": 0, "timeout": TIMEOUT_S, "api_key": server.keys[person], **options}
    return openai.OpenAI(base_url=f"{server.base_url}/v1", **settings)


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """The frames of an event stream, from its lines (`response.iter_lines()`)."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and not name:
            fields["comment"] = value.strip()
        elif line:
            fields[name] = f"{fields[name]}\n{value.strip()}" if name == "data" and name in fields else value.strip()
        elif fields:
            yield Frame(**fields)
            fields = {}
