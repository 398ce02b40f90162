"""Users and groups, with what Switchboard knows of a user beside Django: default agent, sign-out counter, callback secret."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from agents import catalog
from agents.admin.base import ModelAdmin, StackedInline
from agents.admin.buttons import button, row_url
from agents.models import UserProfile, new_secret

admin.site.unregister(User)
admin.site.unregister(Group)


class UserProfileInline(StackedInline[UserProfile, User]):
    model = UserProfile
    can_delete = False
    verbose_name_plural = "Switchboard"
    hide_title = True
    fields = ("default_agent",)
    autocomplete_fields = ("default_agent",)


@admin.register(User)
class UserAdmin(PlainUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]  # not generic at run time
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    inlines = (UserProfileInline,)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"classes": ["tab"], "fields": (("first_name", "last_name"), "email")}),
        ("Rights", {"classes": ["tab"], "fields": (("is_active", "is_staff", "is_superuser"), "groups", "user_permissions")}),
        ("Dates", {"classes": ["tab"], "fields": (("last_login", "date_joined"),)}),
    )
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active", "groups")
    actions = ("sign_out",)
    change_form_outer_after_template = "admin/agents/user/callback.html"

    def get_urls(self) -> list[URLPattern]:
        return [button(self, "callback_secret", self._callback_secret), *super().get_urls()]

    def _callback_secret(self, request: HttpRequest, user: User) -> HttpResponse:
        """The one page that shows what signs the results of this user's tasks (AG-52): it answers the form itself."""
        profile, _ = UserProfile.objects.get_or_create(user=user)
        profile.callback_secret = new_secret()
        profile.save(update_fields=["callback_secret"])
        self.log_change(request, user, "Given a new callback secret.")
        said = f"It signs the results of {user}'s tasks on their way to a callback_url; the one before does not any more."
        context = {
            **self.admin_site.each_context(request),
            "title": "The callback secret",
            "opts": self.opts,
            "secret": profile.callback_secret,
            "said": said,
            "back_url": row_url(user),
        }
        return TemplateResponse(request, "admin/signing_secret.html", context)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return self.inlines if obj else ()

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Managers may pick people to share an agent with, by name, without seeing their pages."""
        picking = request.resolver_match is not None and request.resolver_match.url_name == "autocomplete"
        return picking or super().has_view_permission(request, obj)

    @admin.action(description="Sign out everywhere", permissions=["change"])
    def sign_out(self, request: HttpRequest, users: QuerySet[User]) -> None:
        """Tokens carry the user's generation; raising it refuses all that were given out (R1.2)."""
        for user in users:
            UserProfile.objects.get_or_create(user=user)
        UserProfile.objects.filter(user__in=users).update(token_generation=F("token_generation") + 1)
        catalog.changed()
        messages.success(request, "Their tokens are refused from now on. API keys still work; revoke those one by one.")


@admin.register(Group)
class GroupAdmin(PlainGroupAdmin, ModelAdmin[Group]):
    empty_help = "Groups of users, to whom an agent may be opened at once."

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        picking = request.resolver_match is not None and request.resolver_match.url_name == "autocomplete"
        return picking or super().has_view_permission(request, obj)
