"""PriceGate: prices as they were when the run started, cost at its end. Unknown stays None (R10.2). Budgets come later."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from agents.values import value
from billing import prices
from billing.costs import PriceValue, cost_usd
from chat.gates import Spent
from chat.requests import TurnRequest


@value
class StartedPrices:
    """What the agent's models cost when the run started, by provider kind and model name."""

    by_model: Mapping[tuple[str, str], PriceValue | None]


class PriceGate:
    """Never refuses; says what a turn cost."""

    def before(self, request: TurnRequest) -> StartedPrices:
        now = datetime.now(UTC)
        models = reversed(request.agent.models)  # the first of two that look alike counts
        return StartedPrices(by_model={(model.provider.kind, model.name): prices.price_for(model, now) for model in models})

    def after(self, state: object | None, spent: Spent) -> Decimal | None:
        """The sum over all model calls, each at the price of the model that answered it; one unknown makes the sum unknown."""
        if not isinstance(state, StartedPrices):
            return None
        costs = [cost_usd(state.by_model.get((step.provider_kind, step.model)), step.usage) for step in spent.steps]
        return sum((cost for cost in costs if cost is not None), Decimal(0)) if costs and None not in costs else None
