"""What open WebSockets cost: memory of silent ones, lag of busy ones, and a crowd that watches one turn."""

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.benchmarks import workload
from tests.benchmarks.processes import Target
from tests.benchmarks.report import at_least, at_most

if TYPE_CHECKING:
    from tests.benchmarks.measures import Bench

LOAD = "tests.benchmarks.socketload"
GAP_MS, WINDOW_S = 20, 8.0
AGENT = "open-200"
_threads = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lags:
    """Of what was due in the window, the share that came in time; lag percentiles; CPU seconds of the server."""

    on_time: float
    arrived: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_s: float


def idle_sockets(bench: "Bench") -> None:
    """2,000 sockets that are open and silent."""
    clients = 2000
    rss_bytes: list[int] = []
    job = {"kind": "idle", "clients": clients, "settle_s": 3.0}
    workload.run(bench.ours, _job(bench.ours, job), module=LOAD, each=lambda: rss_bytes.append(bench.ours.rss_bytes()))
    target = at_most(32) if bench.kind == "uvicorn" else None
    bench.report.add(f"{clients} idle sockets: KB each", ours=(rss_bytes[1] - rss_bytes[0]) / clients / 1024, target=target)


def busy_sockets(bench: "Bench") -> None:
    """200 sockets, each with a turn of its own that brings 50 chunks a second."""
    bench.ours.wait_until_idle()
    seen = _measured(bench.ours, {"kind": "turns", "clients": 200, "ramp_s": 3.0, "settle_s": 2.0, "thread": f"busy-{next(_threads)}-{{}}"})
    bench.report.add("200 sockets, 50 chunks/s: arrived", ours=seen.arrived, target=at_least(0.999))
    bench.report.add("200 sockets, 50 chunks/s: lag p50, ms", ours=seen.p50_ms)
    bench.report.add("200 sockets, 50 chunks/s: lag p95, ms", ours=seen.p95_ms, target=at_most(20))
    bench.report.add("200 sockets, 50 chunks/s: cores", ours=seen.cpu_s / WINDOW_S)


def crowd_of_sockets(bench: "Bench") -> None:
    """One turn of 50 chunks a second, watched by one socket and by a hundred."""
    chunks = WINDOW_S * 1000 / GAP_MS
    cost_us = {}
    for clients in (1, 100):
        bench.ours.wait_until_idle()
        seen = _measured(bench.ours, {"kind": "crowd", "clients": clients, "settle_s": 1.0, "thread": f"crowd-{next(_threads)}"})
        cost_us[clients] = seen.cpu_s / chunks * 1e6
        bench.report.add(f"a turn watched by {clients}: lag p95, ms", ours=seen.p95_ms)
    bench.report.add("a turn watched by 1: CPU µs per chunk", ours=cost_us[1])
    bench.report.add("a turn watched by 100: CPU µs per chunk", ours=cost_us[100], ratio=cost_us[100] / cost_us[1], target=at_most(3))


def _measured(target: Target, job: dict[str, Any]) -> Lags:
    told, cpu_s, _ = workload.run(target, _job(target, {**job, "gap_ms": GAP_MS, "window_s": WINDOW_S, "agent": AGENT}), module=LOAD)
    return Lags(cpu_s=cpu_s, **{name: told[name] for name in ("on_time", "arrived", "p50_ms", "p95_ms", "p99_ms")})


def _job(target: Target, job: dict[str, Any]) -> dict[str, Any]:
    return {"port": target.port, "headers": target.headers, **job}
