"""The public price list (package genai-prices, bundled, no network) as Price rows: what is new is appended, nothing is edited.

Models whose newest row an operator wrote are left alone.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents import catalog
from billing.models import Price
from billing.vendors import VENDORS

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_COLUMNS: Mapping[str, str] = {
    "input_usd": "input_mtok",
    "output_usd": "output_mtok",
    "cache_read_usd": "cache_read_mtok",
    "cache_write_usd": "cache_write_mtok",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrice:
    """One line of the list: columns of Price, valid from a date (None: always)."""

    provider: str
    model: str
    pattern: str
    since: datetime | None
    columns: Mapping[str, Any]


@transaction.atomic
def seed() -> int:
    """Stores what the list says and the table does not; returns how many rows that were."""
    newest = {(row.provider, row.model): row for row in Price.objects.order_by("valid_from")}
    rows: list[Price] = []
    for key, lines in groupby(list_prices(), key=lambda line: (line.provider, line.model)):
        rows += _missing(list(lines), newest.get(key))
    Price.objects.bulk_create(rows, batch_size=500)
    if rows:
        catalog.changed()
    return len(rows)


def _missing(lines: list[ListPrice], newest: Price | None) -> list[Price]:
    """The rows to append for one model: all of a new one, else what the list changed since the newest row."""
    if newest is None:
        return [_row(line, line.since or BEGINNING) for line in lines]
    if newest.source == Price.Source.OPERATOR or _same(newest, lines[-1]):
        return []
    later = [_row(line, line.since) for line in lines if line.since and line.since > newest.valid_from]
    return later or [_row(lines[-1], timezone.now())]


def _row(line: ListPrice, valid_from: datetime) -> Price:
    return Price(
        provider=line.provider, model=line.model, pattern=line.pattern, valid_from=valid_from, source=Price.Source.LIST, **line.columns
    )


def _same(row: Price, line: ListPrice) -> bool:
    return row.pattern == line.pattern and all(getattr(row, name) == value for name, value in line.columns.items())


def list_prices() -> Iterator[ListPrice]:
    """Token prices of the vendors we know, the oldest of a model first; prices of certain hours of the day are left out."""
    from genai_prices.data import providers  # 20 MB once loaded: only when asked for
    from genai_prices.types import ModelPrice, StartDateConstraint

    for provider in providers:
        for model in provider.models if provider.id in VENDORS else ():
            prices = [(None, model.prices)] if isinstance(model.prices, ModelPrice) else [
                (choice.constraint, choice.prices) for choice in model.prices
            ]  # fmt: skip
            for constraint, price in prices:
                columns = _columns(price)
                if columns and (constraint is None or isinstance(constraint, StartDateConstraint)):
                    since = datetime.combine(constraint.start_date, time(), UTC) if constraint else None
                    yield ListPrice(provider=provider.id, model=model.id, pattern=_pattern(model), since=since, columns=columns)


def _columns(price: Any) -> dict[str, Any] | None:
    """The columns of Price, or None for a model that is not paid by text tokens."""
    listed = {name: getattr(price, key) for name, key in _COLUMNS.items()}
    if listed["input_usd"] is None or listed["output_usd"] is None:
        return None
    tiered = {name: value for name, value in listed.items() if hasattr(value, "tiers")}
    starts = sorted({tier.start for value in tiered.values() for tier in value.tiers})
    return {
        **{name: _base(value) for name, value in listed.items()},
        "tiers": [{"above_tokens": start, **{name: str(_above(value, start)) for name, value in tiered.items()}} for start in starts],
    }


def _base(value: Any) -> Decimal | None:
    plain = value.base if hasattr(value, "tiers") else value
    return None if plain is None else Decimal(plain).quantize(Decimal("0.000001"))


def _above(value: Any, tokens: int) -> Decimal:
    """What a tiered price is for a request with more than `tokens`."""
    reached = [tier.price for tier in value.tiers if tier.start <= tokens]
    return Decimal(reached[-1] if reached else value.base)


def _pattern(model: Any) -> str:
    """The list's own matching rules as one regular expression; empty when only the model's own name matches."""
    pattern = _regex(model.match)
    return "" if pattern == f"^{re.escape(model.id.lower())}$" else pattern


def _regex(rule: Any) -> str:
    """One matching rule (genai_prices.types.MatchLogic), for re.search on the lower-case name."""
    match vars(rule):
        case {"equals": str(text)}:
            return f"^{re.escape(text.lower())}$"
        case {"starts_with": str(text)}:
            return f"^{re.escape(text.lower())}"
        case {"ends_with": str(text)}:
            return f"{re.escape(text.lower())}$"
        case {"contains": str(text)}:
            return re.escape(text.lower())
        case {"regex": str(text)}:
            return text
        case {"or_": list(rules)}:
            return "|".join(_regex(one) for one in rules)
        case {"and_": list(rules)}:
            return "^" + "".join(f"(?=.*?(?:{_regex(one)}))" for one in rules)
    raise ValueError(f"unknown matching rule: {rule!r}")
