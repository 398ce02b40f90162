"""The app config of tasks: has queued runs announced and taken back, failed runs of schedules tried again, ends delivered."""

from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class TasksConfig(AppConfig):
    name = "tasks"
    verbose_name = "Tasks"

    def ready(self) -> None:
        from agents import catalog, directory
        from chat import finished, queued, recovery, saving
        from tasks import deliveries, firing
        from tasks.models import Endpoint
        from tasks.recovery import sweep
        from tasks.tasks import announce

        queued.announce_by(announce)
        recovery.also(sweep)
        recovery.also(deliveries.sweep)
        finished.follow(saving.told)
        finished.follow(firing.follow_up)
        finished.follow(deliveries.told, deliveries.wants)

        directory.also_load(deliveries.load)
        post_save.connect(catalog.changed, sender=Endpoint, dispatch_uid="catalog-save-Endpoint")
        post_delete.connect(catalog.changed, sender=Endpoint, dispatch_uid="catalog-delete-Endpoint")
