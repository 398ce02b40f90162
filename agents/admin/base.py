"""What every admin page shares: unfold's looks, and who sees what: administrators all, managers the rows of their own agents."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from agents.models import Agent

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as PlainModelAdmin
    from django.contrib.admin import StackedInline, TabularInline
    from django.forms import ModelForm
else:
    from django import forms
    from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
    from unfold import admin as unfold

    class _Generic:
        """The stubs' classes take a type parameter; those of Django and unfold don't."""

        def __class_getitem__(cls, _):
            return cls

    class _ChoicesOnly:
        """Rows are added and changed on their own pages, not from the field that chooses one."""

        def formfield_for_dbfield(self, db_field, request, **options):
            field = super().formfield_for_dbfield(db_field, request, **options)
            if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
                field.widget = field.widget.widget
            return field

    class PlainModelAdmin(_ChoicesOnly, _Generic, unfold.ModelAdmin):
        empty_value_display = "–"

    class TabularInline(_ChoicesOnly, _Generic, unfold.TabularInline):
        pass

    class StackedInline(_ChoicesOnly, _Generic, unfold.StackedInline):
        pass

    class ModelForm(_Generic, forms.ModelForm):
        pass


__all__ = ["ManagedAdmin", "ModelAdmin", "ModelForm", "ReadOnly", "StackedInline", "TabularInline", "managed_agents", "person", "shown"]

Row = TypeVar("Row", bound=Model)
Column = TypeVar("Column", bound=Callable[..., Any])


def shown(
    description: str, *, ordering: str | None = None, label: Mapping[str, str] | None = None, header: bool | None = None
) -> Callable[[Column], Column]:
    """A computed column: unfold's `display` with types. `label`: value -> colour (success, warning, danger, info)."""
    return cast(Callable[[Column], Column], display(description=description, ordering=ordering, label=label, header=header))


def person(request: HttpRequest) -> User:
    """Who is signed in; the admin site lets nobody else near its pages."""
    return cast(User, request.user)


def managed_agents(user: User) -> QuerySet[Agent]:
    """The agents `user` may edit: all for administrators, else those owned or co-managed."""
    if user.is_superuser:
        return Agent.objects.all()
    return Agent.objects.filter(Q(owner=user) | Q(pk__in=user.managed_agents.values("pk")))


class ModelAdmin(PlainModelAdmin[Row]):
    """unfold's page. Deleting a row takes its dependants along, also those whose own pages are read-only."""

    compressed_fields = False
    warn_unsaved_form = True
    list_filter_submit = True
    show_full_result_count = False
    empty_help = ""
    """What a list without rows says: what they are, and how they come here (templates/unfold/helpers/empty_results.html)."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        deleted, counts, _, protected = super().get_deleted_objects(objs, request)
        return deleted, counts, set(), protected


class ManagedAdmin(ModelAdmin[Row]):
    """Rows that belong to an agent: its managers see and edit them without any further Django permission, nobody else does.

    `agent_path` is the look-up from the row to its agent; "pk" for the agent itself.
    """

    agent_path = "agent"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        rows = super().get_queryset(request)
        user = person(request)
        return rows if user.is_superuser else rows.filter(**{f"{self.agent_path}__in": managed_agents(user).values("pk")})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return person(request).is_staff

    def has_view_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return self._may(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return person(request).is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return person(request).is_superuser

    def _may(self, request: HttpRequest, obj: Row | None) -> bool:
        user = person(request)
        if not (user.is_active and user.is_staff):
            return False
        return user.is_superuser or obj is None or self.get_queryset(request).filter(pk=obj.pk).exists()


class ReadOnly(Generic[Row]):
    """Pages that only show: what happened is not edited. Mixed in before the admin class."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
