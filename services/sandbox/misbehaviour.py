"""What goes wrong on demand between the provider and a merchant. Kept in memory: a restart ends it."""

from dataclasses import dataclass

KINDS = (
    "silent_before",
    "silent_after",
    "hang_up",
    "malformed",
    "huge",
    "error_500",
    "error_429",
)
# These have no effect in the book; the others lose or spoil the answer only.
WITHOUT_EFFECT = ("silent_before", "error_500", "error_429")


@dataclass
class Plan:
    path: str
    kind: str
    times: int


class Misbehaviour:
    def __init__(self) -> None:
        self._plans: list[Plan] = []

    def plan(self, path: str, kind: str, times: int) -> None:
        """Plans for one path are carried out one after the other; no times end those that are left."""
        if times:
            self._plans.append(Plan(path, kind, times))
        else:
            self._plans = [plan for plan in self._plans if plan.path != path]

    def next(self, path: str) -> str | None:
        """What goes wrong with the request for this path that has just come, if anything."""
        for plan in self._plans:
            if path.startswith(plan.path):
                plan.times -= 1
                if not plan.times:
                    self._plans.remove(plan)
                return plan.kind
        return None
