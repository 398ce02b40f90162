"""The admin on a live server: signing in, its files, and the two buttons that reach into running turns."""

import re
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.agents.admin.forms import fields_in
from tests.support import cast, clients
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import runwire

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def site(any_server: Server) -> Server:
    runwire.prepare(any_server)
    return any_server


@pytest.fixture
def admin(site: Server) -> Iterator[httpx.Client]:
    """The administrator's browser, signed in."""
    with clients.browser(site.base_url) as browser:
        browser.follow_redirects = True
        browser.get("/admin/")
        page = press(browser, "/admin/login/?next=/admin/", username="admin", password=cast.password("admin"))
        assert page.url.path == "/admin/"
        yield browser


def press(browser: httpx.Client, path: str, **fields: str | list[str]) -> httpx.Response:
    """Posts a form as a browser does, with its token and origin."""
    data = fields | {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    return browser.post(path, data=data, headers={"Origin": str(browser.base_url).rstrip("/")})


def paths_on(page: httpx.Response, pattern: str) -> list[str]:
    found: list[str] = re.findall(pattern, page.text)
    return found


def test_every_file_the_first_page_names_is_served(admin: httpx.Client) -> None:
    files = paths_on(admin.get("/admin/"), r'(?:href|src)="(/static/[^"]+)"')
    assert "/static/admin/switchboard.css" in files
    assert {path: admin.get(path).status_code for path in files} == dict.fromkeys(files, 200)


def test_approving_in_the_inbox_lets_the_run_go_on(admin: httpx.Client, site: Server) -> None:
    """R15.2: managers decide in the admin inbox too; R15.3: the same execution goes on."""
    with clients.http(site) as caller:
        paused = runwire.ask(caller, runwire.PAUSES, agent="run-approval").json()
        (button,) = paths_on(
            admin.get(f"/admin/chat/approval/?q={paused['approvals'][0]['tool_call_id']}"), r'formaction="([^"]+/approve/)"'
        )
        assert "approved; the run goes on" in press(admin, button).text
        ended = until_ended(caller, paused["execution_id"])
    assert ended["status"] == "success"
    assert "It is late." in ended["response"]
    assert "It is late." in admin.get(f"/admin/chat/execution/{paused['execution_id']}/change/").text


def test_denying_with_a_reason_tells_the_model(admin: httpx.Client, site: Server) -> None:
    with clients.http(site) as caller:
        paused = runwire.ask(caller, runwire.PAUSES, agent="run-approval").json()
        (button,) = paths_on(admin.get(f"/admin/chat/approval/?q={paused['approvals'][0]['tool_call_id']}"), r'formaction="([^"]+/deny/)"')
        press(admin, button, reason="Not now.")
        assert until_ended(caller, paused["execution_id"])["status"] == "success"
    assert "Not now." in admin.get(f"/admin/chat/execution/{paused['execution_id']}/change/").text


def test_the_stop_button_ends_a_running_turn(admin: httpx.Client, site: Server) -> None:
    """R6.5: from the admin as from any wire."""
    with clients.http(site) as caller, runwire.streamed(caller, "/demo endless", agent="run-clock") as stream:
        next(stream.iter_bytes())
        execution_id = stream.headers["x-execution-id"]
        assert "The run is cancelled." in press(admin, f"/admin/chat/execution/{execution_id}/stop/").text
    assert "CANCELLED" in admin.get(f"/admin/chat/execution/{execution_id}/change/").text.upper()


def test_what_is_published_in_the_admin_answers_the_next_call(admin: httpx.Client, site: Server) -> None:
    (page,) = set(paths_on(admin.get("/admin/agents/agent/?q=run-queue"), r"(/admin/agents/agent/[0-9a-f-]{36}/change/)"))
    with clients.http(site) as caller:
        before = version_that_answers(caller)
        fields = fields_in(admin.get(page).text, "agent_form") | {"description": [f"Newer than {before}"], "_publish": [""]}
        assert f"Version {before + 1} is live" in press(admin, page, **fields).text
        assert version_that_answers(caller) == before + 1


def version_that_answers(caller: httpx.Client) -> int:
    execution_id = runwire.ask(caller, "Hello", agent="run-queue").headers["x-execution-id"]
    return int(caller.get(f"/api/executions/{execution_id}").json()["agent_version"])


def until_ended(caller: httpx.Client, execution_id: str) -> dict[str, str]:
    over = ("success", "failed", "cancelled")
    return until(lambda: (found := caller.get(f"/api/executions/{execution_id}").json())["status"] in over and found)
