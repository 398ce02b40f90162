"""The watches of one connection: one for each conversation, and for each job without a thread; at most twenty (WS-62)."""

from uuid import UUID

from agents.specs import AgentSpec
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.watch import Watch
from chat.requests import SessionRef

MAX_THREADS = 20


def watch_for(connection: Connection, session: SessionRef, thread_id: str, *, own: bool, agent: AgentSpec | None) -> Watch:
    """The connection's watch of the conversation; a new one calls it as the client does. Raises too_many_threads."""
    reasoning = connection.reasoning and agent is not None and agent.show_reasoning
    return connection.watches.get(session.id) or _added(
        connection, Watch(connection, session, thread_id, own=own, reasoning=reasoning, version=agent.version if agent else 0)
    )


def watch_alone(connection: Connection, host: AgentSpec, execution_id: UUID) -> Watch:
    """What watches a job without a thread: like the watch of a conversation that has this run only. Raises too_many_threads."""
    principal = connection.principal
    alone = SessionRef(
        id=execution_id, namespace=principal.namespace, name=None, agent_id=host.id, agent_name=host.name, owner_id=principal.user_id,
        wire="websocket",
    )  # fmt: skip
    return connection.watches.get(execution_id) or _added(connection, Watch(connection, alone, None, own=True, reasoning=False))


def _added(connection: Connection, watch: Watch) -> Watch:
    if len(connection.watches) >= MAX_THREADS:
        raise refusal("too_many_threads", status=429)
    connection.watches[watch.session.id] = watch
    return watch
