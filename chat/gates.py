"""What may refuse a turn before it runs and account it after: the gates named in settings.TURN_GATES, asked in that order.

A gate is any class with the two methods of Gate and no constructor arguments (billing.gates.PriceGate is another one).
RateGate only says what a turn may use; chat.leases counts it, in the same step that takes the slot and the turn lock (R14).
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from math import ceil
from typing import Any, Protocol

from django.utils.module_loading import import_string

from agents.settings import settings
from agents.values import value
from chat.events import Usage
from chat.requests import TurnRequest

DEFAULT_OUTPUT_TOKENS = 1000
"""Reserved for the answer when the request names no output limit (R14.2)."""


@value
class StepUsage:
    """What one model call used. `provider_kind` is a key of agents.providers.PROVIDERS, `model` the name at that provider."""

    model: str
    provider_kind: str
    usage: Usage


@value
class Spent:
    """A turn's end as gates see it: every model call, also those of failed and cancelled runs (R10.2). `status` is terminal."""

    steps: Sequence[StepUsage]
    status: str


class Gate(Protocol):
    """Both methods run on the event loop for every turn: microseconds, no I/O."""

    def before(self, request: TurnRequest) -> object | None:
        """Raises TurnError to refuse the turn; what it returns is handed back to after()."""
        ...

    def after(self, state: object | None, spent: Spent) -> Decimal | None:
        """The turn's cost in USD if this gate knows it; None: unknown, or not this gate's business."""
        ...


@cache
def load() -> tuple[Gate, ...]:
    """The gates of settings.TURN_GATES, made once per process."""
    return tuple(import_string(path)() for path in settings.TURN_GATES)


@value
class RateClaim:
    """What a turn counts for in this minute (R14.1): one request and `tokens`, per `principal` and `model`. A limit of 0: none.

    `patient`: wait for the next window instead of being refused (what nobody waits for: tasks, schedules, webhooks).
    """

    principal: str
    model: str
    rpm: int
    tpm: int
    tokens: int
    patient: bool = False


@value(kw_only=False)
class RateState:
    """The counters of a window after this turn was counted; `reset_s` is what is left of the window."""

    rpm: int
    requests: int
    tpm: int
    tokens: int
    reset_s: float

    @property
    def reset_whole_s(self) -> int:
        return max(1, ceil(self.reset_s))

    def exceeded(self) -> bool:
        """Compared after counting (R14.1). A single request larger than the whole limit passes if it is the first (R14.2)."""
        too_many = 0 < self.rpm < self.requests
        too_large = 0 < self.tpm < self.tokens and self.requests > 1
        return too_many or too_large


class RateGate:
    """R14: requests and tokens a minute of this principal with this agent."""

    def before(self, request: TurnRequest) -> RateClaim | None:
        principal, agent = request.principal, request.agent
        rpm = settings.CHAT_RATE_RPM if principal.rpm is None else principal.rpm
        tpm = settings.CHAT_RATE_TPM if principal.tpm is None else principal.tpm
        if rpm <= 0 and tpm <= 0:
            return None
        return RateClaim(
            principal=principal.key,
            model=agent.name if agent.id else agent.model.name,
            rpm=rpm,
            tpm=tpm,
            tokens=reserved_tokens(request),
            patient=request.trigger in ("task", "schedule", "webhook", "workflow"),
        )

    def after(self, state: object | None, spent: Spent) -> None:
        """Nothing: the lease settles the reservation with real usage when it ends."""


def reserved_tokens(request: TurnRequest) -> int:
    """R14.2: characters of the request's own texts ÷ 4, plus the requested output limit or 1 000."""
    chars = sum([len(part.get("text", "")) for part in request.parts]) + sum(map(len, request.instructions))
    if request.history:
        chars += sum(_content_chars(message.get("content")) for message in request.history)
    return chars // 4 + (request.sampling.max_tokens or DEFAULT_OUTPUT_TOKENS)


def _content_chars(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    return sum(len(part.get("text") or "") for part in content or () if isinstance(part, Mapping))


def rate_headers(rate: RateState | None) -> dict[str, str]:
    """The six headers of R14.3; a limit of 0 has none."""
    headers: dict[str, str] = {}
    if rate is None:
        return headers
    reset = f"{rate.reset_whole_s}s"
    for name, limit, used in (("requests", rate.rpm, rate.requests), ("tokens", rate.tpm, rate.tokens)):
        if limit > 0:
            headers[f"x-ratelimit-limit-{name}"] = str(limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, limit - used))
            headers[f"x-ratelimit-reset-{name}"] = reset
    return headers
