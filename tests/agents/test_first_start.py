"""The first start makes something to talk to and somebody to be; it never makes it again."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.contrib.auth.models import User
from genai_prices.data import providers

from agents import first_start, versions
from agents.models import Agent, ApiKey, Provider, hash_key

pytestmark = pytest.mark.django_db
NOTHING = {"OLLAMA_HOST": "127.0.0.1:1"}


class FakeOllama(BaseHTTPRequestHandler):
    models = ("llama3.2:3b", "qwen3:8b")

    def do_GET(self):
        body = json.dumps({"models": [{"name": name} for name in self.models]}).encode()
        self.send_response(200 if self.path == "/api/tags" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def ollama():
    with HTTPServer(("127.0.0.1", 0), FakeOllama) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_without_keys_or_network_there_are_demo_agents_for_every_signed_in_user():
    first_start.make_agents(NOTHING)
    specs = versions.load_specs()
    assert list(Agent.objects.values_list("name", flat=True)) == ["demo", "demo-approval", "research-agent"]
    assert {spec.access for spec in specs.values()} == {"signed_in"}
    assert [tool.requires_approval for spec in specs.values() for tool in spec.tools] == [False, True, False]
    assert specs["demo"].show_reasoning, "its answers invite to `/demo reasoning Hmm`"


def test_a_key_in_the_environment_makes_a_provider_and_an_agent():
    first_start.make_agents({**NOTHING, "OPENAI_API_KEY": "sk-o", "ANTHROPIC_API_KEY": "sk-a", "GEMINI_API_KEY": "g"})
    specs = versions.load_specs()
    assert set(specs) == {"demo", "demo-approval", "research-agent", "openai", "claude", "gemini"}
    served = {name: (spec.model.provider.kind, spec.model.provider.base_url, spec.model.provider.api_key) for name, spec in specs.items()}
    assert served["openai"] == ("openai_compatible", "https://api.openai.com/v1", "sk-o")
    assert served["claude"] == ("anthropic", "", "sk-a")
    assert served["gemini"] == ("google", "", "g")


def test_the_models_of_the_first_start_are_on_the_price_list():
    listed = {provider.id: provider for provider in providers}
    for vendor, name in (("openai", "openai"), ("anthropic", "claude"), ("google", "gemini")):
        model = listed[vendor].find_model(first_start.VENDORS[name].model)
        assert model is not None
        assert not model.deprecated


def test_a_local_ollama_is_found(ollama):
    first_start.make_agents({"OLLAMA_HOST": ollama})
    model = versions.load_specs()["ollama"].model
    assert (model.name, model.provider.base_url) == ("llama3.2:3b", f"http://{ollama}/v1")


def test_what_answers_where_ollama_should_be_may_be_anything(monkeypatch, ollama):
    monkeypatch.setattr(FakeOllama, "do_GET", lambda self: (self.send_response(200), self.end_headers(), self.wfile.write(b"[1]")))
    first_start.make_agents({"OLLAMA_HOST": ollama})
    assert not Provider.objects.filter(name="ollama").exists()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:9999", "http://127.0.0.1:9999"),
        ("ollama", "http://ollama:11434"),
        ("https://gpu.example:443/", "https://gpu.example:443"),
        ("http://[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(host, url):
    assert first_start.ollama_url(host) == url


def test_what_an_operator_deleted_does_not_come_back():
    first_start.make_agents(NOTHING)
    Agent.objects.all().delete()
    first_start.make_agents({**NOTHING, "OPENAI_API_KEY": "sk-o"})
    assert not Agent.objects.exists()


def test_a_site_that_has_agents_gets_no_demo():
    provider = Provider.objects.create(name="own", kind="demo")
    Agent.objects.create(name="own", provider=provider, model="demo")
    first_start.make_agents(NOTHING)
    assert Agent.objects.count() == 1


def test_the_administrators_password_and_key_work_and_are_not_stored():
    first_start.make_agents(NOTHING)
    made = first_start.make_administrator()
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(made.password)
    assert made.password not in admin.password
    assert ApiKey.objects.get(hash=hash_key(made.key)).owner == admin
    assert made.agent == "demo"


def test_the_administrator_is_made_once():
    assert first_start.make_administrator()
    User.objects.all().delete()
    assert first_start.make_administrator() is None
    assert not User.objects.exists()


def test_a_site_that_has_an_administrator_keeps_it():
    User.objects.create_superuser("root", password="x")
    assert first_start.make_administrator() is None
    assert not ApiKey.objects.exists()
