"""What POST /api/agents/{name}/workflows/{workflow}/run takes."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from chat.fields import MessageText, Shape, empty_is_absent
from chat.files import Attachments, Files
from chat.protocols.agents_api.task_requests import check_https

Optional = BeforeValidator(empty_is_absent)


class WorkflowRun(Shape):
    """A run of a workflow. Fields not shown here are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"params": {"month": "2026-10"}}]})
    params: dict[str, Any] | None = Field(default=None, description="The named inputs; each of its declared type.")
    message: Annotated[MessageText | None, Optional] = Field(default=None, description="For an input of type message.")
    async_mode: bool | None = Field(default=None, description="false: wait for the result; absent or true: 202 at once.")
    files: Files = None
    attachments: Attachments = None
    chat_session_id: Annotated[str | None, Optional] = Field(default=None, description="Run as a turn of this own session.")
    timeout_seconds: int | None = Field(default=None, ge=1, le=86_400, description="At most what the agent allows.")
    priority: int | None = Field(default=None, ge=0, le=9, description="Higher starts first; 5 by default.")
    max_attempts: int | None = Field(
        default=None, ge=1, le=5, description="How often it may go on if its worker dies, after its last finished step; 3 by default."
    )
    callback_url: Annotated[Annotated[str, AfterValidator(check_https)] | None, Optional] = Field(
        default=None, max_length=2000, description="The result is delivered there too, signed."
    )
