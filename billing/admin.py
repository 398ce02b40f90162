"""Prices in the admin: what the list says, and what operators set over it."""

import re
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.admin.base import ModelAdmin, ModelForm
from billing.models import Price
from billing.pricelist import BEGINNING
from billing.prices import value_of


class PriceForm(ModelForm[Price]):
    class Meta:
        model = Price
        fields = ("provider", "model", "pattern", "input_usd", "output_usd", "cache_read_usd", "cache_write_usd", "tiers", "valid_from")
        help_texts = {
            "input_usd": "US dollars per million tokens.",
            "output_usd": "US dollars per million tokens.",
            "valid_from": "Runs that start from then on cost this. To change a price, save a new row: what was charged stays.",
        }
        widgets = {"pattern": UnfoldAdminTextInputWidget()}

    def clean_pattern(self) -> str:
        pattern: str = self.cleaned_data["pattern"]
        try:
            re.compile(pattern)
        except re.error as error:
            raise forms.ValidationError(f"Not a regular expression: {error}") from error
        return pattern

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                value_of(Price(**cleaned))
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
                raise forms.ValidationError({"tiers": "A list of objects with above_tokens and prices, as in the example."}) from error
        return cleaned


@admin.register(Price)
class PriceAdmin(ModelAdmin[Price]):
    """A row saved here is the operator's: the list does not append to that model any more."""

    empty_help = "Runs have a cost where the price of their model is known. `manage.py prices seed` stores the bundled list."
    form = PriceForm
    list_display = ("model", "provider", "input", "output", "cached_input", "valid_on", "source")
    list_filter = ("source", "provider")
    search_fields = ("model",)
    save_as = True
    fieldsets = (
        (None, {"fields": (("provider", "model"), "pattern")}),
        ("Prices", {"fields": (("input_usd", "output_usd"), ("cache_read_usd", "cache_write_usd"), "tiers")}),
        ("When", {"fields": ("valid_from",)}),
    )

    @admin.display(description="input, $ per million", ordering="input_usd")
    def input(self, price: Price) -> str:
        return dollars(price.input_usd)

    @admin.display(description="output", ordering="output_usd")
    def output(self, price: Price) -> str:
        return dollars(price.output_usd)

    @admin.display(description="cached input", ordering="cache_read_usd")
    def cached_input(self, price: Price) -> str:
        return dollars(price.cache_read_usd)

    @admin.display(description="valid from", ordering="valid_from")
    def valid_on(self, price: Price) -> str:
        return "always" if price.valid_from <= BEGINNING else f"{price.valid_from:%Y-%m-%d}"

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        obj.source = Price.Source.OPERATOR
        super().save_model(request, obj, form, change)


def dollars(amount: Decimal | None) -> str:
    """`2.50`, `0.075`: cents at least, no trailing zeros beyond."""
    if amount is None:
        return "–"
    shown = f"{amount:f}".rstrip("0") if "." in f"{amount:f}" else f"{amount:f}."
    return shown + "0" * (2 - len(shown.partition(".")[2]))
