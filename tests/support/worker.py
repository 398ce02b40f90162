"""A live Celery worker process beside live servers: started, killed and started again as an operator's would be."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.server import Server

READY = " ready."


class Worker(Server):
    """`celery --app config.celery worker` with the environment of a site's servers."""

    def __init__(self, data_dir: Path, env: Mapping[str, str]) -> None:
        super().__init__(data_dir, env={"LOG_FORMAT": "console", **env})
        self.log_path = data_dir / f"worker-{self.port}.log"

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "celery", "--app", "config.celery", "worker", "--loglevel", "INFO", "--hostname", f"{self.port}@test"]

    def _wait_until_ready(self, limit_s: float = 60) -> None:
        until, before = time.monotonic() + limit_s, self.log.count(READY)
        while self.log.count(READY) == before:
            assert self.process
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"the worker did not get ready:\n{self.log[-6000:]}")
            time.sleep(0.05)
