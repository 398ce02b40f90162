"""All routes of the site: a room's own urls, and what belongs to no room. Canonical paths carry no trailing slash (R0.1)."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, path
from django.urls.resolvers import RoutePattern
from django.views.generic import RedirectView

from chat.protocols.agents_api.urls import urlpatterns as agents_api
from chat.protocols.openai.urls import urlpatterns as openai
from chat.protocols.page.urls import urlpatterns as page
from chat.protocols.public.urls import urlpatterns as public
from chat.protocols.run.urls import urlpatterns as run
from chat.protocols.uimessage.urls import urlpatterns as uimessage
from chat.protocols.websocket.urls import urlpatterns as websocket
from config.health import HealthView, MetricsView, ReadyView
from config.schema import DocsView, SchemaView
from tasks.urls import urlpatterns as tasks

urlpatterns: list[URLPattern | URLResolver] = [
    *page,
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}public/icon.svg")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    URLResolver(RoutePattern("admin/"), "config.adminurls", app_name="admin", namespace="admin"),  # by name: imported when asked for
    *openai,
    *run,
    *agents_api,
    *uimessage,
    *websocket,
    *public,
    *tasks,
    path("healthz", HealthView.as_view()),
    path("readyz", ReadyView.as_view()),
    path("metrics", MetricsView.as_view()),
    path("api/schema", SchemaView.as_view()),
    path("docs", DocsView.as_view()),
    path("docs/", DocsView.as_view()),
]
