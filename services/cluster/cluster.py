"""The cluster as one object: `async with Cluster(home) as cluster` runs everything on real parts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from services.cluster import envoy, nats, plan, postgres, roles, tokens
from services.cluster.home import Home
from services.cluster.plan import Plan, Surroundings
from services.cluster.ports import Ports
from services.cluster.processes import Process, Spec, StartFailed, bound_log
from services.cluster.traces.spans import Collector
from services.runtime.definition import Companion, Definition, chosen, with_wanted_companions

HOUSEKEEPING_SECONDS = 5.0


class Cluster:
    """PostgreSQL, NATS, the services with their companions, and Envoy, supervised by this process.

    `services` are codes (None: all), `replicas` numbers by code, `environment` goes to every service.
    `definitions` and `configure` put stand-ins in the place of the repository's services and gateway.
    The thread that starts it must outlive it: the processes are bound to that thread's life.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        services: Iterable[str] | None = None,
        replicas: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        definitions: Sequence[Definition] | None = None,
        configure: envoy.Configure | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.home = Home(home)
        self._extra = dict(environment or {})
        self._told = dict(os.environ) | self._extra
        self.chosen = with_wanted_companions(chosen(services, definitions), self._told)
        self.processes: dict[str, Process] = {}
        self.nats_url = self.admin_dsn = ""
        self._replicas = {definition.code: 1 for definition in self.chosen} | dict(replicas or {})
        self.kind = self._told.get("COMMERCE_ENVIRONMENT", tokens.DEVELOPMENT)
        self._configure = configure
        self._changed = changed
        self.started = False
        self._ports = Ports()
        self._plan: Plan | None = None
        self._databases: dict[str, str] = {}
        self._collector: Collector | None = None
        self._otlp = ""
        self._admin = ""
        self._waves: list[list[Process]] = []
        self._chores: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # What tests and the demo ask.

    @property
    def layout(self) -> Plan:
        if self._plan is None:
            raise RuntimeError("the cluster has not started")
        return self._plan

    @property
    def gateway_url(self) -> str:
        return self.layout.gateway

    def address(self, code: str) -> str:
        """host:port of a service's first replica, or of a companion."""
        return self.layout.companions.get(code) or self.layout.addresses[code][0]

    def addresses(self, code: str) -> Sequence[str]:
        return self.layout.addresses[code]

    def dsn(self, code: str) -> str:
        """The database as a service's own role sees it."""
        return self._databases[code]

    def process(self, name: str) -> Process:
        """By name: postgres, nats, envoy, a companion's code, a service's code; order-2 is its second replica."""
        return self.processes[name]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self.processes[name].kill(number)

    async def wait_ready(self, name: str, timeout_seconds: float = 60.0) -> None:
        await self.processes[name].wait_ready(timeout_seconds)

    def token(
        self,
        role: str,
        store: str | None = None,
        customer: str | None = None,
        subject: str | None = None,
        lifetime: float = tokens.LIFETIME_SECONDS,
    ) -> str:
        tokens.check_development(self.kind)
        return tokens.mint(self.home, role, store, customer, subject, lifetime)

    def status(self) -> dict[str, Any]:
        """What `commerce status -o json` prints."""
        layout = self.layout
        return {
            "gateway": layout.gateway,
            "services": {code: addresses[0] for code, addresses in layout.addresses.items()},
            "database": self.admin_dsn,
            "nats": self.nats_url,
            "environment": self.kind,
            "home": str(self.home.path),
            "supervisor": os.getpid(),
            "replicas": {code: list(addresses) for code, addresses in layout.addresses.items()},
            "companions": dict(layout.companions),
            "ready_paths": {
                companion.code: companion.ready_path
                for definition in self.chosen
                for companion in definition.companions
            },
            "otlp": self._otlp,
            "spans": str(self.spans_file) if self._collector else None,
            "envoy_admin": f"http://{self._admin}",
            "processes": {
                name: {
                    "pid": process.pid,
                    "state": process.state.value,
                    "address": process.spec.address,
                    "restarts": process.restarts,
                    "hangs": process.hangs,
                    "log": str(process.spec.log),
                }
                for name, process in self.processes.items()
            },
        }

    @property
    def spans_file(self) -> Path:
        return self.home.path / "spans.sqlite"

    async def wipe_jetstream(self) -> None:
        """Deletes JetStream's whole store under the running cluster: NATS stops, forgets everything, starts."""
        await self.processes["nats"].stop()
        nats.delete_store(self.home)
        await self.processes["nats"].start()

    # Its life.

    async def start(self) -> None:
        """Returns when everything is ready. Raises HomeError, Unsatisfied or StartFailed, with nothing left running."""
        self.home.prepare()
        self.home.lock()
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops everything in reverse order: those that started together stop together."""
        self.started = False
        for chore in self._chores:
            chore.cancel()
        for wave in reversed(self._waves):
            await asyncio.gather(*(process.stop() for process in wave))
        self._waves.clear()
        if self._collector is not None:
            await self._collector.stop()
            self._collector = None
        self._ports.release()
        self.home.state_file.unlink(missing_ok=True)
        self.home.unlock()

    async def _start(self) -> None:
        self._plan = plan.lay_out(self.chosen, self._replicas, self._ports, envoy.PORT)
        self._admin = f"127.0.0.1:{self._ports.claim(envoy.ADMIN_PORT)}"
        jwks = tokens.publish(self.home, self.kind)
        self._otlp = self._told.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
        if not self._otlp:
            self._collector = Collector(self.spans_file)
            self._otlp = f"http://{await self._collector.start()}"
        await _together(self._start_database(), self._start_nats())
        around = Surroundings(
            home=self.home,
            databases=self._databases,
            nats_url=self.nats_url,
            jwks=jwks,
            environment=self.kind,
            extra={"OTEL_EXPORTER_OTLP_ENDPOINT": self._otlp, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
            | self._extra,
        )
        await self._start_services(around)
        configure = self._configure or _repository_gateway()
        told = self._told | {"COMMERCE_ENVIRONMENT": self.kind, "OTEL_EXPORTER_OTLP_ENDPOINT": self._otlp}
        await self._run([envoy.prepare(self.home, self.layout, configure, self._admin, jwks, told)])
        self.home.beat.touch()
        chores = (self._keep_house(), tokens.follow(self.home, self.kind))
        self._chores = [asyncio.create_task(chore) for chore in chores]
        self.started = True
        self._tell()

    async def _start_database(self) -> None:
        self.admin_dsn = self._told.get("COMMERCE_DATABASE_URL", "")
        limits = roles.limits(
            self._replicas, int(self._told.get("COMMERCE_DATABASE_CONNECTIONS", roles.POOL))
        )
        if ours := not self.admin_dsn:
            connections = roles.CONNECTIONS_BESIDES + sum(limits.values())
            spec, self.admin_dsn = await postgres.prepare(self.home, connections)
            await self._run([spec])
        try:
            self._databases = await roles.provision(self.home, self.admin_dsn, self.chosen, limits, ours)
        except (OSError, asyncpg.PostgresError) as error:
            raise StartFailed(f"the database could not be made ready: {error}") from error
        self.admin_dsn = roles.in_database(self.admin_dsn)

    async def _start_nats(self) -> None:
        self.nats_url = self._told.get("COMMERCE_NATS_URL", "")
        if not self.nats_url:
            spec, self.nats_url = nats.prepare(self.home, self._ports.claim(nats.PORT))
            await self._run([spec])

    async def _start_services(self, around: Surroundings) -> None:
        """Each service as soon as those that it requires are ready, and its companions with them."""
        ready = {definition.code: asyncio.Event() for definition in self.chosen}

        async def start(definition: Definition) -> None:
            for code in definition.requires:
                await ready[code].wait()
            await self._run([self._companion(companion, around) for companion in definition.companions])
            await self._run(plan.service_specs(self.layout, definition, around))
            ready[definition.code].set()

        await _together(*(start(definition) for definition in self.chosen))

    def _companion(self, companion: Companion, around: Surroundings) -> Spec:
        (self.home.path / companion.code).mkdir(exist_ok=True)
        return plan.companion_spec(self.layout, companion, around)

    async def _run(self, specs: Sequence[Spec]) -> None:
        """Starts processes together; they stop together, before everything that started earlier."""
        wave = [Process(spec, self._tell) for spec in specs]
        self.processes |= {process.name: process for process in wave}
        self._waves.append(wave)
        await _together(*(process.start() for process in wave))

    def _tell(self) -> None:
        # A home that was deleted, or a full disk, must not keep the processes from being stopped.
        with contextlib.suppress(OSError):
            self.home.write_state(self.status())
        self._changed()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            with contextlib.suppress(OSError):
                self.home.beat.touch()
            for process in self.processes.values():
                with contextlib.suppress(OSError):
                    bound_log(process.spec.log)


def _repository_gateway() -> envoy.Configure:
    from services.gateway.config import envoy_config

    return envoy_config


async def _together(*work: Any) -> None:
    """Runs all; the first failure ends the others and is raised alone. Cancelled, it is, whatever fails by that."""
    if not work:
        return
    tasks = [asyncio.create_task(one) for one in work]
    try:
        # A TaskGroup would raise what fails while it is cancelled, and forget that it is.
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
