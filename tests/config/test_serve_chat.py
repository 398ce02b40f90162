"""`manage.py serve_chat`: the OpenAI wire alone, exactly as openai.md section 2 says (OAI-5 … OAI-9, OAI-65)."""

import httpx2 as httpx
import pytest

from tests.config.starts import Start, ask

pytestmark = pytest.mark.live

FILE = """
providers: [{name: scripted, kind: demo}]
agents:
  - {name: root, provider: scripted, model: demo-fast}
  - {name: reviewer, provider: scripted, model: demo-fast}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "agents.yaml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A site of its own for every test of this module: its database is made once."""
    return tmp_path_factory.mktemp("serve_chat") / "data"


@pytest.fixture(scope="module")
def anonymous(data_dir, file):
    with Start(data_dir, "serve_chat", file, "-l", "127.0.0.1:0") as start:
        start.base_url = start.ready("chat/completions")
        yield start


def names(base_url, **headers):
    return [model["id"] for model in httpx.get(f"{base_url}/v1/models", headers=headers).json()["data"]]


def test_the_example_of_the_readme_is_served(tmp_path):
    with Start(tmp_path / "data", "serve_chat", "examples/agents.yaml", "--listen", "127.0.0.1:0") as start:
        base_url = start.ready()
        assert names(base_url) == ["helper", "timekeeper"]
        assert ask(base_url, model="helper").status_code == 200


def test_success_is_exactly_two_lines_on_stdout(anonymous):
    address = anonymous.base_url.removeprefix("http://")
    assert anonymous.lines == [
        f"Listening on {address}",
        f"OpenAI-compatible chat completions endpoint: http://{address}/v1/chat/completions",
    ]


def test_without_redis_it_says_that_memory_is_this_process(anonymous):
    assert "memory of this one process" in anonymous.errors


def test_a_file_is_applied_and_only_its_agents_are_exposed(anonymous):
    """OAI-5a."""
    assert names(anonymous.base_url) == ["reviewer", "root"]
    assert ask(anonymous.base_url, model="root").json()["choices"][0]["finish_reason"] == "stop"
    assert ask(anonymous.base_url, model="demo").status_code == 404


@pytest.mark.parametrize("path", ["/", "/admin/", "/chat/run", "/api/schema", "/healthz", "/docs", "/static/x"])
def test_other_paths_are_404(anonymous, path):
    assert httpx.get(anonymous.base_url + path).status_code == 404


@pytest.mark.parametrize("path", ["/openapi.json", "/status", "/v1/models"])
def test_the_wires_own_paths_are_served(anonymous, path):
    assert httpx.get(anonymous.base_url + path).status_code == 200


@pytest.mark.parametrize("key", ["", "not-needed", "sk-" + "x" * 43])
def test_on_loopback_any_or_no_key_is_let_in(anonymous, key):
    """OAI-8: SDKs insist on sending some key."""
    assert ask(anonymous.base_url, key, model="root").status_code == 200


def test_the_host_check_and_415_stay_on(anonymous):
    """OAI-8: no web page in the operator's browser reaches the anonymous server."""
    assert ask(anonymous.base_url, model="root", headers={"host": "evil.example"}).status_code == 400
    form = httpx.post(f"{anonymous.base_url}/v1/chat/completions", content="{}", headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert (
        "access-control-allow-origin"
        not in httpx.get(f"{anonymous.base_url}/v1/models", headers={"origin": "https://evil.example"}).headers
    )


def test_with_a_static_key_requests_need_one(data_dir, file):
    """OAI-9: the static key protects /v1/ and nothing else; it is in no output."""
    options = ("--api-key-env", "MY_KEY", "-a", "root", "--cors-origin", "https://app.example", "--max-request-size", "1KiB")
    with Start(data_dir, "serve_chat", file, "-l", "127.0.0.1:0", "--server", "uvicorn", *options, MY_KEY="static-secret") as start:
        base_url = start.ready("chat/completions")
        refused = ask(base_url, headers={"origin": "https://app.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
        assert ask(base_url, "another-secret", model="root").status_code == 401
        assert ask(base_url, "static-secret", model="root").status_code == 200
        assert names(base_url, authorization="Bearer static-secret") == ["root"]
        assert ask(base_url, "static-secret", model="reviewer").status_code == 404
        assert ask(base_url, "static-secret", model="root", content="x" * 2000).status_code == 413
        assert httpx.get(f"{base_url}/status").status_code == 200
        preflight = httpx.options(
            f"{base_url}/v1/chat/completions", headers={"origin": "https://app.example", "access-control-request-method": "POST"}
        )
        assert (preflight.status_code, preflight.headers["access-control-allow-methods"]) == (200, "GET, POST, OPTIONS")
        assert start.end() == 0
        assert "static-secret" not in "\n".join(start.lines) + start.errors


def test_on_a_public_address_without_a_static_key_callers_need_credentials(data_dir, file):
    """OAI-8."""
    with Start(data_dir, "serve_chat", file, "-l", "0.0.0.0:0") as start:
        assert ask(start.ready("chat/completions"), model="root").status_code == 401


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-a", "demo"], 'agent "demo" not found'),
        (["--api-key-env", "NO_SUCH_VARIABLE"], "--api-key-env: the environment variable"),
        (["--conversations-max", "many"], "--conversations-max: invalid int value"),
    ],
)
def test_bad_options_end_with_exit_code_2_before_anything_listens(data_dir, file, anonymous, options, sentence):
    code, errors = Start(data_dir, "serve_chat", file, "-l", "127.0.0.1:0", *options).refused()
    assert code == 2
    assert sentence in errors


def test_a_bad_file_ends_with_exit_code_2(data_dir, anonymous):
    code, errors = Start(data_dir, "serve_chat", "missing.yaml").refused()
    assert code == 2
    assert "missing.yaml: cannot be read" in errors


def test_without_a_file_a_new_site_has_the_demo(tmp_path):
    with Start(tmp_path, "serve_chat", "-l", "127.0.0.1:0") as start:
        base_url = start.ready("chat/completions")
        assert "demo" in names(base_url)
        assert len(start.lines) == 2
        unnamed = httpx.post(f"{base_url}/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hello!"}]})
        assert unnamed.json()["error"]["code"] == "missing_required_parameter"
