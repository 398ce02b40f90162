"""The Celery application: `celery --app config.celery worker`, or beat. Settings begin with CELERY_; tasks live in tasks.tasks."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("switchboard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add("config.workerprocess:SpineStep")
