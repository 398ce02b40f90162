"""Paths of the WebSocket wire over HTTP; its sockets are in chat/routing.py."""

from django.urls import path

from chat.protocols.websocket import views

urlpatterns = [
    path("api/ws/ticket", views.TicketView.as_view()),
    path("chat", views.upgrade_required),
    path("ws", views.upgrade_required),
]
