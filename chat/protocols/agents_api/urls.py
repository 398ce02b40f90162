"""Paths of executions, approvals and tokens."""

from django.urls import path

from chat.protocols.agents_api import token_views, views

urlpatterns = [
    path("api/token", token_views.TokenView.as_view()),
    path("api/token/refresh", token_views.RefreshView.as_view()),
    path("api/token/verify", token_views.VerifyView.as_view()),
    path("api/token/blacklist", token_views.BlacklistView.as_view()),
    path("api/executions/<str:execution_id>", views.ExecutionView.as_view()),
    path("api/executions/<str:execution_id>/stream", views.StreamView.as_view()),
    path("api/executions/<str:execution_id>/cancel", views.CancelView.as_view()),
    path("api/executions/<str:execution_id>/approvals/<str:tool_call_id>", views.ApprovalView.as_view()),
]
