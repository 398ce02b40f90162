"""What the routes of this room take."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chat.fields import Shape, empty_is_absent


class TokenRequest(Shape):
    """Sign in. `agent` becomes the token's default agent (RUN-6)."""

    username: str = Field(min_length=1, max_length=254)
    password: str = Field(min_length=1, max_length=4096)
    agent: Annotated[str | None, BeforeValidator(empty_is_absent)] = Field(default=None, max_length=64)


class RefreshRequest(Shape):
    refresh: str = Field(min_length=1, max_length=8192)


class VerifyRequest(Shape):
    token: str = Field(min_length=1, max_length=8192)


class DecisionRequest(Shape):
    """`arguments` replace those the model chose; they must fit the tool's schema (R15.2)."""

    approve: bool
    reason: str | None = Field(default=None, max_length=1000)
    arguments: dict[str, Any] | None = None
