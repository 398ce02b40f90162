"""What is asked again of an open connection: its credential, its scopes, what it reads as a manager, its agents (WS-10, WS-43, WS-64)."""

from uuid import UUID

from agents import directory
from chat.executions import manages
from chat.models import ChatSession
from chat.protocols.websocket.connection import Connection
from chat.store import run


async def check(connection: Connection) -> None:
    """Ends the connection whose credential does not count any more; ends watching what may not be seen any more."""
    if not await connection.still():
        return
    for watch in list(connection.watches.values()):
        if not watch.own and not await _may_read(connection, watch.session.id):
            watch.withdraw()
    agents = (await directory.catalog()).by_id
    for watch in connection.watches.values():
        watch.agent_is(agents.get(watch.session.agent_id) if watch.session.agent_id else None)


async def _may_read(connection: Connection, session_id: UUID) -> bool:
    if "read" not in connection.principal.scopes:
        return False
    row = await run(ChatSession.objects.filter(id=session_id).first)
    return row is not None and await manages(connection.principal, row)
