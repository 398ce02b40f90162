"""Published versions: what callers met, when, and by whom. Never edited; going back publishes a new one."""

import json

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents import comparing
from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ReadOnly, shown
from agents.models import AgentVersion


@admin.register(AgentVersion)
class AgentVersionAdmin(ReadOnly[AgentVersion], ManagedAdmin[AgentVersion]):
    list_display = ("agent", "version", "state", "note", "published_by", "created_at")
    list_filter = (AgentFilter,)
    list_select_related = ("agent", "published_by")
    ordering = ("-created_at",)
    fields = (("agent", "version", "state"), ("created_at", "published_by", "note"), "changes", "settings")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Versions are reached from their agent."""
        return False

    @shown("version", ordering="number")
    def version(self, row: AgentVersion) -> str:
        return f"v{row.number}"

    @shown("state", label={"Live": "success"})
    def state(self, row: AgentVersion) -> str:
        return "Live" if row.agent.published_id == row.pk else "Earlier"

    @shown("what changed")
    def changes(self, row: AgentVersion) -> SafeString:
        from agents.admin.differences import table

        before = row.agent.versions.filter(number__lt=row.number).first()
        return table(comparing.compare(before.config, row.config)) if before else SafeString("The first version.")

    @shown("settings")
    def settings(self, row: AgentVersion) -> SafeString:
        return format_html('<pre class="sb-code">{}</pre>', json.dumps(row.config, indent=2, ensure_ascii=False))
