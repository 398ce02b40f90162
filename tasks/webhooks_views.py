"""Webhooks inwards: their addresses, for managers, and the calls, for whoever has the address (agents.md section 9)."""

from dataclasses import replace
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse

from agents import directory, throttle
from agents.access import ANONYMOUS
from agents.database import run
from agents.errors import SwitchboardError
from agents.specs import AgentSpec
from chat import queued
from chat.idempotency import claim_for
from chat.protocols.agents_api.base import AgentRoute
from chat.protocols.agents_api.errors import envelope, field_problem
from chat.queued import Accepted
from chat.requests import IdempotencyClaim
from chat.views import Call, WireView, respond
from tasks import documents, firing, webhooks
from tasks.managing import id_of, managed_agent
from tasks.models import Schedule, Webhook
from tasks.schedules_views import managed_schedule, triggered
from tasks.skipping import Skip, Wanted, skip

CALLS_PER_ADDRESS, CALLS_PER_TOKEN = 60, 10
"""A minute (AG-48)."""


# For managers


class WebhookRoute(AgentRoute):
    scopes = {"GET": "", "POST": "", "DELETE": ""}
    json_body = False

    async def get(self, call: Call, name: str, schedule_id: str | None = None) -> HttpResponse:
        agent_id, schedule = await _target(call, name, schedule_id)
        return _answer(call, await run(webhooks.webhook_of, agent_id, _id(schedule)), schedule)

    async def post(self, call: Call, name: str, schedule_id: str | None = None) -> HttpResponse:
        agent_id, schedule = await _target(call, name, schedule_id)
        return _answer(call, await run(webhooks.mint, agent_id, schedule, call.principal.user_id), schedule)

    async def delete(self, call: Call, name: str, schedule_id: str | None = None) -> HttpResponse:
        agent_id, schedule = await _target(call, name, schedule_id)
        await run(webhooks.revoke, agent_id, _id(schedule))
        return _answer(call, None, schedule)


class SecretRoute(AgentRoute):
    """Signing on, its secret shown in this answer alone; signing off (AG-47)."""

    scopes = {"POST": "", "DELETE": ""}
    json_body = False

    async def post(self, call: Call, name: str, schedule_id: str | None = None) -> HttpResponse:
        return await self._sign(call, name, schedule_id, on=True)

    async def delete(self, call: Call, name: str, schedule_id: str | None = None) -> HttpResponse:
        return await self._sign(call, name, schedule_id, on=False)

    async def _sign(self, call: Call, name: str, schedule_id: str | None, *, on: bool) -> HttpResponse:
        agent_id, schedule = await _target(call, name, schedule_id)
        webhook = await run(webhooks.sign, await run(webhooks.webhook_of, agent_id, _id(schedule)), on=on)
        return _answer(call, webhook, schedule, secret=on)


@documents.schedule_webhook
class ScheduleWebhookView(WebhookRoute):
    pass


@documents.schedule_webhook_secret
class ScheduleSecretView(SecretRoute):
    pass


@documents.agent_webhook
class AgentWebhookView(WebhookRoute):
    pass


@documents.agent_webhook_secret
class AgentSecretView(SecretRoute):
    pass


async def _target(call: Call, name: str, schedule_id: str | None) -> tuple[UUID, Schedule | None]:
    """Whose webhook it is: a schedule's, or the agent's own."""
    if schedule_id is None:
        return id_of(await managed_agent(call.principal, name)), None
    agent, schedule = await managed_schedule(call.principal, name, schedule_id)
    return id_of(agent), schedule


def _id(schedule: Schedule | None) -> UUID | None:
    return schedule.pk if schedule else None


def _answer(call: Call, webhook: Webhook | None, schedule: Schedule | None, *, secret: bool = False) -> HttpResponse:
    site = settings.PUBLIC_BASE_URL or f"{call.request.scheme}://{call.request.get_host()}"
    return respond(webhooks.shown(webhook, _id(schedule), site, secret=secret), headers={"Cache-Control": "no-store"})


# For callers


class CallView(WireView):
    """In the order of AG-48: address, size, token, its limit, signature, body, key, run."""

    public = True
    json_body = False
    scopes = {"POST": ""}
    envelope = staticmethod(envelope)

    async def check_path(self, call: Call, **kwargs: str) -> None:
        await throttle.spend(f"webhooks-from:{call.address}", CALLS_PER_ADDRESS)

    def body_limit(self) -> int:
        return webhooks.MAX_BODY_BYTES

    @documents.webhook_call
    async def post(self, call: Call, token: str) -> HttpResponse:
        webhook = await run(webhooks.webhook_for, token)
        agent = await _agent_of(webhook)
        limit = f"webhook:{webhook.pk}"
        await throttle.spend(limit, CALLS_PER_TOKEN)
        if webhook.secret:
            webhooks.check_signature(webhook.secret, call.headers, call.body)
        given = webhooks.given_in(call.body)
        context, metadata = webhooks.context_of(given)
        wanted = _wanted(webhook, context, metadata, call.request_id)
        caller = replace(ANONYMOUS, key=f"webhook:{webhook.token_hash}")
        key = claim_for(caller, "webhooks", agent.name, call.headers.get("idempotency-key"), given, {})
        accepted = await _start(webhook, agent, wanted, key)
        if accepted.replayed:
            await throttle.give_back(limit)
        else:
            await run(webhooks.called, webhook)
        return triggered(accepted, agent.name, webhook.schedule)


async def _agent_of(webhook: Webhook) -> AgentSpec:
    """The published agent. Raises not_found."""
    catalog = await directory.catalog()
    agent = catalog.by_id.get(webhook.agent_id)
    if agent is None and await directory.moved(catalog):  # another process may just have published it
        agent = directory.current().by_id.get(webhook.agent_id)
    if agent is None:
        raise SwitchboardError("not_found")
    return agent


def _wanted(webhook: Webhook, context: str, metadata: dict[str, object], request_id: str) -> Wanted:
    """A schedule's message with the context as data; of an agent's own webhook the context is the message (AG-47)."""
    labels = {"metadata": metadata} if metadata else {}
    if webhook.schedule is not None:
        text = webhooks.message_with(webhook.schedule.message, context)
        return replace(firing.wanted_by(webhook.schedule, request_id=request_id), trigger="webhook", text=text, labels=labels)
    if not context.strip():
        raise field_problem("context", "is the message, and is needed")
    return Wanted(
        text=context,
        trigger="webhook",
        agent_id=webhook.agent_id,
        agent_name=webhook.agent.name,
        owner_id=webhook.created_by_id,
        labels=labels,
        request_id=request_id,
    )


async def _start(webhook: Webhook, agent: AgentSpec, wanted: Wanted, key: IdempotencyClaim | None) -> Accepted:
    if webhook.schedule is not None:
        return await firing.start(webhook.schedule, agent, wanted, key)
    try:
        task = await run(firing.task_for, agent, wanted)
    except Skip as skipped:
        return Accepted(execution_id=await run(skip, wanted, str(skipped)))
    return await queued.enqueue(task, key)
