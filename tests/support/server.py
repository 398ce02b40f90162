"""A live server process on 127.0.0.1: started, asked, killed and started again as an operator's would be."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.support import environment
from tests.support.services import answers, free_port

ROOT = Path(__file__).resolve().parents[2]
ServerKind = Literal["uvicorn", "daphne"]


class Server:
    """`manage.py serve` with a DATA_DIR and environment of its own. Its port stays the same over restarts."""

    def __init__(self, data_dir: Path, kind: ServerKind = "uvicorn", env: Mapping[str, str] | None = None) -> None:
        self.data_dir, self.kind, self.port = data_dir, kind, free_port()
        self.env = {**environment.cleaned(os.environ), "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.log_path = data_dir / f"server-{self.port}.log"
        self.keys: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything the process has printed, over all its starts."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process, "the server was not started"
        return self.process.pid

    def start(self) -> Self:
        """Starts the process and waits until it answers; raises RuntimeError with its log when it does not."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self._command(), cwd=ROOT, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait_until_ready()
        return self

    def stop(self) -> int | None:
        """Asks it to end, as an operator's SIGTERM does; kills it after 15 s. Returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: nothing of the process gets to say goodbye."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def manage(self, *arguments: str, **extra_env: str) -> str:
        """Standard output of `manage.py ARGUMENTS` beside the running server; raises AssertionError with what it printed when it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env={**self.env, **extra_env}, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def _command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve", "--listen", f"127.0.0.1:{self.port}", "--server", self.kind]

    def _wait_until_ready(self, limit_s: float = 60) -> None:
        until = time.monotonic() + limit_s
        while not answers(self.port):
            assert self.process
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"the server did not get ready:\n{self.log[-6000:]}")
            time.sleep(0.05)

    def _end(self, how: signal.Signals) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        process.send_signal(how)
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
