"""Paths of the chat page; config.routes hands them to Django's own cycle."""

from django.urls import path

from chat.protocols.page import views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("login", views.sign_in, name="login"),
    path("logout", views.sign_out, name="logout"),
    path("session-token", views.token, name="session-token"),
]
