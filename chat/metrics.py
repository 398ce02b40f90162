"""What Prometheus is told (config.health serves it).

Labels are closed sets: wires, statuses, routes, providers; never ids or names of people.
"""

from collections.abc import Iterable
from functools import lru_cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.providers import circuits

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_started = Counter("switchboard_turns_started", "Turns accepted.", ["wire"])
_finished = Counter("switchboard_turns_finished", "Turns ended, by final status.", ["wire", "status"])
_duration = Histogram("switchboard_turn_duration_seconds", "From acceptance to the end of a turn.", ["wire"], buckets=_SECONDS)
_first_token = Histogram("switchboard_first_token_seconds", "From acceptance to the first text.", ["wire"], buckets=_SECONDS)
_tokens = Counter("switchboard_tokens", "Tokens of all model calls.", ["direction"])
_streams = Gauge("switchboard_open_streams", "Answers that are being streamed now.")
_sockets = Gauge("switchboard_open_sockets", "WebSockets that are open now.")
_requests = Counter("switchboard_http_requests", "HTTP requests.", ["method", "route", "status"])


class _Circuits(Collector):
    """Read when Prometheus asks, so that no call pays for it."""

    def collect(self) -> Iterable[Metric]:
        opened = CounterMetricFamily("switchboard_provider_circuit_openings", "Times a provider was left alone.", labels=["provider"])
        is_open = GaugeMetricFamily("switchboard_provider_circuit_open", "1 while a provider is left alone.", labels=["provider"])
        for name, (count, now) in circuits.openings().items():
            opened.add_metric([name], count)
            is_open.add_metric([name], int(now))
        return opened, is_open


REGISTRY.register(_Circuits())


def turn_started(wire: str | None) -> None:
    _started_for(wire or "none").inc()


def turn_finished(
    wire: str | None, status: str, *, duration_ms: int, first_token_ms: int | None = None, input_tokens: int = 0, output_tokens: int = 0
) -> None:
    """Counts one ended turn; `status` is a terminal Execution.status."""
    finished, duration, first_token = _finished_for(wire or "none", status)
    finished.inc()
    duration.observe(duration_ms / 1000)
    if first_token_ms is not None:
        first_token.observe(first_token_ms / 1000)
    _input_tokens.inc(input_tokens)
    _output_tokens.inc(output_tokens)


def stream_opened() -> None:
    _streams.inc()


def stream_closed() -> None:
    _streams.dec()


def socket_opened() -> None:
    _sockets.inc()


def socket_closed() -> None:
    _sockets.dec()


def http_request(method: str, route: str, status: int) -> None:
    """Counts one request; `route` is the URL pattern (`chat/stream/<str:conversation_id>`), "" where none matched."""
    _request_for(method if method in _METHODS else "OTHER", route, status).inc()


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_input_tokens = _tokens.labels("input")
_output_tokens = _tokens.labels("output")


@lru_cache(maxsize=64)
def _started_for(wire: str) -> Counter:
    return _started.labels(wire)


@lru_cache(maxsize=256)
def _finished_for(wire: str, status: str) -> tuple[Counter, Histogram, Histogram]:
    return _finished.labels(wire, status), _duration.labels(wire), _first_token.labels(wire)


@lru_cache(maxsize=4096)
def _request_for(method: str, route: str, status: int) -> Counter:
    return _requests.labels(method, route, str(status))
