"""Draws a service's life from its LIFE table: `python -m tools.life order` prints the diagram that its README holds."""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def diagram(life: Mapping[Any, Any], states: Any, start: int | None = None) -> str:
    """Return a mermaid state diagram of a table of (step, state) → state; `states` is the contract's enum.

    A life starts where no step leads to, unless its `start` is given.
    """
    prefix = _prefix(states)

    def name(state: int) -> str:
        return str(states.Name(state)).removeprefix(prefix)

    sources = {state for _, state in life}
    targets = set(life.values())
    starts = sources - targets if start is None else {start}
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {name(state)}" for state in sorted(starts)]
    lines += [f"    {name(state)} --> {name(after)}: {step}" for (step, state), after in life.items()]
    lines += [f"    {name(state)} --> [*]" for state in sorted(targets - sources)]
    return "\n".join(lines)


def _prefix(states: Any) -> str:
    return str(states.Name(0)).removesuffix("UNSPECIFIED")


def rules_of(code: str) -> ModuleType | None:
    """Return the module that holds a service's LIFE: life, in the room of rules where there is one, or rules."""
    for name in (f"services.{code}.rules.life", f"services.{code}.life", f"services.{code}.rules"):
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            continue
        if hasattr(module, "LIFE"):
            return module
    return None


def main() -> None:
    """Print the diagram of the service named on the command line."""
    rules = rules_of(sys.argv[1])
    if rules is None:
        sys.exit(f"{sys.argv[1]} has no LIFE")
    print(diagram(rules.LIFE, rules.STATES, getattr(rules, "START", None)))


if __name__ == "__main__":
    main()
