"""Named points at which a test has a process die, or stand still while it kills another one.

They lie before and after each commit, each batch, each call to another service or provider, and each publishing of
events. A file in the folder that COMMERCE_FAILPOINTS names arms the point of its name, once, for whichever replica
comes there first:

    echo die  > "$COMMERCE_FAILPOINTS/order after commit CreateOrder"
    echo hold > "$COMMERCE_FAILPOINTS/order before call ReserveStock"     (goes on when "….go" is there)

Without the variable, and outside development always, a point is one look at a constant.
"""

import asyncio
import os
import signal
from pathlib import Path

_FOLDER = os.environ.get("COMMERCE_FAILPOINTS", "")
ARMED = bool(_FOLDER) and os.environ.get("COMMERCE_ENVIRONMENT") == "development"
_SERVICE = os.environ.get("COMMERCE_SERVICE", "")
# A test that died must not leave a process standing.
HOLD_SECONDS = 20.0
_LOOK_SECONDS = 0.01


async def reach(point: str) -> None:
    """Come to a point: die or stand still when it is armed. Call it only where ARMED says so."""
    path = Path(_FOLDER) / f"{_SERVICE} {point}"
    reached = path.with_name(f"{path.name}.reached")
    try:
        order = path.read_text().strip()
        path.rename(reached)
    except FileNotFoundError:
        return
    if order == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    go = path.with_name(f"{path.name}.go")
    async with asyncio.timeout(HOLD_SECONDS):
        while not go.exists():  # noqa: ASYNC110 (another process says when)
            await asyncio.sleep(_LOOK_SECONDS)
