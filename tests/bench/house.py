"""What the rows share: a directory, servers to compare with and clusters, each started when it is asked for."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg

from services.cluster import postgres
from services.cluster.cluster import Cluster
from tests.bench import processes
from tests.shop import Clients, Shop

# As in production: one trace in ten is recorded, and its spans leave the process.
SAMPLED = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
# One store does all that the machine can.
UNPACED = {"COMMERCE_STORE_CALLS_A_SECOND": "1e6", "COMMERCE_CALLER_STREAMS": "20000"}


class House:
    """Ends with its stack. `seconds` is the length of one round of one run."""

    def __init__(self, folder: Path, seconds: float, stack: AsyncExitStack) -> None:
        self.folder, self.seconds = folder, seconds
        self._stack = stack
        self._sink = ""
        self._bare: tuple[str, int] | None = None
        self._cluster: Cluster | None = None
        self._shop: Shop | None = None
        self._database: asyncpg.Connection | None = None
        self.market: Any = None  # Of market.py.
        self.till: Any = None  # Of till.py.
        self.capacity = 0.0  # Checkouts a second, once they were measured.

    async def telemetry(self) -> dict[str, str]:
        """Settings with which a process samples, and exports to somebody who forgets."""
        if not self._sink:
            self._sink = processes.free_address()
            await self._stack.enter_async_context(processes.python("tests.bench.served", "sink", self._sink))
        return SAMPLED | UNPACED | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self._sink}"}

    async def serve(self, kind: str, environment: dict[str, str] | None = None) -> tuple[str, int]:
        """Start a server of served.py; its address and process id."""
        address = processes.free_address()
        program = processes.python("tests.bench.served", kind, address, environment=environment)
        process = await self._stack.enter_async_context(program)
        return address, process.pid

    async def bare(self) -> tuple[str, int]:
        """The server that everything is compared with: grpc.aio by itself."""
        if self._bare is None:
            self._bare = await self.serve("bare")
        return self._bare

    async def cluster(self) -> Cluster:
        """The whole cluster."""
        if self._cluster is None:
            self._cluster = await self.start("home")
        return self._cluster

    async def start(self, name: str, *services: str) -> Cluster:
        """Start another cluster, of some services or of all; `name` is its directory's."""
        # The values of statements, which a log should not hold, are what recorded.py is after.
        postgres.SETTINGS["log_error_verbosity"] = "default"
        cluster = Cluster(self.folder / name, services or None, environment=await self.telemetry())
        return await self._stack.enter_async_context(cluster)

    async def shop(self) -> Shop:
        """A store on the cluster."""
        if self._shop is None:
            clients = Clients(await self.cluster())
            self._stack.push_async_callback(clients.close)
            self._shop = Shop(clients)
        return self._shop

    async def database(self) -> asyncpg.Connection:
        """The whole cluster's database, for its administrator."""
        if self._database is None:
            self._database = await self.connect(await self.cluster())
        return self._database

    async def connect(self, cluster: Cluster) -> asyncpg.Connection:
        """A cluster's database, for its administrator."""
        database = await asyncpg.connect(cluster.admin_dsn)
        self._stack.push_async_callback(database.close)
        return database
