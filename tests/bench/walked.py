"""A service that notes which of its files each call walks through: `python -m tests.bench.walked`.

A call's walk is every file of a service's own that is entered from its RPC's method to the reply: a function of it is
called, in whatever task. What it stands on (the runtime, generated code, libraries) does not count, nor does what is
read without being called: tables, statements, constants. WALKS names the file that each walk is a line of.
"""

import json
import os
import runpy
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

SERVICES = Path(__file__).resolve().parents[2] / "services"
RUNTIME = SERVICES / "runtime"
# Where the pipeline has the reply in hand.
REPLIED = (str(RUNTIME / "pipeline.py"), "_ended")


@dataclass
class Walk:
    """The files of a call in the order in which it entered them."""

    rpc: str
    files: dict[str, None] = field(default_factory=dict)
    ended: bool = False


_WALK: ContextVar[Walk | None] = ContextVar("WALK", default=None)


def note(frame: FrameType, event: str, _: Any) -> None:
    """Hear of each call and return, as `sys.setprofile` tells it."""
    if event != "call":
        return
    code, walk = frame.f_code, _WALK.get()
    if (code.co_filename, code.co_name) == REPLIED and walk and not walk.ended:
        walk.ended = True
        _write(walk)
        return
    name = _own(code.co_filename)
    if not name:
        return
    if name.endswith("handlers.py") and code.co_name[0].isupper() and (walk is None or walk.ended):
        walk = Walk(code.co_name)
        _WALK.set(walk)
    if walk and not walk.ended:
        walk.files[name] = None


def _own(path: str) -> str:
    """The name of a service's own file, below services/."""
    if not path.startswith(f"{SERVICES}/") or path.startswith(f"{RUNTIME}/"):
        return ""
    return path.removeprefix(f"{SERVICES}/")


def _write(walk: Walk) -> None:
    line = json.dumps({"rpc": walk.rpc, "files": list(walk.files)})
    with Path(os.environ["WALKS"]).open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.setprofile(note)
    runpy.run_module(f"services.{os.environ['COMMERCE_SERVICE']}", run_name="__main__")
