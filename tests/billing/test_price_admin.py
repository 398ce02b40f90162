"""Prices in the admin: shown as money, checked when saved, and then the operator's."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from billing.admin import PriceForm, dollars
from billing.models import Price

FIELDS = {"provider": "openai", "model": "gpt-4o-mini", "pattern": "", "input_usd": "9", "output_usd": "9", "tiers": "[]"}
VALID_FROM = {"valid_from_0": "2026-01-01", "valid_from_1": "00:00:00"}


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("8.000000", "8.00"), ("0.075000", "0.075"), ("2.5", "2.50"), ("0.000001", "0.000001"), ("100", "100.00"), (None, "–")],
)
def test_prices_are_shown_as_money(amount, shown):
    assert dollars(Decimal(amount) if amount else None) == shown


@pytest.mark.django_db
def test_a_price_saved_in_the_admin_is_the_operators(client):
    client.force_login(User.objects.create_superuser("admin"))
    price = Price.objects.create(provider="openai", model="gpt-4o-mini", input_usd=1, output_usd=1, source=Price.Source.LIST)
    answer = client.post(f"/admin/billing/price/{price.pk}/change/", {**FIELDS, **VALID_FROM})
    assert answer.status_code == 302
    price.refresh_from_db()
    assert (price.input_usd, price.source) == (9, "operator")


@pytest.mark.django_db
def test_the_list_of_prices_opens_and_is_searched(client):
    client.force_login(User.objects.create_superuser("admin"))
    Price.objects.create(provider="openai", model="gpt-4o-mini", input_usd="0.15", output_usd="0.6")
    assert b"0.15" in client.get("/admin/billing/price/?q=mini").content


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("pattern", "("),
        ("tiers", '[{"input_usd": "1"}]'),
        ("tiers", '[{"above_tokens": "x"}]'),
        ("tiers", '[{"above_tokens": 1, "input_usd": "x"}]'),
    ],
)
def test_what_could_not_be_used_is_refused(field, bad):
    form = PriceForm({**FIELDS, "valid_from": "2026-01-01 00:00", field: bad})
    assert list(form.errors) == [field]
