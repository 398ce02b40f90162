"""Paths of the OpenAI wire; any other under /v1/ is answered by the handler in this wire's envelope (OAI-1)."""

from django.urls import path

from chat.protocols.openai import views

urlpatterns = [
    path("v1/models", views.ModelsView.as_view()),
    path("v1/models/<path:name>", views.ModelView.as_view()),
    path("v1/chat/completions", views.ChatCompletionsView.as_view()),
    path("openapi.json", views.OpenApiView.as_view()),
]
