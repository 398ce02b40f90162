"""API keys in the admin: shown once, hashed, revoked at once; staff see their own (R1.3)."""

import re
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from agents.admin.buttons import row_url
from agents.models import ApiKey, CatalogVersion, hash_key
from tests.agents.admin.forms import said, submit

ADD = "/admin/agents/apikey/add/"


def made(client: Client, **fields: Any) -> tuple[Any, str]:
    """The page after adding a key, and the plain key on it."""
    page = submit(client, ADD, "apikey_form", **{"name": "laptop", "scopes": ["run", "read"], **fields})
    found = re.search(r"sk-[A-Za-z0-9_-]{43}", page.content.decode())
    assert found, page.content.decode()
    return page, found[0]


def test_a_new_key_is_shown_once_and_only_its_hash_is_stored(admin: Client) -> None:
    page, plain = made(admin)
    key = ApiKey.objects.get()
    assert (key.hash, key.prefix, key.scopes) == (hash_key(plain), plain[:10], ["run", "read"])
    assert "no-store" in page.headers["Cache-Control"]
    later = [admin.get(url).content.decode() for url in ("/admin/agents/apikey/", row_url(key), row_url(key, "history"), "/admin/")]
    assert not any(plain in html or key.hash in html for html in later)
    assert not any(plain in str(entry.__dict__) for entry in LogEntry.objects.all())
    assert not any(plain in str(session.get_decoded()) for session in Session.objects.all())


def test_the_hash_is_not_a_field(admin: Client) -> None:
    made(admin)
    key = ApiKey.objects.get()
    submit(admin, row_url(key), "apikey_form", name="renamed", hash="0" * 64, prefix="sk-forged", owner="999")
    changed = ApiKey.objects.get()
    assert (changed.name, changed.hash, changed.prefix, changed.owner_id) == ("renamed", key.hash, key.prefix, key.owner_id)


def test_revoking_counts_at_once(admin: Client) -> None:
    made(admin)
    key = ApiKey.objects.get()
    before = CatalogVersion.objects.get().counter
    assert "is revoked" in said(admin.post(row_url(key, "revoke"), follow=True))
    assert ApiKey.objects.get().revoked_at is not None
    assert CatalogVersion.objects.get().counter > before


def test_revoking_many_moves_the_catalog_too(admin: Client) -> None:
    made(admin)
    made(admin, name="second")
    before = CatalogVersion.objects.get().counter
    ids = [str(pk) for pk in ApiKey.objects.values_list("pk", flat=True)]
    admin.post("/admin/agents/apikey/", {"action": "revoke_selected", "_selected_action": ids})
    assert not ApiKey.objects.filter(revoked_at=None).exists()
    assert CatalogVersion.objects.get().counter > before


def test_staff_make_and_see_keys_of_their_own(owners: Client, strangers: Client, owner: User) -> None:
    made(owners, name="the owner's", owner=str(User.objects.get(username="stranger").pk))
    key = ApiKey.objects.get()
    assert key.owner == owner
    assert "the owner" in owners.get("/admin/agents/apikey/").content.decode()
    assert "the owner" not in strangers.get("/admin/agents/apikey/").content.decode()
    assert strangers.get(row_url(key)).status_code == 302
    assert strangers.post(row_url(key, "revoke")).status_code == 403


def test_a_key_needs_a_scope(admin: Client) -> None:
    page = submit(admin, ADD, "apikey_form", name="nothing", scopes=None)
    assert "This field is required." in page.content.decode()
    assert not ApiKey.objects.exists()
