"""Who works on the queue: a worker process with an event loop of its own, or `serve`; and what Celery is told."""

import pytest
from celery.apps.worker import Worker
from celery.concurrency.prefork import TaskPool
from celery.worker import WorkController
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.celery import app
from config.workerprocess import SpineStep
from tests.config.starts import Start

pytestmark = pytest.mark.filterwarnings("ignore:You're running the worker with superuser privileges")


def test_celery_has_the_task_and_the_settings_of_the_site(settings):
    app.loader.import_default_modules()
    assert "tasks.look" in app.tasks
    assert (app.conf.worker_pool, app.conf.worker_concurrency) == ("threads", settings.CELERY_WORKER_CONCURRENCY)
    assert app.conf.broker_transport_options == {"polling_interval": 0.01}


def test_redis_has_a_prefix_for_what_celery_keeps_there():
    assert env.broker_options("redis://localhost/0")["global_keyprefix"] == "sb:celery:"
    assert env.broker_options("amqp://localhost") == {}


def test_a_worker_process_has_its_own_loop_and_an_embedded_one_the_servers():
    process, embedded = Worker(app=app, pool="threads", quiet=True), WorkController(app=app, pool="threads")
    step = SpineStep(process)
    assert [step.include_if(parent) for parent in (process, embedded)] == [True, False]


def test_a_pool_of_processes_is_refused():
    """Its children would have no loop, and one name for all."""
    process = Worker(app=app, pool="threads", quiet=True)
    process.pool_cls = TaskPool
    with pytest.raises(ImproperlyConfigured, match="--pool threads"):
        SpineStep(process).create(process)


@pytest.mark.live
def test_a_server_may_leave_the_worker_out(tmp_path):
    with Start(tmp_path / "data", "serve", "--listen", "127.0.0.1:0", "--no-worker", "--server", "uvicorn") as start:
        start.ready()
        assert start.end() == 0
        assert "celery" not in start.errors
