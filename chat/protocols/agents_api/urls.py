"""Paths of agents, chat, sessions, activity, executions, approvals and tokens."""

from django.urls import path

from chat.protocols.agents_api import (
    activity_views,
    agent_views,
    chat_views,
    executions_views,
    feed,
    history_views,
    session_views,
    task_views,
    token_views,
    views,
)

urlpatterns = [
    path("api/token", token_views.TokenView.as_view()),
    path("api/token/refresh", token_views.RefreshView.as_view()),
    path("api/token/verify", token_views.VerifyView.as_view()),
    path("api/token/blacklist", token_views.BlacklistView.as_view()),
    path("api/executions/<str:execution_id>", views.ExecutionView.as_view()),
    path("api/executions/<str:execution_id>/stream", views.StreamView.as_view()),
    path("api/executions/<str:execution_id>/cancel", views.CancelView.as_view()),
    path("api/executions/<str:execution_id>/approvals/<str:tool_call_id>", views.ApprovalView.as_view()),
    path("api/agents", agent_views.AgentsView.as_view()),
    path("api/agents/<str:name>", agent_views.AgentView.as_view()),
    path("api/agents/<str:name>/chat", chat_views.ChatView.as_view()),
    path("api/agents/<str:name>/chat/sessions", session_views.SessionsView.as_view()),
    path("api/agents/<str:name>/chat/sessions/<str:session_id>", session_views.SessionView.as_view()),
    path("api/agents/<str:name>/chat/sessions/<str:session_id>/close", session_views.CloseView.as_view()),
    path("api/agents/<str:name>/chat/sessions/<str:session_id>/events", feed.EventsView.as_view()),
    path("api/agents/<str:name>/chat/sessions/<str:session_id>/export", session_views.ExportView.as_view()),
    path("api/agents/<str:name>/chat/messages/<str:message_id>/feedback", session_views.FeedbackView.as_view()),
    path("api/agents/<str:name>/chat/history", history_views.HistoryView.as_view()),
    path("api/agents/<str:name>/chat/sessions/<str:session_id>/title", session_views.TitleView.as_view()),
    path("api/agents/<str:name>/chat/history/persistent", history_views.PersistentView.as_view()),
    path("api/agents/<str:name>/chat/session", history_views.CurrentView.as_view()),
    path("api/agents/<str:name>/task", task_views.TaskView.as_view()),
    path("api/agents/<str:name>/executions", executions_views.ExecutionsView.as_view()),
    path("api/agents/<str:name>/executions/running", executions_views.RunningView.as_view()),
    path("api/agents/<str:name>/executions/<str:execution_id>", executions_views.AgentExecutionView.as_view()),
    path("api/agents/<str:name>/executions/<str:execution_id>/log", executions_views.LogView.as_view()),
    path("api/agents/<str:name>/executions/<str:execution_id>/stream", executions_views.AgentStreamView.as_view()),
    path("api/agents/<str:name>/executions/<str:execution_id>/terminate", executions_views.TerminateView.as_view()),
    path("api/agents/<str:name>/activity", activity_views.ActivityView.as_view()),
    path("api/agents/<str:name>/activity/<str:tool_id>", activity_views.ToolView.as_view()),
]
