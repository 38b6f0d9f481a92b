"""Row of rest: how soon `commerce up` is there, and what the cluster holds while nobody calls."""

import asyncio
import os
import signal
import sys
import time

import psutil

from tests.bench.figures import Figure, Limit, number
from tests.bench.house import House

REST_SECONDS = 5.0
_UP = "from services.cluster.__main__ import main; main()"


async def rest(house: House) -> list[Figure]:
    """Start a cluster as its user does, twice; the second time is the figure, and so is what it holds then."""
    first, _, _ = await _up(house, 0)
    again, shared, resident = await _up(house, REST_SECONDS)
    megabytes = sum(shared.values())
    parts = ", ".join(
        f"{name} {number(size)}" for name, size in sorted(shared.items(), key=lambda item: -item[1])
    )
    what = f"what is shared is counted once; the sum of RSS is {number(resident)} MB; {parts}"
    return [
        Figure("idle", "cluster at rest: memory", megabytes, "MB", Limit(900, 600, at_most=True), what),
        Figure(
            "idle",
            "start after the first",
            again,
            "s",
            Limit(5, 3, at_most=True),
            f"`commerce up` to its card; the first time, with data to make, {first:.1f} s",
        ),
    ]


async def _up(house: House, seconds: float) -> tuple[float, dict[str, float], float]:
    """Seconds until it is up; then, after so many at rest, megabytes by process, and the sum of their RSS."""
    begin = time.monotonic()
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _UP,
        "up",
        env=os.environ | {"COMMERCE_HOME": str(house.folder / "resting"), "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    try:
        async for line in supervisor.stdout:
            if b"up in" in line:
                break
        else:
            raise RuntimeError("commerce up did not come up")
        taken = time.monotonic() - begin
        await asyncio.sleep(seconds)
        family = [psutil.Process(supervisor.pid), *psutil.Process(supervisor.pid).children(recursive=True)]
        shared: dict[str, float] = {}
        resident = 0.0
        for process in family:
            memory = process.memory_full_info()
            name = _name(process)
            shared[name] = shared.get(name, 0.0) + memory.pss / 2**20
            resident += memory.rss / 2**20
    finally:
        supervisor.send_signal(signal.SIGTERM)
        await supervisor.communicate()
    return taken, shared, resident


def _name(process: psutil.Process) -> str:
    words = process.cmdline()
    if "-m" in words:
        return words[words.index("-m") + 1].rpartition(".")[2]
    return "supervisor" if _UP in words else process.name().removesuffix("-server")
