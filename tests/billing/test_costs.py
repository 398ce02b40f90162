"""R10.2: cost comes from the price; unknown is None, never 0; cached tokens have prices of their own."""

from decimal import Decimal

from billing.costs import PriceValue, cost_usd
from chat.events import Usage

PRICE = PriceValue(input_usd=Decimal("2.5"), output_usd=Decimal(10), cache_read_usd=Decimal("1.25"), cache_write_usd=Decimal(3))


def test_a_model_without_a_price_has_no_cost():
    assert cost_usd(None, Usage(input_tokens=1000, output_tokens=1000)) is None


def test_input_and_output_are_priced_per_million():
    assert cost_usd(PRICE, Usage(input_tokens=1_000_000, output_tokens=500_000)) == Decimal("7.5")


def test_cached_tokens_are_part_of_the_input_and_priced_separately():
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=400_000, cache_write_tokens=100_000)
    assert cost_usd(PRICE, usage) == Decimal("0.5") * Decimal("2.5") + Decimal("0.4") * Decimal("1.25") + Decimal("0.1") * 3


def test_without_cache_prices_cached_tokens_cost_as_much_as_others():
    plain = PriceValue(input_usd=Decimal(2), output_usd=Decimal(4))
    assert cost_usd(plain, Usage(input_tokens=1_000_000, cache_read_tokens=900_000)) == Decimal(2)


def test_a_free_cache_is_not_taken_for_an_unknown_price():
    free = PriceValue(input_usd=Decimal(2), output_usd=Decimal(4), cache_read_usd=Decimal(0))
    assert cost_usd(free, Usage(input_tokens=1_000_000, cache_read_tokens=1_000_000)) == 0


def test_costs_have_at_most_six_decimals():
    cost = cost_usd(PRICE, Usage(input_tokens=1, output_tokens=1))
    assert str(cost) == "0.000013"  # 12.5 millionths, rounded half up


def test_a_long_request_is_priced_by_its_tier_as_a_whole():
    long = PriceValue(above_tokens=200_000, input_usd=Decimal(5), output_usd=Decimal(15))
    tiered = PriceValue(input_usd=Decimal("2.5"), output_usd=Decimal(10), tiers=(long,))
    assert cost_usd(tiered, Usage(input_tokens=200_000)) == Decimal("0.5")
    assert cost_usd(tiered, Usage(input_tokens=200_001, output_tokens=100_000)) == Decimal("2.500005")
