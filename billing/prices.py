"""The price list in this process's memory: which price a model has, and had at a given time (R10.2)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.db.models import Count, Max

from agents.specs import ModelSpec
from billing.costs import PriceValue
from billing.models import Price
from billing.vendors import price_keys

_COLUMNS = ("input_usd", "output_usd", "cache_read_usd", "cache_write_usd")
_MAX_FOUND = 10_000
_FREE_KINDS = frozenset(("demo",))
"""Kinds that no price applies to: what costs nothing has no price, so its cost stays unknown (null)."""


def price_for(model: ModelSpec, at: datetime | None = None) -> PriceValue | None:
    """The price of `model` that was valid `at` (default: now). Never waits: the table is read again with the catalog."""
    if model.provider.kind in _FREE_KINDS:
        return None
    return _table.find(price_keys(model.provider), model.name, at or datetime.now(UTC))


def load() -> None:
    """Reads the table anew if a row has changed. agents.directory calls it whenever it reads the catalog."""
    global _table
    state = Price.objects.aggregate(rows=Count("pk"), changed_at=Max("updated_at"))
    if state != _table.state:
        _table = PriceTable(_rows(), state)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """All prices of one model of one provider key, the latest first."""

    pattern: str
    prices: list[tuple[datetime, PriceValue]] = field(default_factory=list)

    def at(self, when: datetime) -> PriceValue | None:
        return next((price for valid_from, price in self.prices if valid_from <= when), None)


class PriceTable:
    """Prices by provider key and model name; what was found for a name is remembered. `state` tells when to read it anew."""

    def __init__(self, rows: Iterable[tuple[str, str, str, datetime, PriceValue]], state: Mapping[str, Any]) -> None:
        self.state = state
        self._listed: dict[str, dict[str, _Listed]] = {}
        self._found: dict[tuple[tuple[str, ...], str], list[_Listed]] = {}
        for key, model, pattern, valid_from, price in rows:
            listed = self._listed.setdefault(key, {}).setdefault(model.lower(), _Listed(pattern=pattern))
            listed.prices.append((valid_from, price))

    def find(self, keys: tuple[str, ...], model: str, at: datetime) -> PriceValue | None:
        """The price of `model` under the first of `keys` that has one valid `at`; a model's own name before a pattern."""
        found = self._found.get((keys, model))
        if found is None:
            found = [listed for key in keys if (listed := self._lookup(key, model.lower()))]
            if len(self._found) < _MAX_FOUND:
                self._found[keys, model] = found
        return next((price for listed in found if (price := listed.at(at))), None)

    def _lookup(self, key: str, model: str) -> _Listed | None:
        listed = self._listed.get(key, {})
        if model in listed:
            return listed[model]
        return next((entry for entry in listed.values() if entry.pattern and _compiled(entry.pattern).search(model)), None)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _rows() -> Iterable[tuple[str, str, str, datetime, PriceValue]]:
    for row in Price.objects.order_by("provider", "model", "-valid_from"):
        yield row.provider, row.model, row.pattern, row.valid_from, value_of(row)


def value_of(row: Price) -> PriceValue:
    """The row as a value. A tier's missing prices are those of the row."""
    base = {name: getattr(row, name) for name in _COLUMNS}
    tiers = tuple(
        PriceValue(above_tokens=int(tier["above_tokens"]), **{name: _decimal(tier.get(name), base[name]) for name in _COLUMNS})
        for tier in row.tiers
    )
    return PriceValue(**base, tiers=tiers)


def _decimal(value: str | None, default: Any) -> Any:
    return default if value is None else Decimal(str(value))


_table = PriceTable((), {})
