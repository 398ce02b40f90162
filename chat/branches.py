"""Where a conversation branches (AG-26): found when the turn takes its place, as other branches may have begun while it waited.

In the transaction in which the turn begins: of two that branch at the same moment, the second sees what the first left.
"""

from collections.abc import Sequence
from uuid import UUID

from chat import sql
from chat.models import Execution, Message
from chat.requests import Branch

WAITING_POSITION = 2**31 - 1
"""Position of a user message whose turn still waits for its place in the conversation."""
ROOT = UUID(int=0)
"""Message.parent_id of a branch that begins the conversation anew."""


def leave(session_id: UUID, branch: Branch | int) -> UUID:
    """Leaves the branch that was, at a message or at a position; returns the message after which the new one begins, or ROOT."""
    if isinstance(branch, int):
        _cut(session_id, branch)
    else:
        _leave_at(session_id, branch)
    return newest(session_id) or ROOT


def newest(session_id: UUID) -> UUID | None:
    """The last message of the branch that goes on."""
    where = "session_id = %s AND active AND position < %s ORDER BY position DESC LIMIT 1"
    rows = sql.select(Message, ("id",), where, [*sql.adapted_ids([session_id]), WAITING_POSITION])
    return rows[0][0] if rows else None


LEFT = "left_branch"
"""Label of a run: the last message of the branch that it left."""


def rejoin(execution_id: UUID) -> None:
    """The branch that a run left goes on: it failed, and a transcript advances by what succeeds only (OAI-54)."""
    left = Execution.objects.filter(id=execution_id).values_list(f"labels__{LEFT}", flat=True).first()
    row = Message.objects.filter(id=left).first() if left else None
    if row is not None and row.session_id is not None:
        _revive(row.session_id, [*before(row), row.id])


def _leave_at(session_id: UUID, branch: Branch) -> None:
    row = Message.objects.filter(session_id=session_id, id=branch.message_id).first()
    if row is None:  # nothing is left of what it meant
        return
    if row.active:
        _cut(session_id, row.position + branch.after)
    else:
        _revive(session_id, [*before(row), row.id] if branch.after else before(row))


def before(row: Message) -> list[UUID]:
    """The messages that precede this one in its branch, newest first."""
    chain: list[UUID] = []
    wanted = row.parent_id
    earlier = Message.objects.filter(session_id=row.session_id, position__lt=row.position).order_by("-position", "-id")
    for row_id, parent_id in earlier.values_list("id", "parent_id"):
        if wanted == ROOT:
            break
        if wanted in (None, row_id):
            chain.append(row_id)
            wanted = parent_id
    return chain


def _revive(session_id: UUID, ids: Sequence[UUID]) -> None:
    """Messages that wait for their place are in no branch yet."""
    placed = Message.objects.filter(session_id=session_id, position__lt=WAITING_POSITION)
    placed.exclude(id__in=ids).update(active=False)
    placed.filter(id__in=ids).update(active=True)


def _cut(session_id: UUID, position: int) -> None:
    where = "session_id = %s AND position >= %s AND position < %s AND active"
    columns = ("active", "session", "position", "position")
    sql.update(Message, ["active = %s"], where, columns, [(False, session_id, position, WAITING_POSITION)])
