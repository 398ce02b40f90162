"""Rows of conversations and runs. The hot path writes them through chat.store; everything else reads them by the ORM.

Foreign keys whose look-ups a composite index serves have no index of their own: every index is paid for on every turn.
"""

from chat.models.conversations import ChatSession, CurrentSession, Message, Wire
from chat.models.executions import (
    ActivityCleared,
    Approval,
    Checkpoint,
    ClientCall,
    Execution,
    FinishedStep,
    IdempotencyRecord,
    ToolCall,
)
from chat.models.links import EmailCode, LinkVisitor, ShareToken, VisitorToken
from chat.models.workflows import Workflow, WorkflowVersion, check_workflow_name

__all__ = [
    "ActivityCleared",
    "Approval",
    "ChatSession",
    "Checkpoint",
    "ClientCall",
    "CurrentSession",
    "EmailCode",
    "Execution",
    "FinishedStep",
    "IdempotencyRecord",
    "LinkVisitor",
    "Message",
    "ShareToken",
    "ToolCall",
    "VisitorToken",
    "Wire",
    "Workflow",
    "WorkflowVersion",
    "check_workflow_name",
]
