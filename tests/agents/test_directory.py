"""The catalog in memory: what another process publishes counts from the next look-up that found nothing."""

import pytest
from django.db.models import F

from agents import database, directory
from agents.models import CatalogVersion

pytestmark = pytest.mark.django_db(transaction=True)


def published_elsewhere() -> None:
    CatalogVersion.objects.get_or_create(pk=1)
    CatalogVersion.objects.filter(pk=1).update(counter=F("counter") + 1)


async def test_a_snapshot_is_old_once_another_process_has_published() -> None:
    looked_in = await directory.newest()
    assert not await directory.moved(looked_in)
    await database.run(published_elsewhere)
    assert await directory.moved(looked_in)
    assert not await directory.moved(directory.current())


async def test_a_snapshot_is_old_too_when_another_task_has_reloaded_meanwhile() -> None:
    looked_in = await directory.newest()
    await database.run(published_elsewhere)
    assert await directory.newest() is not looked_in
    assert await directory.moved(looked_in)
