"""PriceGate: prices as they were when the run started, cost at its end. Unknown stays None (R10.2). Budgets come later."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from agents.specs import AgentSpec
from billing import prices
from billing.costs import PriceValue, cost_usd
from chat.gates import Spent
from chat.requests import TurnRequest

_reloads: set[asyncio.Task[object]] = set()
"""Keeps running reloads from being collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A started run. `prices`, by provider kind and model, is None when they were being read anew: then `at` finds them later."""

    agent: AgentSpec
    at: datetime
    prices: Mapping[tuple[str, str], PriceValue | None] | None


class PriceGate:
    """Never refuses; says what a turn cost."""

    def before(self, request: TurnRequest) -> Priced:
        fresh = prices.is_fresh()
        if not fresh and not _reloads:
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(prices.current())
            _reloads.add(task)
            task.add_done_callback(_reloads.discard)
        at = datetime.now(UTC)
        return Priced(agent=request.agent, at=at, prices=_prices(request.agent, at) if fresh else None)

    def after(self, state: object | None, spent: Spent) -> Decimal | None:
        """The sum over all model calls, each at the price of the model that answered it; one unknown makes the sum unknown."""
        if not isinstance(state, Priced):
            return None
        known = state.prices if state.prices is not None else _prices(state.agent, state.at)
        costs = [cost_usd(known.get((step.provider_kind, step.model)), step.usage) for step in spent.steps]
        return sum((cost for cost in costs if cost is not None), Decimal(0)) if costs and None not in costs else None


def _prices(agent: AgentSpec, at: datetime) -> dict[tuple[str, str], PriceValue | None]:
    return {(model.provider.kind, model.name): prices.price_for(model, at) for model in reversed(agent.models)}
