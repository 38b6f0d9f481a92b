"""A small cluster of stand-ins: three services, one with a companion, and a gateway that says "toy"."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from services.cluster.home import Home
from services.runtime.definition import Companion, Definition, Tier

SUPERVISOR = [sys.executable, "-m", "tests.cluster.supervisor"]
REPOSITORY = Path(__file__).parent.parent.parent


def toy(code: str, port: int, **more: Any) -> Definition:
    optional: dict[str, Any] = {"tier": Tier.OPTIONAL, "proto_services": (), "module": "tests.cluster.toy"}
    return Definition(code=code, port=port, **(optional | more))


TILL = Companion(
    code="till",
    module="tests.cluster.toy",
    port=7490,
    environment={
        "COMMERCE_LISTEN": "{listen}",
        "COMMERCE_TILL_KEY": "{secret:till_key}",
        "COMMERCE_TILL_BOOK": "{home}/till/book.sqlite",
        "COMMERCE_TILL_BACK": "{gateway}/back",
    },
    owner_environment={"COMMERCE_TILL_URL": "http://{listen}", "COMMERCE_TILL_KEY": "{secret:till_key}"},
)
TOYS = (
    toy("alpha", 7402, extensions=("pg_trgm",)),
    toy("beta", 7403, companions=(TILL,)),
    toy("gamma", 7404, requires=("alpha", "beta")),
)


def configure(*, listen: str, admin: str, **_: Any) -> Mapping[str, Any]:
    """An Envoy that answers every request with "toy"."""
    envoy = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{envoy}.http.router.v3.Router"}}
    says = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "toy"}}}
    connections = {
        "@type": f"{envoy}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "toy",
        "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [says]}]},
    }
    chain = {"filters": [{"name": "http", "typed_config": connections}]}
    listener = {"name": "toy", "address": _address(listen), "filter_chains": [chain]}
    return {"admin": {"address": _address(admin)}, "static_resources": {"listeners": [listener]}}


def _address(text: str) -> dict[str, Any]:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def processes_of(home: Path) -> dict[int, str]:
    """Every living process that runs in a home, was told of it or was started with it: its command by its id."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            told = (entry / "environ").read_bytes().decode(errors="replace")
            directory = str((entry / "cwd").readlink())
            alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            if alive and (str(home) in command + told or Path(directory).is_relative_to(home)):
                found[int(entry.name)] = command
    found.pop(os.getpid(), None)
    return found


async def gone(home: Path, seconds: float = 8.0) -> bool:
    """Whether nothing of a home is left running, within a time."""
    for _ in range(int(seconds / 0.05)):
        if not processes_of(home):
            return True
        await asyncio.sleep(0.05)
    return False


def told(home: Home, name: str) -> dict[str, str]:
    """The settings that a toy was started with the last time."""
    lines = [line for line in home.log(name).read_text().splitlines() if line.startswith("{")]
    settings: dict[str, str] = json.loads(lines[-1])
    return settings


@contextlib.asynccontextmanager
async def supervisor(home: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The toy cluster under a supervisor of its own, up; ended at the end."""
    child = await asyncio.create_subprocess_exec(
        *SUPERVISOR,
        str(home),
        env=os.environ | environment,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        assert await asyncio.wait_for(child.stdout.readline(), 60) == b"up\n"
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await asyncio.wait_for(child.wait(), 60)


async def command(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs `commerce` with these arguments: its exit code, what it printed, what it complained."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cluster",
        *arguments,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode is not None
    return child.returncode, out.decode(), err.decode()
