"""Who connects (R1.6, WS-3 … WS-8): the page's origin, then the first credential found, then scopes and the number of sockets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs

from agents import credentials, throttle
from agents.access import Principal
from agents.credentials import Credential
from chat.origins import may_connect
from chat.peers import address_of, headers_of
from chat.protocols.websocket import tickets
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.frames import Mode

_MAX_PARAMETERS = 100
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A handshake as this wire reads it. `after` is as sent: it is checked with the frame that it stands for."""

    address: str
    headers: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def mode(self) -> Mode | None:
        """What pins the mode (WS-13); None: received frames decide."""
        return cast(Mode, self.query["mode"]) if self.query.get("mode") in ("text", "binary") else None

    @property
    def agent(self) -> str:
        return self.query.get("agent", "")[:_LONGEST_NAME]

    @property
    def reasoning(self) -> bool:
        return self.query.get("reasoning") == "true"

    @property
    def html(self) -> bool:
        """Our own page: texts come as HTML too."""
        return self.query.get("render") == "html"

    @property
    def attach(self) -> dict[str, Any] | None:
        """The `attach` frame that `thread_id` in the address stands for (WS-3)."""
        if not self.query.get("thread_id"):
            return None
        after = self.query.get("after", "")
        seen = {"after": int(after)} if after.isascii() and after.isdecimal() and len(after) < 16 else {}
        return {"type": "attach", "thread_id": self.query["thread_id"], **seen}

    @property
    def site(self) -> str:
        """This server as the client calls it."""
        return f"http://{self.headers.get('host', '')}"


def opening_of(scope: Mapping[str, Any]) -> Opening:
    """Of several parameters of one name the first counts; more parameters than anybody needs are not read."""
    headers = headers_of(scope["headers"])
    try:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        query = {}
    return Opening(address=address_of(scope, headers), headers=headers, query={name: values[0] for name, values in query.items()})


async def principal_for(opening: Opening) -> tuple[Credential, Principal]:
    """Raises origin_not_allowed, rate_limited, invalid_credentials or insufficient_scope, in this order."""
    if not may_connect(opening.headers.get("origin"), opening.headers.get("host", "")):
        raise refusal("origin_not_allowed")
    if await throttle.blocked(opening.address):
        raise throttle.refusal()
    credential = await _credential(opening)
    principal = await credentials.principal_of(credential) if credential else None
    if credential is None or principal is None:
        await throttle.failed(opening.address)
        raise refusal("invalid_credentials")
    if not principal.scopes & {"run", "read"}:
        raise refusal("insufficient_scope")
    return credential, principal


async def _credential(opening: Opening) -> Credential | None:
    """The first one found counts; a bad first one is not rescued by a good second one (WS-4)."""
    header, query = opening.headers.get("authorization"), opening.query
    if header is not None:
        scheme, _, token = header.strip().partition(" ")
        return credentials.credential_of(token.strip()) if scheme.lower() == "bearer" else None
    if "ticket" in query:
        return await tickets.redeem(query["ticket"])
    token = next((query[name] for name in ("api_key", "token") if name in query), "")
    return credentials.credential_of(token)
