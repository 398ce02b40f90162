"""A chat message becomes a turn (§5.1, §5.3): which thread, which agent, once per `id`; then it is told and followed."""

from dataclasses import replace
from uuid import UUID

from django.conf import settings

from agents import directory
from agents.access import Principal, may_use
from agents.directory import Catalog
from agents.errors import SwitchboardError
from agents.ids import new_request_id
from agents.specs import AgentSpec
from chat import clientcalls, idempotency, readings, turns
from chat.choice import choose
from chat.errors import CatalogChanged
from chat.models import Execution, Message
from chat.protocols.websocket import clienttools, threads
from chat.protocols.websocket.begun import check_turns
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.contents import parts_of
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.frames import Body
from chat.protocols.websocket.serializers import ChatMessage
from chat.protocols.websocket.watch import Watch
from chat.protocols.websocket.watches import watch_for
from chat.requests import IdempotencyClaim, Part, SessionRef, TurnRequest
from chat.sessions import new_session, ref_of
from chat.store import run
from chat.turns import Turn

ROUTE = "websocket"
MOST_HISTORY = 1000
"""Messages of a thread that a model is told of at most (WS-31)."""
_ATTEMPTS = 4


async def chat(connection: Connection, message: ChatMessage) -> None:
    """Starts the turn, tells its sender, and follows it. Raises SwitchboardError for every refusal; nothing is stored then."""
    if not await connection.still():
        return
    connection.principal.check_scope("run")
    check_supported(message)
    for _ in range(_ATTEMPTS):
        catalog = directory.current()
        try:
            await _chat(connection, message)
            return
        except CatalogChanged:
            pass
        except SwitchboardError as error:
            if error.code != "agent_not_found" or not await directory.moved(catalog):  # another process may just have published it
                raise
        if not await connection.still():
            return
    raise SwitchboardError("store_unavailable", retry_after_s=1)


def check_supported(message: ChatMessage) -> None:
    """Knowledge folders that do not exist here are told like foreign ones (WS-70)."""
    if message.graph is not None:
        raise refusal("unsupported", "The server runs stored workflows only.")
    if message.collections:
        raise refusal("knowledge_not_found")


async def _chat(connection: Connection, message: ChatMessage) -> None:
    principal, catalog = connection.principal, await directory.catalog()
    session, agent = await _conversation(connection, message, catalog)
    await check_turns(connection, session)
    clienttools.check(connection.manifest, agent)
    async with parts_of(message, principal, agent, connection.site) as (parts, files):
        thread = session or new_session(principal, agent, "websocket", principal.namespace, message.thread_id)
        turn = await _started(_request(connection, message, agent, thread, parts))
        files.unused = isinstance(turn, UUID) or turn.replayed
    if isinstance(turn, UUID) or turn.replayed:
        await again(connection, turn if isinstance(turn, UUID) else turn.execution_id, agent)
    else:
        await _accepted(connection, turn, turn.session or thread, message)


async def _conversation(connection: Connection, message: ChatMessage, catalog: Catalog) -> tuple[SessionRef | None, AgentSpec]:
    """The thread (None: a new one) and its agent (WS-28 … WS-30)."""
    principal = connection.principal
    session = await threads.writable(principal, message.thread_id) if message.thread_id else None
    named = agent_named(principal, catalog, message)
    if session is None and named is None and connection.agent_name:
        named = _name_of(catalog, connection.agent_name) or connection.agent_name
    agent = choose(principal, catalog, session=session, named=named)
    if "thread_id" not in message.model_fields_set:
        session = connection.last_threads.get(agent.id)
    return session, agent


async def agent_of(connection: Connection) -> AgentSpec | None:
    """The agent that the connection names for itself, if it may use it."""
    catalog = await directory.catalog()
    found = catalog.by_name.get(_name_of(catalog, connection.agent_name) or connection.agent_name)
    return found if found is not None and may_use(connection.principal, found) else None


def agent_named(principal: Principal, catalog: Catalog, message: ChatMessage) -> str | None:
    """The agent that the message names: by `agent`, which must exist, or by `model`, which often is a provider's model name."""
    if message.agent is not None:
        return _name_of(catalog, message.agent) or message.agent
    found = catalog.by_name.get(message.model) if message.model else None
    return found.name if found is not None and may_use(principal, found) else None


def _name_of(catalog: Catalog, text: str) -> str | None:
    """An agent's name by its id; None when it is no id of one."""
    try:
        found = catalog.by_id.get(UUID(text))
    except ValueError:
        return None
    return found.name if found else None


def claim_of(principal: Principal, agent: AgentSpec, message: ChatMessage) -> IdempotencyClaim | None:
    """A message's `id` makes its sending repeatable, whether or not a thread was named (WS-25)."""
    if message.id is None:
        return None
    said = message.model_dump(mode="python", include={"content", "attachments", "input_files", "params", "workflow_id", "tools"})
    return IdempotencyClaim(
        key_hash=idempotency.scope_hash([principal.key, ROUTE, agent.name, message.id]),
        fingerprint=idempotency.fingerprint(_hashable(said), {}),
    )


def _hashable(value: object) -> object:
    """The value with bytes as text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hashable(item) for key, item in value.items()}
    return [_hashable(item) for item in value] if isinstance(value, list) else value


def _request(connection: Connection, message: ChatMessage, agent: AgentSpec, session: SessionRef, parts: tuple[Part, ...]) -> TurnRequest:
    names, claim = message.tool_names, claim_of(connection.principal, agent, message)
    tools = clientcalls.offered(connection.manifest, agent)
    if names is not None:
        agent = replace(agent, tools=tuple(tool for tool in agent.tools if tool.name in names))
    return TurnRequest(
        principal=connection.principal,
        agent=agent,
        wire="websocket",
        parts=parts,
        session=session,
        client_tools=tools,
        answerer=connection.id if tools else "",
        timeout_s=settings.CHAT_REQUEST_TIMEOUT,
        keep_on_leave=True,
        most_history=MOST_HISTORY,
        idempotency=claim,
        client_message_id=message.id or "",
        request_id=new_request_id(),
    )


async def _started(request: TurnRequest) -> Turn | UUID:
    """The turn; or the execution of the first sending, while that one still runs (WS-25)."""
    try:
        return await turns.start(request)
    except SwitchboardError as error:
        if error.code != "request_in_progress" or request.idempotency is None:
            raise
        return UUID(error.extra["execution_id"])


async def _accepted(connection: Connection, turn: Turn, session: SessionRef, message: ChatMessage) -> None:
    """Tells the sender what only the server knows (WS-22), and follows the turn from its first event."""
    agent, execution_id, queued = turn.request.agent, turn.execution_id, turn.begin.queued
    connection.last_threads[agent.id] = session
    connection.began[execution_id] = session.id
    watch = watch_for(connection, session, message.thread_id or session.name or str(session.id), own=True, agent=agent)
    told = accept_body(watch, execution_id, agent, message_id=str(turn.begin.message_id), client_message_id=message.id)
    status = {"status": "queued" if queued else "running", "queue_position": turn.queue_position if queued else 0}
    connection.send({**told, **status, "created": session.is_new, "replayed": False})
    await watch_own(watch, execution_id)


async def again(connection: Connection, execution_id: UUID, agent: AgentSpec) -> None:
    """The same message once more starts nothing: the first turn is named, replayed and followed (WS-25)."""
    row, message = await run(_stored, execution_id)
    if row is None or row.session is None:
        raise SwitchboardError("session_busy", retry_after_s=1)
    session = ref_of(row.session)
    watch = watch_for(connection, session, session.name or str(session.id), own=True, agent=agent)
    message_id, client_message_id = (str(message.id), message.client_id) if message else (None, None)
    told = accept_body(watch, execution_id, agent, message_id=message_id, client_message_id=client_message_id)
    connection.send({**told, "status": row.status, "replayed": True})
    await watch_own(watch, execution_id)


def _stored(execution_id: UUID) -> tuple[Execution | None, Message | None]:
    """A run with its conversation, and the message it answers."""
    row = Execution.objects.select_related("session").filter(id=execution_id).first()
    return row, Message.objects.filter(execution_id=execution_id, role="user").first()


def accept_body(watch: Watch, execution_id: UUID, agent: AgentSpec, *, message_id: str | None, client_message_id: str | None) -> Body:
    return {
        "type": "session", "event": "accepted", "thread_id": watch.thread_id, "session_id": str(watch.session.id), "created": False,
        "execution_id": str(execution_id), "message_id": message_id, "client_message_id": client_message_id,
        "agent": {"id": str(agent.id), "name": agent.name}, "status": "running", "queue_position": 0, "replayed": False,
    }  # fmt: skip


async def watch_own(watch: Watch, execution_id: UUID) -> None:
    """The sender hears of its own turn at once, and is attached to the thread from then on (WS-62)."""
    watch.mine.add(execution_id)
    was_attached, watch.attached = watch.attached, True
    await readings.follow(execution_id, watch)
    if was_attached:
        return
    for other in (await watch.attach()).runs:
        if other.execution.id != execution_id and watch.asked(other):
            await readings.follow(other.execution.id, watch)
