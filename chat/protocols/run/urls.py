"""Paths of the run wire."""

from django.urls import path

from chat.protocols.run import views

urlpatterns = [
    path("chat/run", views.RunView.as_view()),
    path("chat/stream", views.StreamView.as_view()),
    path("chat/stream/<str:conversation_id>", views.ResumeView.as_view()),
    path("status", views.StatusView.as_view()),
]
