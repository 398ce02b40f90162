"""The app config of tasks: has queued runs announced and taken back, and failed runs of schedules tried again."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "tasks"
    verbose_name = "Tasks"

    def ready(self) -> None:
        from chat import finished, queued, recovery, saving
        from tasks import firing
        from tasks.recovery import sweep
        from tasks.tasks import announce

        queued.announce_by(announce)
        recovery.also(sweep)
        finished.follow(saving.told)
        finished.follow(firing.follow_up)
