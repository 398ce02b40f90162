from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        """A saved price moves the catalog counter; with the catalog every process reads its prices again."""
        from agents import catalog, directory
        from billing import prices
        from billing.models import Price

        directory.also_load(prices.load)

        post_save.connect(catalog.changed, sender=Price, dispatch_uid="catalog-save-Price")
        post_delete.connect(catalog.changed, sender=Price, dispatch_uid="catalog-delete-Price")
