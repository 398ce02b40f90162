"""`python -m tests.benchmarks.run`: the relay, our server and a fake model server in processes of their own, measured in turn.

Absolute figures are the machine's; ratios to the relay of the same run are what counts. Nothing here is part of the test suite.
"""

import argparse
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import processes
from tests.benchmarks.measures import MEASURES, Bench
from tests.benchmarks.report import Report, at_least

SERVERS, MODES = ("uvicorn", "daphne"), ("embedded", "redis+pg")


def main() -> None:
    chosen = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    report = Report()
    with processes.fake_upstream() as upstream_url, processes.relay(upstream_url) as relay:
        for kind in chosen.server:
            for mode in chosen.mode:
                measure(chosen, report, kind, mode, upstream_url, relay)
    compare_modes(report, chosen.server)
    print("\nEvery target reached." if not report.missed else "\nMissed:\n  " + "\n  ".join(report.missed))


def measure(chosen: argparse.Namespace, report: Report, kind: str, mode: str, upstream_url: str, relay: processes.Target) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, processes.site(kind, mode, upstream_url, Path(folder)) as site:
        report.begin(f"{kind}, {mode}")
        bench = Bench(kind=kind, mode=mode, relay=relay, site=site, report=report, rounds=chosen.rounds, turns=chosen.turns)
        for name in chosen.only:
            MEASURES[name](bench)


def compare_modes(report: Report, servers: Sequence[str]) -> None:
    """With Redis and PostgreSQL at least 0.7 of our embedded figure."""
    report.begin("redis+pg beside embedded (in the relay's column)")
    for kind in servers:
        for name in ("streamed turns/s", "whole turns/s"):
            embedded, services = (report.figures.get((f"{kind}, {mode}", name)) for mode in MODES)
            if embedded and services:
                report.add(f"{kind}: {name}", relay=embedded, ours=services, ratio=services / embedded, target=at_least(0.7))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    parser.add_argument("--only", type=names(MEASURES), default=list(MEASURES), help="of " + ",".join(MEASURES))
    parser.add_argument("--server", type=names(SERVERS), default=list(SERVERS), help="of " + ",".join(SERVERS))
    parser.add_argument("--mode", type=names(MODES), default=list(MODES), help="of " + ",".join(MODES))
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the relay and of ours, medians are printed (5)")
    parser.add_argument("--turns", type=int, default=2000, help="turns of one round (2000)")
    return parser.parse_args()


class names:
    """A comma list of some known names, in the order given."""

    def __init__(self, known: Sequence[str] | dict[str, object]) -> None:
        self.known = list(known)

    def __call__(self, text: str) -> list[str]:
        chosen = text.split(",")
        unknown = set(chosen) - set(self.known)
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(self.known)}")
        return chosen


if __name__ == "__main__":
    main()
