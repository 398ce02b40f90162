"""Buttons on admin pages: each is a form that posts to a view of its own, so that no link ever changes anything."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse

Pressed = Callable[[HttpRequest, Any], HttpResponse | None]
Right = Callable[[HttpRequest, Any], bool]


def button(admin: "ModelAdmin[Any]", name: str, pressed: Pressed, right: Right | None = None) -> URLPattern:
    """POST <row>/<name>/ calls `pressed(request, row)`, then goes back to the row's page.

    For who may change the row; `right` is asked instead where a page is read-only and its buttons are not.
    """
    may = right or admin.has_change_permission

    def view(request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = admin.get_object(request, object_id)
        if row is None or not may(request, row):
            raise PermissionDenied
        return pressed(request, row) or redirect(row_url(row))

    opts = admin.opts
    return path(f"<path:object_id>/{name}/", admin.admin_site.admin_view(view), name=f"{opts.app_label}_{opts.model_name}_{name}")


def row_url(row: Any, page: str = "change") -> str:
    """The address of a row's admin page, or of one of its buttons."""
    opts = row._meta
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_{page}", args=[row.pk])
