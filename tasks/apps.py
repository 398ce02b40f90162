"""The app config of tasks: has failed runs of schedules tried again."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    name = "tasks"
    verbose_name = "Tasks"

    def ready(self) -> None:
        from chat import finished
        from tasks import firing

        finished.follow(firing.follow_up)
