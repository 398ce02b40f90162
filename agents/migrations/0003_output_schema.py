import agents.models
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('agents', '0002_sharing'),
    ]

    operations = [
        migrations.AlterField(
            model_name='agent',
            name='output_schema',
            field=models.JSONField(blank=True, null=True, validators=[agents.models.check_output_schema]),
        ),
    ]
