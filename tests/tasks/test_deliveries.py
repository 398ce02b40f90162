"""Ended runs are delivered (AG-52): signed, tried again for about a day, never redirected, never to our own network."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django.fixtures import Settings

from agents import directory
from agents.access import Principal
from agents.models import Agent, UserProfile
from chat.models import Execution
from chat.requests import TurnRequest
from tasks import deliveries, sending
from tasks.models import Delivery, Endpoint
from tests.support.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "whsec_test"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def _may_be_local(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = ["127.0.0.1"]


@pytest.fixture
def run(agent: Agent, owner: User) -> Execution:
    return Execution.objects.create(
        agent=agent, agent_name="helper", owner=owner, principal=f"user:{owner.pk}", trigger="task", wire="agents", status="success",
        message="Count.", response="Forty.", completed_at=timezone.now(),
        steps=[{"step": 1, "parts": [{"type": "step", "step": 1, "model": "m"}, {"type": "text", "block": 1, "text": "Forty."}]}],
    )  # fmt: skip


def an_endpoint(receiver: Receiver, **fields: Any) -> Endpoint:
    return Endpoint.objects.create(**{"name": "books", "url": receiver.url, "secret": SECRET, **fields})


def send() -> int:
    """Whatever is due."""
    return async_to_sync(deliveries.send_due)()


async def swept() -> None:
    await deliveries.sweep()
    await asyncio.gather(*deliveries._senders.values())


def delivered(run: Execution) -> Delivery:
    """The one delivery of the run, planned and tried once."""
    deliveries.plan(run.id)
    send()
    return Delivery.objects.get()


def later(delivery: Delivery) -> Delivery:
    """The next try, as if its time had come."""
    Delivery.objects.filter(pk=delivery.pk).update(next_try_at=timezone.now())
    send()
    return Delivery.objects.get(pk=delivery.pk)


def test_a_run_is_delivered_signed(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    delivery = delivered(run)
    (received,) = receiver.received
    assert received.is_signed_by(SECRET)
    assert not received.is_signed_by("whsec_other")
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["X-Switchboard-Delivery"] == str(delivery.pk)
    assert list(received.told) == ["id", "event", "created_at", "execution"]
    assert (received.told["id"], received.told["event"]) == (str(delivery.pk), "execution.finished")
    told = received.told["execution"]
    assert (told["id"], told["status"], told["message"], told["response"]) == (str(run.id), "success", "Count.", "Forty.")
    assert "execution_log" not in told
    assert "error_detail" not in told
    assert (delivery.status, delivery.next_try_at, [each["status"] for each in delivery.tries]) == ("delivered", None, [204])


def test_a_run_is_delivered_once_however_often_its_end_is_told(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    delivered(run)
    delivered(run)
    assert len(receiver.received) == 1


def test_what_is_refused_is_tried_again_with_growing_pauses(receiver: Receiver, run: Execution) -> None:
    """Eight tries in about a day, all with the same delivery id."""
    receiver.statuses = [500, 404, 503, 301, 400, 429, 500, 500]
    an_endpoint(receiver)
    delivery = delivered(run)
    pauses = []
    while delivery.next_try_at is not None:
        pauses.append((delivery.next_try_at - timezone.now()).total_seconds())
        assert send() == 0, "not before its time"
        delivery = later(delivery)
    assert (delivery.status, len(delivery.tries), len(receiver.received)) == ("failed", 8, 8)
    assert pauses == sorted(pauses)
    assert timedelta(hours=23) < timedelta(seconds=sum(pauses)) < timedelta(hours=25)
    assert len({received.headers["X-Switchboard-Delivery"] for received in receiver.received}) == 1
    assert {received.path for received in receiver.received} == {"/hook"}, "redirects are not followed"


def test_a_later_try_may_succeed(receiver: Receiver, run: Execution) -> None:
    receiver.statuses = [500]
    an_endpoint(receiver)
    delivery = later(delivered(run))
    assert (delivery.status, [each["status"] for each in delivery.tries]) == ("delivered", [500, 204])
    assert receiver.received[0].body == receiver.received[1].body


def test_gone_stops(receiver: Receiver, run: Execution) -> None:
    receiver.statuses = [410]
    an_endpoint(receiver)
    delivery = delivered(run)
    assert (delivery.status, delivery.next_try_at, len(delivery.tries)) == ("failed", None, 1)


def test_who_does_not_answer_is_not_waited_for(receiver: Receiver, run: Execution, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds; less here."""
    assert sending.TIMEOUT_S == 10
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    receiver.statuses = [0]
    an_endpoint(receiver)
    delivery = delivered(run)
    assert (delivery.status, delivery.tries[0]["status"]) == ("pending", None)
    assert delivery.tries[0]["error"] == "The server did not answer in time."


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://169.254.169.254/latest", "http://[::1]/", "http://2130706433/", "http://localhost/"]
)
def test_our_own_network_is_out_of_reach(run: Execution, settings: Settings, url: str) -> None:
    """R11.4."""
    settings.ALLOW_PRIVATE_ADDRESSES = []
    Endpoint.objects.create(name="inside", url=url, secret=SECRET)
    delivery = delivered(run)
    assert (delivery.status, delivery.tries[0]["status"], delivery.tries[0]["error"]) == (
        "pending", None, "The address is of a private network, or leads to one: it was not called. "
        "ALLOW_PRIVATE_ADDRESSES names those that may be.",
    )  # fmt: skip


def test_a_receiver_that_is_away(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver, url="http://127.0.0.1:1/")
    assert (delivered(run)).tries[0]["error"] == "The server could not be reached."


# Which runs


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ({}, True),
        ({"statuses": ["failed"]}, False),
        ({"statuses": ["success", "failed"]}, True),
        ({"triggers": ["chat"]}, False),
        ({"triggers": ["task"]}, True),
        ({"enabled": False}, False),
    ],
    ids=str,
)
def test_an_endpoint_hears_of_what_it_wants(receiver: Receiver, run: Execution, wish: dict[str, Any], wanted: bool) -> None:
    an_endpoint(receiver, **wish)
    assert bool(deliveries.plan(run.id)) is wanted


def test_an_endpoint_of_another_agent_hears_nothing(receiver: Receiver, run: Execution, agent: Agent) -> None:
    other = Agent.objects.create(name="other", provider_id=agent.provider_id, model="demo")
    Endpoint.objects.create(name="other's", url=receiver.url, secret=SECRET, agent=other)
    assert deliveries.plan(run.id) == 0


@pytest.mark.parametrize("status", ["queued", "running", "paused", "skipped"])
def test_only_ends_are_delivered(receiver: Receiver, run: Execution, status: str) -> None:
    an_endpoint(receiver)
    Execution.objects.filter(id=run.id).update(status=status)
    assert deliveries.plan(run.id) == 0


@pytest.mark.parametrize(
    ("wish", "wanted"), [({}, True), ({"triggers": ["chat"]}, True), ({"triggers": ["task"]}, False), ({"enabled": False}, False)], ids=str
)
def test_a_turn_that_begins_knows_whether_somebody_waits_for_its_end(
    receiver: Receiver, agent: Agent, wish: dict[str, Any], wanted: bool
) -> None:
    """Asked for every turn, so from memory; the endpoints are read with the catalog."""
    an_endpoint(receiver, **wish)
    spec = directory.load().by_name["helper"]
    request = TurnRequest(principal=Principal(kind="user", key="user:1", namespace="user:1"), agent=spec, wire="run", parts=(), timeout_s=1)
    assert deliveries.wants(request) is wanted


# Secrets


def test_a_task_s_result_is_signed_with_its_caller_s_secret(receiver: Receiver, run: Execution, owner: User) -> None:
    UserProfile.objects.create(user=owner, callback_secret="whsec_of_the_owner")
    Execution.objects.filter(id=run.id).update(callback_url=receiver.url)
    delivered(run)
    (received,) = receiver.received
    assert received.is_signed_by("whsec_of_the_owner")


def test_a_caller_without_a_secret_is_given_one(receiver: Receiver, run: Execution, owner: User) -> None:
    """Nothing goes out unsigned."""
    Execution.objects.filter(id=run.id).update(callback_url=receiver.url)
    delivered(run)
    profile = UserProfile.objects.get(user=owner)
    assert len(profile.callback_secret) > 40
    assert receiver.received[0].is_signed_by(profile.callback_secret)


def test_after_a_rotation_the_old_secret_signs_too_for_a_day(receiver: Receiver, run: Execution) -> None:
    endpoint = an_endpoint(receiver)
    new = sending.rotate(endpoint)
    delivery = delivered(run)
    (received,) = receiver.received
    assert received.is_signed_by(new)
    assert received.is_signed_by(SECRET, "X-Switchboard-Signature-Previous")
    Endpoint.objects.update(rotated_at=timezone.now() - timedelta(hours=25))
    deliveries.again(delivery)
    send()
    assert "X-Switchboard-Signature-Previous" not in receiver.received[1].headers


# What may happen meanwhile


def test_two_processes_try_a_delivery_once(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    deliveries.plan(run.id)
    first, second = deliveries._claim(), deliveries._claim()
    assert (len(first), len(second)) == (1, 0)


def test_a_claim_whose_process_died_lapses(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    deliveries.plan(run.id)
    (claimed,) = deliveries._claim()
    delivery = later(claimed)
    assert (delivery.status, len(delivery.tries)) == ("delivered", 1)


def test_who_lost_the_claim_writes_nothing(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    deliveries.plan(run.id)
    (stale,) = deliveries._claim()
    later(stale)
    deliveries._record(stale, timezone.now(), sending.Outcome(error="late"))
    delivery = Delivery.objects.get()
    assert (delivery.status, len(delivery.tries)) == ("delivered", 1)


def test_an_address_that_was_corrected_gets_the_next_try(receiver: Receiver, run: Execution) -> None:
    endpoint = an_endpoint(receiver, url="http://127.0.0.1:1/")
    delivery = delivered(run)
    Endpoint.objects.filter(pk=endpoint.pk).update(url=receiver.url)
    delivery = later(delivery)
    assert (delivery.status, delivery.url) == ("delivered", receiver.url)


def test_an_endpoint_that_was_switched_off_is_left_alone(receiver: Receiver, run: Execution) -> None:
    endpoint = an_endpoint(receiver)
    deliveries.plan(run.id)
    Endpoint.objects.filter(pk=endpoint.pk).update(enabled=False)
    send()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.tries[0]["error"]) == ("failed", "The endpoint is switched off.")
    assert receiver.received == []


def test_what_was_said_is_not_kept_with_the_delivery(receiver: Receiver, run: Execution) -> None:
    """A conversation that is deleted takes its words along (AG-22), also from what is still to be sent."""
    receiver.statuses = [500]
    an_endpoint(receiver)
    delivery = delivered(run)
    Execution.objects.filter(id=run.id).update(message="", response="", steps=[])
    later(delivery)
    assert b"Forty" in receiver.received[0].body
    assert b"Forty" not in receiver.received[1].body


def test_sending_again_is_as_patient_as_the_first_time(receiver: Receiver, run: Execution) -> None:
    receiver.statuses = [410, 500]
    an_endpoint(receiver)
    delivery = delivered(run)
    deliveries.again(delivery)
    send()
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.tries_made, [each["status"] for each in delivery.tries]) == ("pending", 1, [410, 500])


def test_the_sweep_sends_what_is_due_and_forgets_what_is_long_past(receiver: Receiver, run: Execution) -> None:
    an_endpoint(receiver)
    deliveries.plan(run.id)
    old = timezone.now() - timedelta(days=31)
    Delivery.objects.create(execution_id=run.id, url="x", status="delivered", created_at=old)
    async_to_sync(swept)()
    assert len(receiver.received) == 1
    assert Delivery.objects.count() == 1
