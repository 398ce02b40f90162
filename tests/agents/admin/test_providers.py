"""Providers in the admin: keys go in and never come out; whether a provider answers is said at once."""

from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings
from django.test import Client

from agents import health
from agents.admin.buttons import row_url
from agents.models import Agent, Provider
from agents.providers import circuits
from agents.versions import provider_spec
from tests.agents.admin.conftest import KEY
from tests.agents.admin.forms import said, submit

if TYPE_CHECKING:
    from tests.support.upstream import FakeUpstream

FORM = "provider_form"


def test_a_stored_key_is_on_no_page(admin: Client, provider: Provider, agent: Agent) -> None:
    pages = [row_url(provider), row_url(provider, "history"), "/admin/agents/provider/", row_url(agent), "/admin/"]
    pages.append(row_url(agent.versions.get()))
    html = "".join(admin.get(url).content.decode() for url in pages)
    failed = submit(admin, row_url(provider), FORM, max_retries="99", api_key="sk-typed-just-now")
    html += failed.content.decode()
    assert "Please correct the error" in html
    for secret in (KEY, "header-secret-value", "sk-typed-just-now"):
        assert secret not in html


def test_an_empty_key_field_keeps_the_key(admin: Client, provider: Provider) -> None:
    submit(admin, row_url(provider), FORM, max_retries="5")
    provider.refresh_from_db()
    assert (provider.api_key, provider.headers, provider.max_retries) == (KEY, '{"X-Secret": "header-secret-value"}', 5)


def test_a_key_is_replaced_or_removed(admin: Client, provider: Provider) -> None:
    submit(admin, row_url(provider), FORM, api_key="sk-another-key")
    assert Provider.objects.get().api_key == "sk-another-key"
    both = submit(admin, row_url(provider), FORM, **{"api_key": "sk-x", "api_key-clear": "on"})
    assert "Either type a new value or remove the present one." in both.content.decode()
    submit(admin, row_url(provider), FORM, **{"api_key-clear": "on"})
    assert Provider.objects.get().api_key == ""


@pytest.mark.parametrize(
    ("typed", "problem"), [("not json", "Not valid JSON"), ('{"a": 1}', "values are texts"), ("[]", "values are texts")]
)
def test_headers_are_a_json_object_of_texts(admin: Client, provider: Provider, typed: str, problem: str) -> None:
    assert problem in submit(admin, row_url(provider), FORM, headers=typed).content.decode()


def test_a_vendor_without_key_is_refused(admin: Client) -> None:
    page = submit(admin, "/admin/agents/provider/add/", FORM, name="claude", kind="anthropic")
    assert "This kind of provider needs a key." in page.content.decode()


def test_a_new_provider_is_asked_at_once(admin: Client, upstream: "FakeUpstream") -> None:
    fields = {"name": "local", "kind": "openai_compatible", "base_url": f"{upstream.url}/v1"}
    page = submit(admin, "/admin/agents/provider/add/", FORM, **fields)
    assert "Connection: It answers and serves 2 models." in said(page)
    assert Provider.objects.get().served_models == ["fake", "fake-mini"]


def test_test_connection_keeps_the_answer(admin: Client, upstream: "FakeUpstream") -> None:
    provider = Provider.objects.create(name="local", base_url=f"{upstream.url}/v1")
    page = admin.post(row_url(provider, "test"), follow=True)
    assert "local: It answers and serves 2 models." in said(page)
    assert "fake-mini" in page.content.decode()
    provider.refresh_from_db()
    assert (provider.last_check_ok, provider.served_models) == (True, ["fake", "fake-mini"])


def test_test_connection_says_why_not(admin: Client, upstream: "FakeUpstream") -> None:
    wrong = Provider.objects.create(name="wrong", base_url=f"{upstream.url}/no-such-path")
    dead = Provider.objects.create(name="dead", base_url="http://127.0.0.1:9/v1", connect_timeout_s=1)
    assert "Is the base URL right" in said(admin.post(row_url(wrong, "test"), follow=True))
    assert "could not be reached" in said(admin.post(row_url(dead, "test"), follow=True))
    assert Provider.objects.filter(last_check_ok=False).count() == 2


def test_staff_without_permission_do_not_reach_providers(owners: Client, provider: Provider) -> None:
    assert owners.get("/admin/agents/provider/").status_code == 403
    assert owners.get(row_url(provider)).status_code == 403
    assert owners.post(row_url(provider, "test")).status_code == 403


def test_a_provider_that_published_agents_need_cannot_be_deleted(admin: Client, provider: Provider, agent: Agent) -> None:
    other = Provider.objects.create(name="other", kind="demo")
    Agent.objects.filter(pk=agent.pk).update(provider=other)
    page = admin.post(row_url(provider, "delete"), {"post": "yes"})
    assert "Published helper" in page.content.decode()
    assert Provider.objects.filter(pk=provider.pk).exists()


def test_a_quoted_key_is_cut_out_of_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents import providers
    from agents.providers.base import ProviderError

    class Refusing:
        async def models(self) -> list[str]:
            raise ProviderError("auth", f"401 incorrect API key provided: {KEY}")

    monkeypatch.setattr(providers, "build", lambda spec: Refusing())
    answer = health.ask(Provider(name="x", kind="openai_compatible", api_key=KEY))
    assert (answer.ok, answer.text) == (False, "The provider refused the key. (401 incorrect API key provided: [redacted])")


def test_ollama_lists_latest_for_what_it_serves_without() -> None:
    answer = health.Answer(ok=True, text="", models=("llama3:latest", "qwen:7b"))
    assert answer.serves("llama3")
    assert answer.serves("qwen:7b")
    assert not answer.serves("qwen")


def test_a_provider_that_is_left_alone_says_so(admin: Client, provider: Provider, settings: LazySettings) -> None:
    settings.PROVIDER_CIRCUIT_FAILURES = 1
    circuits.failed(provider_spec(provider), "network")
    try:
        for url in ("/admin/agents/provider/", row_url(provider)):
            assert "Left alone" in admin.get(url).content.decode()
    finally:
        circuits.forget()
    assert "Left alone" not in admin.get(row_url(provider)).content.decode()
