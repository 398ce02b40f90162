"""`manage.py serve` from an empty directory to a first answer, and its end (R12.5)."""

import re
import shlex
import signal
import socket
import subprocess
import threading

import httpx2 as httpx
import pytest

from tests.config.starts import Start, ask

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The first start of a site, on daphne."""
    with Start(tmp_path_factory.mktemp("site") / "data", "serve", "--listen", "127.0.0.1:0") as start:
        start.base_url = start.ready()
        yield start


def test_the_first_start_prints_a_line_that_answers_when_it_is_pasted(first):
    (line,) = [line for line in first.lines if line.startswith("curl ")]
    done = subprocess.run([*shlex.split(line), "--silent", "--max-time", "20"], capture_output=True, text=True, check=True)
    assert '"object":"chat.completion"' in done.stdout


def test_the_first_start_says_first_where_the_chat_page_is(first):
    assert first.lines[0] == f"Chat: {first.base_url}/"
    assert httpx.get(first.lines[0].removeprefix("Chat: "), follow_redirects=True).status_code == 200


def test_the_printed_password_signs_in(first):
    password = re.search(r'as "admin" with the password (\S+)', "\n".join(first.lines))[1]
    answer = httpx.post(f"{first.base_url}/api/token", json={"username": "admin", "password": password})
    assert answer.status_code == 200
    stored = b"".join(path.read_bytes() for path in first.data_dir.rglob("*") if path.is_file())
    assert password.encode() not in stored
    assert re.search(r"sk-[\w-]{43}", "\n".join(first.lines))[0].encode() not in stored


def test_the_body_limit_holds_in_the_transport_and_the_answer_is_the_wires_own(first):
    """R12.1a, OAI-60: daphne alone would take all of it into memory first."""
    key = re.search(r"sk-[\w-]{43}", "\n".join(first.lines))[0]
    pieces = (b"x" * 65_536 for _ in range(64))
    answer = httpx.post(f"{first.base_url}/v1/chat/completions", content=pieces, headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_second_start_shows_no_secret_and_makes_nothing(first, tmp_path):
    assert first.end() == 0
    with Start(first.data_dir, "serve", "--listen", "127.0.0.1:0", "--server", "uvicorn") as again:
        again.ready()
        assert [line.split(" http")[0] for line in again.lines] == ["Listening on"]
        assert again.end() == 0


def test_two_first_starts_at_once_make_one_site(tmp_path):
    with Start(tmp_path, "serve", "--listen", "127.0.0.1:0") as one, Start(tmp_path, "serve", "--listen", "127.0.0.1:0") as other:
        for start in (one, other):
            assert httpx.get(f"{start.ready()}/healthz").status_code == 200
        assert sum("First start" in line for line in one.lines + other.lines) == 1


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
def test_a_stream_that_runs_at_the_end_gets_an_error_and_its_end_mark(tmp_path, kind):
    with Start(tmp_path, "serve", "--listen", "127.0.0.1:0", "--server", kind, SHUTDOWN_SECONDS="1") as start:
        base_url = start.ready()
        key = re.search(r"sk-[\w-]{43}", "\n".join(start.lines))[0]
        body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "/demo endless tick"}]}
        headers = {"authorization": f"Bearer {key}"}
        with httpx.stream("POST", f"{base_url}/v1/chat/completions", json=body, headers=headers, timeout=30) as stream:
            lines = stream.iter_lines()
            next(line for line in lines if "tick" in line)
            threading.Timer(0, start.process.send_signal, [signal.SIGTERM]).start()
            told = [line for line in lines if line.startswith("data: ")]
        assert '"code":"interrupted"' in told[-2]
        assert told[-1] == "data: [DONE]"
        assert "waiting up to 1 s for what runs to end (1)" in start.errors
        assert start.process.wait(15) == 0


def test_a_port_in_use_is_said_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, errors = Start(tmp_path, "serve", "--listen", f"127.0.0.1:{port}").refused()
    other = f'make run ARGS="--listen 127.0.0.1:{port + 1}"'
    assert (code, errors) == (1, f"CommandError: cannot listen on 127.0.0.1:{port}: Address already in use. Another port: {other}")


def test_other_machines_are_not_served_without_production_settings(tmp_path):
    code, errors = Start(tmp_path, "serve", "--listen", "0.0.0.0:0").refused()
    assert code == 2
    assert "Set PRODUCTION=true" in errors
    assert not (tmp_path / "switchboard.sqlite3").exists()


def test_an_unsafe_production_is_refused(tmp_path):
    code, errors = Start(tmp_path, "serve", PRODUCTION="true", SECRET_KEY="change-me", ALLOWED_HOSTS="*").refused()
    assert code == 2
    assert "SECRET_KEY is short or a placeholder" in errors
    assert "ALLOWED_HOSTS allows every host" in errors


@pytest.mark.parametrize(("name", "value"), [("CHAT_CORS_ORIGIN", "example.com"), ("CHAT_REQUEST_TIMEOUT", "soon")])
def test_a_bad_setting_stops_the_start_with_one_line(tmp_path, name, value):
    code, errors = Start(tmp_path, "serve", **{name: value}).refused()
    assert code == 2
    assert errors.startswith(name)
    assert "\n" not in errors


def test_production_serves_other_machines(tmp_path):
    env = {"PRODUCTION": "true", "PUBLIC_BASE_URL": "https://agents.example.com", "ALLOWED_HOSTS": "127.0.0.1"}
    with Start(tmp_path, "serve", "--listen", "0.0.0.0:0", "--server", "uvicorn", **env) as start:
        assert ask(start.ready()).status_code == 401
        assert "Warning: No REDIS_URL" in start.errors
