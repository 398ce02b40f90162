"""What models cost. Prices are appended, not edited: a run is charged what was valid when it started (R10.2)."""

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

_NOT_NEGATIVE = [MinValueValidator(0)]


class Price(models.Model):
    """US dollars per million tokens of one model, from `valid_from` until the next row of the same provider and model.

    `provider` is a provider's name, its vendor (billing/vendors.py), its kind, or `*`; the most specific row wins.
    """

    class Source(models.TextChoices):
        LIST = "list", "Price list"
        OPERATOR = "operator", "Operator"

    provider = models.CharField(
        max_length=64, default="*", help_text="A provider's name, a vendor (openai, groq, …), a kind (openai_compatible, …) or * for any."
    )
    model = models.CharField(max_length=128, help_text="The model's name.")
    pattern = models.TextField(blank=True, help_text="Regular expression of other names that have this price, such as dated ones.")
    input_usd = models.DecimalField("input", max_digits=14, decimal_places=6, validators=_NOT_NEGATIVE)
    output_usd = models.DecimalField("output", max_digits=14, decimal_places=6, validators=_NOT_NEGATIVE)
    cache_read_usd = models.DecimalField(
        "cached input", max_digits=14, decimal_places=6, null=True, blank=True, validators=_NOT_NEGATIVE, help_text="Empty: as input."
    )
    cache_write_usd = models.DecimalField(
        "cache writes", max_digits=14, decimal_places=6, null=True, blank=True, validators=_NOT_NEGATIVE, help_text="Empty: as input."
    )
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text='Dearer long requests: [{"above_tokens": 200000, "input_usd": "2.5", "output_usd": "15", "cache_read_usd": "0.25"}].',
    )
    valid_from = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.OPERATOR, editable=False)

    class Meta:
        ordering = ["provider", "model", "-valid_from"]
        constraints = [models.UniqueConstraint(fields=["provider", "model", "valid_from"], name="one_price_at_a_time")]

    def __str__(self) -> str:
        return f"{self.model} ({self.provider})"
