"""`manage.py serve`: the whole site in one process, from an empty directory to a first answer."""

import errno
import sys
from argparse import BooleanOptionalAction
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import checks, serving, starting

if TYPE_CHECKING:
    from agents.first_start import Made


class Command(BaseCommand):
    help = "Serves the whole site; makes and updates its database first."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        listen = "default 127.0.0.1:8000; port 0 takes a free one"
        parser.add_argument("-l", "--listen", default="127.0.0.1:8000", metavar="HOST:PORT", help=listen)
        inside = "work on the queue in this process too; the default without REDIS_URL"
        parser.add_argument("--worker", action=BooleanOptionalAction, default=settings.EMBEDDED_WORKER, help=inside)
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne", help="default daphne; uvicorn is the faster one")

    def handle(self, *args: Any, **options: Any) -> None:
        settings.EMBEDDED_WORKER = options["worker"]
        address = _address(options["listen"])
        _refuse(address)
        try:
            bound, address = serving.bind(address)
        except OSError as error:
            raise CommandError(cannot_listen(address, error)) from error
        self._introduce(address, starting.apart(starting.first_site))
        serving.run(starting.application(), bound, options["server"], lambda: self._say(f"Listening on {address.url}"))

    def _introduce(self, address: serving.Address, made: "Made | None") -> None:
        """Said once: neither the password nor the key is stored anywhere in plain."""
        if made is None:
            return
        self._say(f"Chat: {address.url}/")
        self._say(f'First start. Sign in there, or at {address.url}/admin/, as "admin" with the password {made.password}')
        if made.agent:
            body = f'{{"model": "{made.agent}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
            self._say(f"Ask an agent (this key is not shown again either):\n{curl(address, made.key, body)}")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def cannot_listen(address: serving.Address, error: OSError) -> str:
    """Why, and where a port is taken how to take another one."""
    said = f"cannot listen on {address}: {error.strerror or error}"
    other = serving.Address(host=address.host, port=address.port % 65_535 + 1)
    return f'{said}. Another port: make run ARGS="--listen {other}"' if error.errno == errno.EADDRINUSE else said


def curl(address: serving.Address, key: str, body: str) -> str:
    """One line that can be pasted into a shell."""
    return f"curl {address.url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'"


def _address(text: str) -> serving.Address:
    try:
        return serving.parse_address(text)
    except ValueError as error:
        raise CommandError(f"--listen: {error}", returncode=2) from error


def _refuse(address: serving.Address) -> None:
    """Raises CommandError when it would not be safe to serve on `address`; warnings go to standard error."""
    if not address.is_loopback and not settings.PRODUCTION:
        raise CommandError(sentence(checks.not_for_others(address)), returncode=2)
    refuse_unsafe(checks.before_serving(address))


def refuse_unsafe(messages: Sequence[CheckMessage]) -> None:
    """Warnings go to standard error, errors end the start with exit code 2."""
    for message in messages:
        if not message.is_serious():
            print(f"Warning: {sentence(message)}", file=sys.stderr)
    if serious := [sentence(message) for message in messages if message.is_serious()]:
        raise CommandError("\n".join(serious), returncode=2)


def sentence(message: CheckMessage) -> str:
    return f"{message.msg} {message.hint}"
