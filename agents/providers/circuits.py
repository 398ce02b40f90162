"""A circuit breaker per provider: one that fails call after call is left alone for a while, then tried by a single call.

Callers are refused at once meanwhile, or served by the next fallback model, instead of waiting for what will not answer. Each process
learns for itself. A provider in good health has no circuit, so all it costs is a look into an empty dict.
"""

import logging
import time
from dataclasses import dataclass

from django.conf import settings

from agents.providers.base import ErrorKind, ProviderError
from agents.specs import ProviderSpec

FAILURES: frozenset[ErrorKind] = frozenset(("network", "overloaded", "timeout"))
"""The provider is not there. Any other error is an answer of one that is."""
WINDOW_S = 60.0
"""Failures further apart than this are not one outage."""

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Circuit:
    """Calls that failed in a row, and until when the provider is left alone (monotonic; 0: not at all)."""

    spec: ProviderSpec
    failures: int = 0
    last_s: float = 0.0
    open_until_s: float = 0.0


_circuits: dict[str, Circuit] = {}
_openings: dict[str, int] = {}
"""How often a provider was left alone, by its name."""


def check(spec: ProviderSpec) -> None:
    """Raises ProviderError("circuit_open") while the provider is left alone. Whoever asks first after that is the probe."""
    circuit = _circuits.get(spec.id)
    if circuit is None or not circuit.open_until_s:
        return
    if circuit.spec != spec:  # an operator changed it: perhaps that is the mend
        del _circuits[spec.id]
        return
    now_s = time.monotonic()
    if now_s < circuit.open_until_s:
        raise ProviderError("circuit_open", f"{circuit.failures} calls in a row failed", retry_after_s=circuit.open_until_s - now_s)
    circuit.open_until_s = now_s + settings.PROVIDER_CIRCUIT_SECONDS


def answered(spec: ProviderSpec) -> None:
    """The provider is there (again)."""
    circuit = _circuits.pop(spec.id, None)
    if circuit is not None and circuit.open_until_s:
        log.warning("provider %s answers again", spec.name)


def failed(spec: ProviderSpec, kind: ErrorKind) -> None:
    """A call failed for good, retries and all, before its first delta."""
    if kind == "circuit_open":
        return
    if kind not in FAILURES:
        answered(spec)
        return
    now_s = time.monotonic()
    circuit = _circuits.get(spec.id)
    if circuit is None or circuit.spec != spec or (not circuit.open_until_s and now_s - circuit.last_s > WINDOW_S):
        circuit = _circuits[spec.id] = Circuit(spec=spec)
    circuit.failures += 1
    circuit.last_s = now_s
    if 0 < settings.PROVIDER_CIRCUIT_FAILURES <= circuit.failures:
        _open(circuit, now_s)


def _open(circuit: Circuit, now_s: float) -> None:
    spec, pause_s = circuit.spec, settings.PROVIDER_CIRCUIT_SECONDS
    if not circuit.open_until_s:
        _openings[spec.name] = _openings.get(spec.name, 0) + 1
    circuit.open_until_s = now_s + pause_s
    log.error("provider %s failed %d calls in a row and is left alone for %d s", spec.name, circuit.failures, pause_s)


# What operators see


def open_s(provider_id: str) -> float:
    """For how long this process leaves the provider alone, in seconds; 0: it does not."""
    circuit = _circuits.get(provider_id)
    return max(0.0, circuit.open_until_s - time.monotonic()) if circuit is not None else 0.0


def openings() -> dict[str, tuple[int, bool]]:
    """How often each provider that ever was left alone was, and whether it is now; by name."""
    now = {circuit.spec.name for circuit in list(_circuits.values()) if circuit.open_until_s}
    return {name: (count, name in now) for name, count in list(_openings.items())}


def forget() -> None:
    """As after a start, for tests."""
    _circuits.clear()
    _openings.clear()
