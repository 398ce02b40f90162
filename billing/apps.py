from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        """A saved price moves the catalog counter, by which every process reads its prices again."""
        from agents import catalog
        from billing.models import Price

        post_save.connect(catalog.changed, sender=Price, dispatch_uid="catalog-save-Price")
        post_delete.connect(catalog.changed, sender=Price, dispatch_uid="catalog-delete-Price")
