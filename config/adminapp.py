"""The app config of Django's admin: its pages are found when one is asked for or checked, not at the start (config/adminurls.py)."""

from typing import Any

from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class AdminConfig(SimpleAdminConfig):
    def ready(self) -> None:
        register(check_dependencies, Tags.admin)
        register(_check_pages, Tags.admin)


def _check_pages(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    from config import adminurls

    assert adminurls.urlpatterns
    return check_admin_app(app_configs, **kwargs)
