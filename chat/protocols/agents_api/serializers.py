"""What the routes of this room take."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chat.fields import Shape, empty_is_absent


class TokenRequest(Shape):
    """Sign in."""

    username: str = Field(min_length=1, max_length=254)
    password: str = Field(min_length=1, max_length=4096)
    agent: Annotated[str | None, BeforeValidator(empty_is_absent)] = Field(
        default=None, max_length=64, description="Name of the agent that answers this token where no agent is named."
    )


class RefreshRequest(Shape):
    refresh: str = Field(min_length=1, max_length=8192)


class VerifyRequest(Shape):
    token: str = Field(min_length=1, max_length=8192)


class DecisionRequest(Shape):
    """Approve or deny."""

    approve: bool
    reason: str | None = Field(default=None, max_length=1000, description="Told to the model when it is denied.")
    arguments: dict[str, Any] | None = Field(default=None, description="Replaces what the model chose; must fit the tool's schema.")
