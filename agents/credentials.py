"""What a connection keeps of its bearer token, to ask again whether it still counts (WS-10): never the token itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents import directory
from agents.access import Principal
from agents.authentication import pinned, principal_of_claims, verified
from agents.models import hash_key

_CLAIMS = ("user_id", "gen", "agent", "exp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An API key by its hash, or a JWT by what it claims."""

    key_hash: str = ""
    claims: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def credential_of(token: str) -> Credential | None:
    """Of an API key or a JWT; None when it is neither. Whether it counts says principal_of()."""
    if token.startswith("sk-"):
        return Credential(key_hash=hash_key(token))
    claims = verified(token) if token else None
    return Credential(claims={name: claims[name] for name in _CLAIMS if name in claims}) if claims else None


async def principal_of(credential: Credential) -> Principal | None:
    """Who that is at this moment; None: revoked, expired, disabled, signed out."""
    if credential.claims is not None:
        found = await principal_of_claims(credential.claims)
    else:
        found = await directory.principal_of_hash(credential.key_hash)
    return pinned(found) if found else None
