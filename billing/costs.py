"""What a model call costs: a price as a value, and the arithmetic. Unknown is None, never 0 (R10.2)."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

_MILLION = Decimal(1_000_000)
_MICRO_DOLLAR = Decimal("0.000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceValue:
    """US dollars per million tokens. A tier (with `above_tokens` > 0) prices the whole of a request with more input."""

    input_usd: Decimal
    output_usd: Decimal
    cache_read_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    above_tokens: int = 0
    tiers: tuple["PriceValue", ...] = ()


class TokenUsage(Protocol):
    """Tokens of one model call; `input_tokens` includes cached ones."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cache_read_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...


def cost_usd(price: PriceValue | None, usage: TokenUsage) -> Decimal | None:
    """Dollars for `usage`, at most 6 decimals (R0.3); None when the price is unknown. Cached tokens have prices of their own."""
    if price is None:
        return None
    rate = _tier(price, usage.input_tokens)
    read = rate.input_usd if rate.cache_read_usd is None else rate.cache_read_usd
    write = rate.input_usd if rate.cache_write_usd is None else rate.cache_write_usd
    uncached = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    total = (
        uncached * rate.input_usd
        + usage.cache_read_tokens * read
        + usage.cache_write_tokens * write
        + usage.output_tokens * rate.output_usd
    )
    return (total / _MILLION).quantize(_MICRO_DOLLAR, ROUND_HALF_UP)


def _tier(price: PriceValue, input_tokens: int) -> PriceValue:
    reached = [tier for tier in price.tiers if input_tokens > tier.above_tokens]
    return max(reached, key=lambda tier: tier.above_tokens, default=price)
