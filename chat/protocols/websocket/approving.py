"""Answers to approvals (§7.3), from any connection whose principal may decide them."""

from uuid import UUID

from agents.errors import SwitchboardError
from chat import approvals
from chat.executions import execution_for
from chat.models import Approval
from chat.protocols.websocket.connection import Connection
from chat.protocols.websocket.errors import refusal
from chat.protocols.websocket.serializers import ApprovalResponse
from chat.store import run
from chat.views import uuid_for


async def decide(connection: Connection, asked: ApprovalResponse) -> None:
    """Decides; what follows is told to everybody attached. Raises approval_not_found, not_an_approver, already_decided (WS-52)."""
    principal = connection.principal
    principal.check_scope("run")
    approval = await run(_approval, uuid_for(asked.approval_id, "approval_not_found"))
    if approval is None:
        raise SwitchboardError("approval_not_found")
    try:
        row = await execution_for(principal, str(approval.execution_id))
    except SwitchboardError as error:
        raise SwitchboardError("approval_not_found") from error
    try:
        await approvals.decide(
            row.id,
            approval.tool_call_id,
            principal,
            approve=asked.approved,
            reason=asked.reason or "",
            arguments=asked.arguments,
        )
    except SwitchboardError as error:
        raise refusal("invalid_arguments") if error.code == "validation_error" else error from error


def _approval(approval_id: UUID) -> Approval | None:
    return Approval.objects.filter(id=approval_id).first()
