"""What the run wire takes: one message, a conversation, an agent (run.md section 2)."""

from pydantic import ConfigDict, Field

from chat.fields import ConversationId, MessageText, Shape


class RunRequest(Shape):
    """One turn. Fields not shown here are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"message": "What is your return policy?", "agent": "support"}]},
    )
    message: MessageText = Field(description="What the user says. Taken as it is, markdown and white space included.")
    conversation_id: ConversationId = Field(default=None, description="Continue this conversation; absent: a new one.")
    agent: str | None = Field(default=None, description="Name of the agent; absent: the conversation's, the key's, or the default one.")
