"""Users and groups, with what Switchboard knows of a user beside Django: the default agent and the sign-out counter."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as PlainGroupAdmin
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import F, QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from agents import catalog
from agents.admin.base import ModelAdmin, StackedInline
from agents.models import UserProfile

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
    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        picking = request.resolver_match is not None and request.resolver_match.url_name == "autocomplete"
        return picking or super().has_view_permission(request, obj)
