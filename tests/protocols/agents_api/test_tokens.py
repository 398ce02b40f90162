"""JWTs: what they carry, how they turn over, and when they are dead (R1.2)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from agents.errors import SwitchboardError
from agents.models import UserProfile
from chat.protocols.agents_api import tokens

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("owner", password="owner-password")


def signed_in(agent: str | None = None) -> tokens.Pair:
    return tokens._sign_in("owner", "owner-password", agent)


def claims(access: str) -> dict[str, Any]:
    return AccessToken(access).payload


def refused(work: Any, *args: Any) -> None:
    with pytest.raises(SwitchboardError) as refusal:
        work(*args)
    assert (refusal.value.status, refusal.value.code, refusal.value.message) == (
        401,
        "invalid_credentials",
        "missing or invalid bearer token",
    )


def test_a_token_carries_user_generation_and_agent(owner: User) -> None:
    UserProfile.objects.update_or_create(user=owner, defaults={"token_generation": 3})
    pair = signed_in("support")
    found = claims(pair.access)
    assert (found["user_id"], found["gen"], found["agent"], found["token_type"]) == (str(owner.pk), 3, "support", "access")
    assert pair.expires_in_s == 3600


def test_the_agent_survives_refresh(owner: User) -> None:
    """R1.2, RUN-6(d)."""
    assert claims(tokens.rotate(tokens.rotate(signed_in("support").refresh).refresh).access)["agent"] == "support"
    assert "agent" not in claims(signed_in().access)


@pytest.mark.parametrize(("username", "password"), [("owner", "wrong"), ("nobody", "owner-password"), ("", ""), ("owner", "")])
def test_wrong_credentials_are_refused_alike(owner: User, username: str, password: str) -> None:
    refused(tokens._sign_in, username, password, None)


def test_a_refresh_token_works_once(owner: User) -> None:
    """Rotation: the old one is dead, also when two use it in the same moment."""
    refresh = signed_in().refresh

    def outcome(_: int) -> str:
        from django.db import connection

        try:
            tokens.rotate(refresh)
        except SwitchboardError as error:
            return error.code
        finally:
            connection.close()
        return "rotated"

    with ThreadPoolExecutor(4) as threads:
        outcomes = sorted(threads.map(outcome, range(4)))
    assert outcomes == ["invalid_credentials"] * 3 + ["rotated"]


def test_signing_out_kills_the_refresh_token(owner: User) -> None:
    refresh = signed_in().refresh
    tokens.sign_out(refresh)
    for work in (tokens.rotate, tokens.check, tokens.sign_out):
        refused(work, refresh)


def dead_by_generation(owner: User) -> None:
    UserProfile.objects.update_or_create(user=owner, defaults={"token_generation": 1})


def dead_by_inactivity(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)


def dead_by_deletion(owner: User) -> None:
    owner.delete()


@pytest.mark.parametrize("kill", [dead_by_generation, dead_by_inactivity, dead_by_deletion])
def test_tokens_die_with_their_user(owner: User, kill: Any) -> None:
    pair = signed_in()
    for good in (pair.access, pair.refresh):
        tokens.check(good)
    kill(owner)
    refused(tokens.check, pair.access)
    refused(tokens.check, pair.refresh)
    refused(tokens.rotate, pair.refresh)


def _forged() -> Iterator[str]:
    yield from ("", "x", "a.b.c", "sk-" + "a" * 43, "\0", "é" * 50)
    head, body, _ = str(RefreshToken()).split(".")
    yield f"{head}.{body}.AAAA"
    yield str(RefreshToken())
    yield str(AccessToken())


def test_forged_and_foreign_tokens_are_refused(owner: User) -> None:
    for text in _forged():
        refused(tokens.rotate, text)
        refused(tokens.check, text)


def test_types_are_not_mixed_up(owner: User) -> None:
    refused(tokens.rotate, signed_in().access)
