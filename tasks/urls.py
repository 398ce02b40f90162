"""Paths of schedules and webhooks."""

from django.urls import path

from tasks import schedules_views, webhooks_views

_AGENT = "api/agents/<str:name>"
_SCHEDULE = f"{_AGENT}/schedules/<str:schedule_id>"

urlpatterns = [
    path(f"{_AGENT}/schedules", schedules_views.SchedulesView.as_view()),
    path(_SCHEDULE, schedules_views.ScheduleView.as_view()),
    path(f"{_SCHEDULE}/enable", schedules_views.EnableView.as_view()),
    path(f"{_SCHEDULE}/disable", schedules_views.DisableView.as_view()),
    path(f"{_SCHEDULE}/trigger", schedules_views.TriggerView.as_view()),
    path(f"{_SCHEDULE}/executions", schedules_views.RunsView.as_view()),
    path(f"{_SCHEDULE}/analytics", schedules_views.AnalyticsView.as_view()),
    path(f"{_SCHEDULE}/webhook", webhooks_views.ScheduleWebhookView.as_view()),
    path(f"{_SCHEDULE}/webhook/secret", webhooks_views.ScheduleSecretView.as_view()),
    path(f"{_AGENT}/webhook", webhooks_views.AgentWebhookView.as_view()),
    path(f"{_AGENT}/webhook/secret", webhooks_views.AgentSecretView.as_view()),
    path("api/webhooks/<str:token>", webhooks_views.CallView.as_view()),
]
