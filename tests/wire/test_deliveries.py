"""Ended runs reach a receiver (AG-52): of every wire, also when the process that ended them dies before it told anybody."""

import json
from collections.abc import Iterator

import pytest

from tests.conftest import NewServer
from tests.support import clients
from tests.support.receiver import Received, Receiver
from tests.support.server import Server
from tests.support.waiting import until
from tests.wire import publicwire, runwire
from tests.wire.publicwire import Visitor, make

pytestmark = pytest.mark.live
SECRET = "whsec_of_the_wire_tests"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def endpoint(server: Server, receiver: Receiver, **wish: object) -> None:
    """Made by another process, so the server hears of it by the catalog."""
    fields = json.dumps({"name": "books", "url": receiver.url, "secret": SECRET, **wish})
    server.manage("shell", "-c", f"import json; from tasks.models import Endpoint; Endpoint.objects.create(**json.loads({fields!r}))")


def received(receiver: Receiver, execution_id: str) -> Received:
    found: Received = until(lambda: next((each for each in receiver.received if each.told["execution"]["id"] == execution_id), None))
    return found


@pytest.fixture
def site(new_server: NewServer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    environment = publicwire.environment(tmp_path_factory.mktemp("mails"))
    server = new_server(env=environment | {"ALLOW_PRIVATE_ADDRESSES": "127.0.0.1"})
    publicwire.prepare(server)
    return server


def test_runs_of_every_wire_are_delivered_signed(site: Server, receiver: Receiver) -> None:
    endpoint(site, receiver)
    with clients.http(site) as owner, Visitor(site, make(site)) as visitor:
        asked = runwire.ask(owner, "Hello", agent="root").headers["x-execution-id"]
        visited = visitor.say("Hello").json()["execution_id"]
        failed = runwire.ask(owner, '{"status": 400}', agent="root").headers["x-execution-id"]
        task = owner.post("/api/agents/root/task", json={"message": "Hello"}).json()["execution_id"]
        told = {execution_id: received(receiver, execution_id) for execution_id in (asked, visited, failed, task)}
        seen = owner.get(f"/api/executions/{asked}").json()
    assert all(each.is_signed_by(SECRET) for each in told.values())
    runs = {execution_id: each.told["execution"] for execution_id, each in told.items()}
    assert [(runs[each]["trigger"], runs[each]["status"]) for each in (asked, visited, failed, task)] == [
        ("chat", "success"), ("public", "success"), ("chat", "failed"), ("task", "success"),
    ]  # fmt: skip
    left_out = ("execution_log", "log_truncated", "approvals")
    assert runs[asked] == {name: value for name, value in seen.items() if name not in left_out}
    assert len(receiver.received) == 4


def test_an_end_that_nobody_told_is_delivered_after_a_restart(site: Server, receiver: Receiver) -> None:
    """The mark in the run's row, the delivery's row and its claim: wherever the process died, the next one goes on."""
    endpoint(site, receiver)
    with clients.http(site) as owner:
        execution_id = runwire.ask(owner, "Hello", agent="root").headers["x-execution-id"]
        received(receiver, execution_id)
    until(
        lambda: (
            site.manage("shell", "-v0", "-c", "from chat.models import *; print(Execution.objects.filter(unreported=True).count())") == "0"
        )
    )
    site.kill()
    forget = "Delivery.objects.all().delete(); Execution.objects.update(unreported=True, completed_at='2026-01-01T00:00:00Z')"
    site.manage("shell", "-c", f"from tasks.models import *; from chat.models import *; {forget}")
    site.start()
    until(lambda: len(receiver.received) == 2)
    assert receiver.received[1].told["execution"]["id"] == execution_id


@pytest.mark.redis
@pytest.mark.postgres
def test_two_processes_deliver_once(redis_pg_servers: tuple[Server, Server], receiver: Receiver) -> None:
    """Both may send; the claim lets one. Our own network stays out of reach."""
    first, second = redis_pg_servers
    endpoint(first, receiver)
    with clients.http(first) as here, clients.http(second) as there:
        ids = [runwire.ask(client, "Hello", agent="root").headers["x-execution-id"] for client in (here, there)]
    log = "from tasks.models import *; print([(str(d.execution_id), d.tries) for d in Delivery.objects.all()])"
    told = until(lambda: (shown := first.manage("shell", "-v0", "-c", log)) and shown.count("of a private network") == 2 and shown)
    assert all(execution_id in told for execution_id in ids)
    assert receiver.received == []
    first.manage("shell", "-c", "from tasks.models import *; Endpoint.objects.all().delete()")


PRIVATE = (
    "127.0.0.1", "10.0.0.8", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0", "0x7f000001", "2130706433", "127.1", "[::1]",
    "[fd00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]",
)  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_a_callback_to_a_private_address_is_refused_at_once(server: Server, host: str) -> None:
    """R11.4, AG-52: in every notation; nothing is begun."""
    with clients.http(server) as owner:
        answer = owner.post("/api/agents/root/task", json={"message": "Hello", "callback_url": f"https://{host}:8443/hook"})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    problem = answer.json()["detail"][0]
    assert (problem["loc"], problem["msg"]) == (["body", "callback_url"], "must not be an address of a private network")


def test_a_name_that_leads_to_a_private_address_is_not_called_and_the_log_says_so(server: Server, receiver: Receiver) -> None:
    """R11.4: what a name leads to is seen when it is called; managers read why in the admin."""
    url = receiver.url.replace("http://127.0.0.1", "https://localhost")
    with clients.http(server) as owner:
        answer = owner.post("/api/agents/root/task", json={"message": "Hello", "callback_url": url})
    assert answer.status_code == 202
    log = f"from tasks.models import Delivery; print(Delivery.objects.get(execution_id='{answer.json()['execution_id']}').tries)"
    told = until(lambda: "private network" in (shown := server.manage("shell", "-v0", "-c", log)) and shown)
    assert "it was not called" in told
    assert receiver.received == []
