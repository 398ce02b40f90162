"""What is asked again of an open connection: its credential, its scopes, and what it reads as a manager (WS-10, WS-64)."""

from uuid import UUID

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


async def _may_read(connection: Connection, session_id: UUID) -> bool:
    if "read" not in connection.principal.scopes:
        return False
    row = await run(ChatSession.objects.filter(id=session_id).first)
    return row is not None and await manages(connection.principal, row)
