"""A figure, its limits, and how it is told."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limit:
    """What a figure must reach, and what we would like; at least, unless `at_most`."""

    target: float
    stretch: float
    at_most: bool = False

    def met(self, value: float) -> str:
        """Tell how far a value came: "stretch", "met" or "NOT MET"."""
        for limit, word in ((self.stretch, "stretch"), (self.target, "met")):
            if value <= limit if self.at_most else value >= limit:
                return word
        return "NOT MET"


@dataclass(frozen=True)
class Figure:
    """One line of the table. `detail` says what it was measured against, and the spread."""

    row: str
    what: str
    value: float
    unit: str = "×"
    limit: Limit | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """How it stands to its limit; empty where there is none."""
        return self.limit.met(self.value) if self.limit else ""

    def shown(self) -> tuple[str, str, str, str, str]:
        """The cells: what, value, limit, verdict, detail."""
        bound = ""
        if self.limit:
            sign = "≤" if self.limit.at_most else "≥"
            bound = f"{sign} {number(self.limit.target)} ({number(self.limit.stretch)})"
        value = f"{number(self.value)}{'' if self.unit == '×' else ' '}{self.unit}"
        return self.what, value, bound, self.verdict, self.detail

    def as_json(self) -> dict[str, Any]:
        """The figure as bench.json has it."""
        limits = {"target": self.limit.target, "stretch": self.limit.stretch} if self.limit else {}
        at_most = {"at_most": self.limit.at_most} if self.limit else {}
        return {
            "row": self.row,
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            **limits,
            **at_most,
            "verdict": self.verdict,
            "detail": self.detail,
        }


def number(value: float) -> str:
    """Three digits that matter, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """The median and the range of some values."""
    return f"{number(statistics.median(values))} [{number(min(values))}–{number(max(values))}]"


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
