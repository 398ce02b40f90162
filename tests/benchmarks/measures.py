"""The measurements. Each takes the bench and adds lines to its report; rounds of the relay and of our server alternate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from tests.benchmarks import backlog, sockets, stored, workload
from tests.benchmarks.processes import Mode, Site, Target
from tests.benchmarks.report import Report, at_least, at_most
from tests.support.server import ServerKind

CHUNKS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One server of ours beside the relay. `rounds` of `turns` turns are run of each."""

    kind: ServerKind
    mode: Mode
    relay: Target
    site: Site
    report: Report
    rounds: int
    turns: int

    @property
    def ours(self) -> Target:
        return self.site.target


def idle(bench: Bench) -> None:
    """Memory of a process that has answered some turns and now rests."""
    for stream in (True, False):
        workload.turns(bench.ours, "burst", 120, stream=stream)
    bench.ours.wait_until_idle()
    bench.report.add("idle after warm-up, MB", ours=bench.ours.rss_bytes() / 1e6, target=at_most(130))


def streamed(bench: Bench) -> None:
    """8 clients, streams of 100 chunks sent in a burst, conversations of 10 messages."""
    relay, ours = _alternate(bench, stream=True)
    floor = 0.50 if bench.kind == "uvicorn" else 0.35
    _throughput(bench, "streamed turns/s", relay, ours, floor)
    cpu_s = [turns.cpu_s / turns.turns / CHUNKS * 1000 for turns in ours]
    relay_cpu_s = median(turns.cpu_s / turns.turns / CHUNKS * 1000 for turns in relay)
    bench.report.add("CPU s per 1000 chunks, in bursts", relay=relay_cpu_s, ours=median(cpu_s), target=at_most(0.016))


def whole(bench: Bench) -> None:
    """The same turns, answered whole."""
    relay, ours = _alternate(bench, stream=False)
    _throughput(bench, "whole turns/s", relay, ours, 0.20 if bench.kind == "uvicorn" else 0.12)
    bench.report.add("CPU ms per whole turn", relay=median(turns.cpu_ms for turns in relay), ours=median(turns.cpu_ms for turns in ours))


def _alternate(bench: Bench, *, stream: bool) -> tuple[list[workload.Turns], list[workload.Turns]]:
    workload.turns(bench.ours, "burst", 60, stream=stream)
    relay, ours = [], []
    for _ in range(bench.rounds):
        relay.append(workload.turns(bench.relay, "burst", bench.turns, stream=stream))
        ours.append(workload.turns(bench.ours, "burst", bench.turns, stream=stream))
    return relay, ours


def _throughput(bench: Bench, name: str, relay: list[workload.Turns], ours: list[workload.Turns], floor: float) -> None:
    ratio = median(mine.per_second / bare.per_second for mine, bare in zip(ours, relay, strict=True))
    mine = median(turns.per_second for turns in ours)
    bare = median(turns.per_second for turns in relay)
    bench.report.add(name, relay=bare, ours=mine, ratio=ratio, target=at_least(floor))


def first_token(bench: Bench) -> None:
    """One client: what our server adds to the time from request to first token."""
    relay, ours = [], []
    for _ in range(bench.rounds):
        relay += workload.turns(bench.relay, "trickle", 150, stream=True, clients=1, first="t=").firsts_s
        ours += workload.turns(bench.ours, "trickle", 150, stream=True, clients=1, first="t=").firsts_s
    added_ms = (median(ours) - median(relay)) * 1000
    bench.report.add("time to first token p50, ms", relay=median(relay) * 1000, ours=median(ours) * 1000)
    bench.report.add("added time to first token p50, ms", ours=added_ms, target=at_most(1.5) if bench.mode == "embedded" else None)


def open_200(bench: Bench) -> None:
    _open(bench, 200, 20, ramp_s=3)


def open_1000(bench: Bench) -> None:
    ours = _open(bench, 1000, 100, ramp_s=6)
    bench.report.add("1000 open: share delivered on time", ours=ours.on_time, target=at_least(0.995))
    bench.report.add("1000 open: cores", ours=ours.cores, target=at_most(0.75))
    bench.report.add("1000 open: lag p99, ms", ours=ours.p99_ms, target=at_most(15))


def open_5000(bench: Bench) -> None:
    """In a process that answered little before: what it keeps of earlier turns (logs, histories) is bounded by settings of its own."""
    bench.site.restart()
    workload.turns(bench.ours, "burst", 120, stream=True)
    ours = _open(bench, 5000, 1000, ramp_s=25)
    bench.report.add("5000 open: MB resident", ours=ours.rss_bytes / 1e6, target=at_most(340))


def _open(bench: Bench, count: int, gap_ms: int, *, ramp_s: float) -> workload.Streams:
    """Relay first, then ours, with the same streams; both must come to rest before what follows."""
    seen = {}
    for target in (bench.relay, bench.ours):
        seen[target.name] = workload.streams(target, count, gap_ms, ramp_s=ramp_s, window_s=8)
        target.wait_until_idle()
    relay, ours = seen[bench.relay.name], seen[bench.ours.name]
    label = f"{count} open, {gap_ms} ms apart"
    bench.report.add(f"{label}: on time", relay=relay.on_time, ours=ours.on_time)
    bench.report.add(f"{label}: lag p50, ms", relay=relay.p50_ms, ours=ours.p50_ms)
    bench.report.add(f"{label}: lag p99, ms", relay=relay.p99_ms, ours=ours.p99_ms)
    bench.report.add(f"{label}: cores", relay=relay.cores, ours=ours.cores)
    bench.report.add(f"{label}: MB resident", relay=relay.rss_bytes / 1e6, ours=ours.rss_bytes / 1e6)
    return ours


def history(bench: Bench) -> None:
    """CPU of a streamed turn in conversations of 10, 100 and 1000 messages."""
    cpu_ms = {}
    for messages in (10, 100, 1000):
        rounds = [workload.turns(bench.ours, "burst", 240, stream=True, history=messages) for _ in range(bench.rounds)]
        cpu_ms[messages] = median(turns.cpu_ms for turns in rounds)
        ratio = cpu_ms[messages] / cpu_ms[10]
        target = at_most(2.5) if messages == 1000 else None
        bench.report.add(f"history of {messages}: CPU ms per turn", ours=cpu_ms[messages], ratio=ratio, target=target)


def sessions(bench: Bench) -> None:
    """A streamed turn, and a page of the session list, with 10³ and with 10⁶ sessions stored."""
    cost: dict[int, tuple[float, float]] = {}
    for count in (1_000, 1_000_000):
        bench.site.server.stop()
        page_ms = stored.fill(bench.site.server, count)
        bench.site.restart()
        workload.turns(bench.ours, "burst", 120, stream=True)
        rounds = [workload.turns(bench.ours, "burst", 600, stream=True) for _ in range(bench.rounds)]
        cost[count] = (median(1000 / turns.per_second for turns in rounds), page_ms)
        turn_ratio, page_ratio = (now / then for now, then in zip(cost[count], cost[1_000], strict=True))
        last = count > 1_000
        bench.report.add(f"{count} sessions: ms per turn", ours=cost[count][0], ratio=turn_ratio, target=at_most(2) if last else None)
        bench.report.add(f"{count} sessions: ms per list page", ours=page_ms, ratio=page_ratio, target=at_most(3) if last else None)


MEASURES: Mapping[str, Callable[[Bench], None]] = {
    "idle": idle,
    "streamed": streamed,
    "whole": whole,
    "ttft": first_token,
    "open200": open_200,
    "open1000": open_1000,
    "open5000": open_5000,
    "idlesockets": sockets.idle_sockets,
    "busysockets": sockets.busy_sockets,
    "crowd": sockets.crowd_of_sockets,
    "queue": backlog.queue,
    "history": history,
    "sessions": sessions,
}
