"""Conversations and their messages, to read. Managers see those of their agents (AG-4)."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.paginator import InfinitePaginator

from agents.admin.agents import AgentFilter
from agents.admin.base import ManagedAdmin, ReadOnly, shown
from agents.admin.buttons import row_url
from chat.admin import facts
from chat.admin.filters import DaysFilter, with_id
from chat.admin.parts import blocks_of
from chat.models import ChatSession, Message, Wire
from chat.sessionviews import cost_of

MESSAGE_COLOURS = {"done": "success", "failed": "danger", "cancelled": "warning", "pending": "info"}
MAX_SHOWN = 200


@admin.register(ChatSession)
class ChatSessionAdmin(ReadOnly[ChatSession], ManagedAdmin[ChatSession]):
    empty_help = "Conversations come here from the chat page and from every protocol. Nobody has asked an agent anything yet."
    list_display = ("title_shown", "agent_name", "who", "wire", "message_count", "token_count", "cost", "last_message_at")
    list_filter = (AgentFilter, ("wire", ChoicesDropdownFilter), ("last_message_at", DaysFilter))
    list_select_related = ("owner",)
    list_fullwidth = True
    search_fields = ("title", "name", "namespace", "owner__username")
    search_help_text = "Id, title, the client's name for it, owner"
    paginator = InfinitePaginator
    ordering = ("-last_message_at",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ChatSession], search_term: str
    ) -> tuple[QuerySet[ChatSession], bool]:
        return with_id(queryset, search_term) or super().get_search_results(request, queryset, search_term)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **options: Any) -> Any:
        session: ChatSession = options["obj"]
        newest = list(session.messages.order_by("-position")[:MAX_SHOWN])
        context |= {
            "session": session,
            "facts": [
                ("Messages", f"{session.message_count:,}"),
                ("Tokens in → out", facts.tokens(session.input_tokens, session.output_tokens)),
                ("Cost", facts.money(cost_of(session))),
                ("Context now", f"{session.context_tokens:,} tokens"),
            ],
            "transcript": [{"message": message, "blocks": blocks_of(message.parts)} for message in reversed(newest)],
            "left_out": max(0, session.messages.count() - len(newest)),
        }
        return super().render_change_form(request, context, *args, **options)

    @shown("conversation", ordering="title")
    def title_shown(self, session: ChatSession) -> str:
        return facts.excerpt(session.title) or session.name or str(session.pk)

    @shown("who", ordering="owner__username")
    def who(self, session: ChatSession) -> str:
        """Visitors of public links have no name; which link it was, the page of the conversation says."""
        if session.owner:
            return str(session.owner.get_username())
        return "a visitor" if session.wire == Wire.PUBLIC else session.namespace

    @shown("tokens in → out", ordering="output_tokens")
    def token_count(self, session: ChatSession) -> str:
        return facts.tokens(session.input_tokens, session.output_tokens)

    @shown("cost", ordering="cost_usd")
    def cost(self, session: ChatSession) -> str:
        return facts.money(cost_of(session))


@admin.register(Message)
class MessageAdmin(ReadOnly[Message], ManagedAdmin[Message]):
    empty_help = "Messages come here from the chat page and from every protocol. Nobody has asked an agent anything yet."
    agent_path = "session__agent"
    list_display = ("role", "said", "status_shown", "conversation", "created_at")
    list_display_links = ("said",)
    list_filter = (("role", ChoicesDropdownFilter), ("status", ChoicesDropdownFilter), ("created_at", DaysFilter))
    list_select_related = ("session",)
    list_fullwidth = True
    search_fields = ("text",)
    search_help_text = "Words of the message"
    paginator = InfinitePaginator
    ordering = ("-pk",)
    fields = (
        ("conversation", "role", "status_shown", "created_at"), "content", ("rating", "rating_comment"), ("in_history", "active"),
    )  # fmt: skip

    @shown("text")
    def said(self, message: Message) -> str:
        return facts.excerpt(message.text, 140) or "(no text)"

    @shown("status", ordering="status", label=MESSAGE_COLOURS)
    def status_shown(self, message: Message) -> str:
        return message.status

    @shown("conversation")
    def conversation(self, message: Message) -> str:
        return format_html('<a class="text-link" href="{}">{}</a>', row_url(message.session), facts.excerpt(str(message.session), 50))

    @shown("content")
    def content(self, message: Message) -> SafeString:
        return render_to_string("admin/chat/blocks.html", {"blocks": blocks_of(message.parts)})
