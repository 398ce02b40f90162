from django.apps import AppConfig

from config.lean import leaving_out

with leaving_out("psycopg", "pygments", "requests"):  # DRF's array fields, coloured pages and test client
    import rest_framework.compat  # noqa: F401 - imported once, without them, for all who come later

with leaving_out("jinja2"):  # simplejwt imports Django's test tools, and they Jinja's
    import django.test.signals  # noqa: F401 - likewise


class SiteConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import (
            celery,  # noqa: F401  # Celery's tasks belong to the application that was made last
            checks,  # noqa: F401  # registers them
        )
