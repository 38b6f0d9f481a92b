"""`commerce up` and `commerce down`: a cluster in the foreground, and its end from elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console
from rich.markup import escape

from services.cluster.cluster import Cluster
from services.cluster.commands import card
from services.cluster.commands.progress import Progress
from services.cluster.home import Home, HomeError
from services.cluster.processes import StartFailed

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_signals(stop: Callable[[], None]) -> None:
    """Has the loop call this for each signal that ends a command, also for one in the background of a script."""
    for number in SIGNALS:
        # nohup has set it to be ignored, and means it.
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def run(
    home: Home, services: Iterable[str] | None, replicas: Mapping[str, int], console: Console
) -> int:
    """Starts, shows the card, waits for a signal, stops. The process's exit code."""
    progress = Progress(console)
    cluster = Cluster(
        home.path, services, replicas, changed=lambda: progress.update(cluster.processes.values())
    )
    stopped = asyncio.Event()
    life = asyncio.create_task(_live(cluster, progress, console, stopped))
    on_signals(lambda: _stop(life, stopped, cluster))
    try:
        return await life
    except asyncio.CancelledError:
        console.print("stopped before it was up")
        return 130


async def _live(cluster: Cluster, progress: Progress, console: Console, stopped: asyncio.Event) -> int:
    began = time.monotonic()
    try:
        with progress:
            await cluster.start()
    except StartFailed as error:
        console.print(f"[red]✗[/] {escape(str(error))}", markup=True, highlight=False, soft_wrap=True)
        return 1
    console.print(f"[green]✓[/] up in {time.monotonic() - began:.1f} s", markup=True, highlight=False)
    try:
        card.show(console, cluster.home, cluster.status())
        await stopped.wait()
    finally:
        console.print("stopping …")
        await cluster.stop()
    console.print("[green]✓[/] stopped", markup=True)
    return 0


def _stop(life: asyncio.Task[int], stopped: asyncio.Event, cluster: Cluster) -> None:
    if stopped.is_set():
        # Asked twice: the kernel ends the children with us.
        sys.stderr.write("ended at once\n")
        os._exit(130)
    stopped.set()
    if not cluster.started:
        life.cancel()


def end(home: Home, timeout_seconds: float) -> bool:
    """Asks the home's cluster to stop and waits; False when none runs. Raises HomeError when it does not stop."""
    supervisor = home.supervisor()
    if supervisor is None:
        return False
    os.kill(supervisor, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    while home.supervisor() is not None:
        if time.monotonic() > deadline:
            raise HomeError(f"process {supervisor} did not stop within {timeout_seconds:.0f} s")
        time.sleep(0.05)
    return True
