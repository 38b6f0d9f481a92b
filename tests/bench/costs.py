"""Where the processor time of checkouts goes, process by process, and how their waits are told."""

import time
from collections.abc import Sequence

import psutil

from services.cluster.cluster import Cluster
from tests.bench import processes
from tests.bench.figures import number, quantile


def seconds_by_process(cluster: Cluster) -> dict[str, float]:
    """Processor time so far of each process; PostgreSQL's by role; ours as "load"."""
    spent = {"load": time.process_time()}
    for name, process in cluster.processes.items():
        if process.pid is None:
            continue
        if name != "postgres":
            spent[name] = processes.cpu_seconds(process.pid)
            continue
        for backend in psutil.Process(process.pid).children():
            role = f"postgres {_role(backend)}"
            spent[role] = spent.get(role, 0.0) + processes.cpu_seconds(backend.pid)
    return spent


def each_ms(before: dict[str, float], after: dict[str, float], checkouts: int) -> dict[str, float]:
    """Milliseconds of one checkout, by process, the dearest first."""
    spent = {name: (after[name] - before.get(name, 0.0)) / max(1, checkouts) * 1e3 for name in after}
    return dict(sorted(spent.items(), key=lambda item: -item[1]))


def parts(cost: dict[str, float]) -> str:
    """Tell the parts of a cost."""
    return ", ".join(f"{name} {ms:.2f}" for name, ms in cost.items() if ms >= 0.01)


def waits(seconds: Sequence[float]) -> str:
    """Tell the median and the longest of some waits."""
    if not seconds:
        return "none ended"
    median, late = (quantile(seconds, share) * 1e3 for share in (0.5, 0.99))
    return f"confirmed after {number(median)} ms (p99 {number(late)})"


def _role(backend: psutil.Process) -> str:
    """Whom a PostgreSQL process serves."""
    try:
        title = " ".join(backend.cmdline()).removeprefix("postgres: ")
    except psutil.NoSuchProcess:
        title = ""
    return title.split()[0] if "[local]" in title else "background"
