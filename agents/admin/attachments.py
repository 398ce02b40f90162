"""Files that people sent: names and sizes; their bytes are served to their owners only."""

from django.contrib import admin
from django.template.defaultfilters import filesizeformat

from agents.admin.base import ModelAdmin, ReadOnly, shown
from agents.models import Attachment

STATES = {"Stored": "success", "Deleted": "warning"}


@admin.register(Attachment)
class AttachmentAdmin(ReadOnly[Attachment], ModelAdmin[Attachment]):
    empty_help = "Files come here with the messages of people and programs."
    list_display = ("name", "mime_type", "size", "owner", "text_status", "state", "created_at")
    list_filter = ("text_status", "mime_type")
    list_select_related = ("owner",)
    search_fields = ("name", "owner__username")
    fields = ("name", "mime_type", "size", "owner", "namespace", "state", "text_status", "created_at", "deleted_at")

    @shown("size", ordering="size_bytes")
    def size(self, file: Attachment) -> str:
        return filesizeformat(file.size_bytes)

    @shown("state", label=STATES)
    def state(self, file: Attachment) -> str:
        return "Deleted" if file.deleted_at else "Stored"
