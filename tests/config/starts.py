"""Commands that serve, started as an operator starts them: their two outputs, their exit code, a client."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager

import httpx2 as httpx

from tests.support import environment
from tests.support.server import ROOT


class Start(AbstractContextManager["Start"]):
    """`manage.py ARGUMENTS` with a DATA_DIR of its own; standard output is read line by line, standard error kept."""

    def __init__(self, data_dir, *arguments, **env):
        self.data_dir, self.lines = data_dir, []
        data_dir.mkdir(exist_ok=True)
        self.error_path = data_dir / f"stderr-{time.monotonic_ns()}"
        env = {**environment.cleaned(os.environ), "DATA_DIR": str(data_dir), "OLLAMA_HOST": "127.0.0.1:1", **env}
        with self.error_path.open("wb") as errors:
            command = [sys.executable, "manage.py", *arguments]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=errors, text=True)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()

    @property
    def errors(self):
        return self.error_path.read_text()

    def ready(self, mark="Listening on"):
        """Reads until the server says that it listens; its base URL."""
        while not self.lines or mark not in self.lines[-1]:
            line = self.process.stdout.readline()
            assert line, f"ended with {self.process.wait()}:\n{self.errors[-4000:]}"
            self.lines.append(line.rstrip("\n"))
        host = re.search(r"Listening on (?:http://)?(\S+)", "\n".join(self.lines))[1]
        return f"http://{host.replace('0.0.0.0', '127.0.0.1')}"

    def refused(self):
        """Exit code and standard error of a command that must not start."""
        out, _ = self.process.communicate(timeout=60)
        assert out == ""
        return self.process.returncode, self.errors.strip()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=20)
        self.lines += out.splitlines()
        return self.process.returncode


def ask(base_url, key="", content="Hello!", model="demo", headers=(), **fields):
    """One call of the OpenAI wire."""
    credentials = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    return httpx.post(f"{base_url}/v1/chat/completions", json=body, headers={**credentials, **dict(headers)}, timeout=30)
