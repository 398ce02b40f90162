"""Paths of the UI-message wire."""

from django.urls import path

from chat.protocols.uimessage import attachments

urlpatterns = [
    path("attachment/v1/upload", attachments.UploadView.as_view()),
    path("attachment/v1/delete", attachments.DeleteView.as_view()),
    path("attachment/<str:signed>", attachments.DownloadView.as_view()),
]
