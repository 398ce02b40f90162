import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def forget_zeros(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    """Until now 0 stood for "nothing yet", "nobody knows" and "free"; of old conversations nobody can say which."""
    apps.get_model("chat", "ChatSession").objects.filter(cost_usd=0).update(cost_usd=None)


def restore_zeros(apps: Apps, _editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("chat", "ChatSession").objects.filter(cost_usd=None).update(cost_usd=0)


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_conversations_tasks_links_workflows")]

    operations = [
        migrations.RemoveField(model_name="execution", name="link_id"),
        migrations.AlterField(
            model_name="chatsession",
            name="cost_usd",
            field=models.DecimalField(
                decimal_places=6, help_text="Of the runs whose price is known; null: of none.", max_digits=14, null=True
            ),
        ),
        migrations.RunPython(forget_zeros, restore_zeros),
        migrations.CreateModel(
            name="LinkVisitor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name_hash", models.CharField(help_text="Of what the visitor's conversation is called.", max_length=64)),
                (
                    "link",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="chat.sharetoken"
                    ),
                ),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("link", "name_hash"), name="one_count_per_visitor")]},
        ),
    ]
