"""Paths of the admin. Importing this finds the admin pages of all apps: 0.2 s and 17 MB that serving wires does without."""

from django.contrib import admin

admin.autodiscover()
urlpatterns, *_ = admin.site.urls
