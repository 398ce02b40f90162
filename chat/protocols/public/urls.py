"""Paths of public links: administration, what visitors ask, and their page."""

from django.urls import path, re_path

from chat.protocols.public import code_views, link_views, page, views

urlpatterns = [
    path("api/agents/<str:name>/public-links", link_views.LinksView.as_view()),
    path("api/agents/<str:name>/public-links/<str:link_id>", link_views.LinkView.as_view()),
    path("api/public/verify/request", code_views.RequestView.as_view()),
    path("api/public/verify/confirm", code_views.ConfirmView.as_view()),
    path("api/public/link/<str:token>", views.InfoView.as_view()),
    path("api/public/chat/<str:token>", views.ChatView.as_view()),
    path("api/public/history/<str:token>", views.HistoryView.as_view()),
    path("api/public/session/<str:token>", views.SessionView.as_view()),
    path("api/public/executions/<str:token>/<str:execution_id>/status", views.StatusView.as_view()),
    path("api/public/executions/<str:token>/<str:execution_id>/stream", views.StreamView.as_view()),
    path("api/public/executions/<str:token>/<str:execution_id>/terminate", views.TerminateView.as_view()),
    re_path(r"^chat/(?P<token>[A-Za-z0-9_-]{20}[^/]*)$", page.PageView.as_view()),  # people paste addresses cut short, or with a full stop
]
