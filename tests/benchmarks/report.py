"""The table: every figure beside the relay's and beside what it must reach."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach; the ratio is compared where there is one."""

    sign: Literal["≥", "≤"]
    value: float

    def holds(self, figure: float) -> bool:
        return figure >= self.value if self.sign == "≥" else figure <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


def at_least(value: float) -> Bound:
    return Bound("≥", value)


def at_most(value: float) -> Bound:
    return Bound("≤", value)


@dataclass(slots=True)
class Report:
    """Lines are printed as they come; `figures` keeps ours by (heading, name) for comparisons between runs."""

    heading: str = ""
    figures: dict[tuple[str, str], float] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def begin(self, heading: str) -> None:
        self.heading = heading
        print(f"\n{heading}\n{'':42}{'relay':>10}{'ours':>10}{'ratio':>8}   target", flush=True)

    def add(self, name: str, *, ours: float, relay: float | None = None, ratio: float | None = None, target: Bound | None = None) -> None:
        self.figures[self.heading, name] = ours
        reached = "" if target is None else f"   {target!s:9}" + self.verdict(name, target.holds(ours if ratio is None else ratio))
        print(f"{name:42}{number(relay):>10}{number(ours):>10}{number(ratio):>8}{reached}".rstrip(), flush=True)

    def verdict(self, name: str, holds: bool) -> str:
        if not holds:
            self.missed.append(f"{self.heading}: {name}")
        return " ok" if holds else " MISSED"


def number(value: float | None) -> str:
    """Four significant digits, without exponents."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
