"""What containers must find, made by the code of the embedded cluster: `python -m services.cluster.provision STEP`.

    folders    an empty folder for each container that is told something
    servers    before PostgreSQL and NATS start: their passwords and settings, and the public keys for all
    services   once PostgreSQL answers: roles and schemas, and what each service and companion is told

Every container has a folder of its own, COMMERCE_SETTINGS_ROOT/<container>, mounts no other's, and finds it under the
same path. All steps are safe to repeat. COMMERCE_HOME keeps the keys and secrets; no container but this one needs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from services.cluster import envoy, nats, plan, postgres, roles, tokens
from services.cluster.home import Home
from services.cluster.plan import Plan, Surroundings
from services.runtime.definition import chosen, with_wanted_companions

SETTINGS = "settings.json"
JWKS = "jwks.json"
DESCRIPTORS = "descriptors.binpb"
POSTGRES, NATS, GATEWAY = "postgres", "nats", "gateway"
POSTGRES_PORT = 5432
NATS_STORE = "/data"
NATS_HEALTH = 'http: "127.0.0.1:8222"\n'
# What one step tells another process; everything else in an environment is its container's own business.
PREFIXES = ("COMMERCE_", "OTEL_")


def network(told: Mapping[str, str]) -> Plan:
    """The cluster on a network where each service is found by its code."""
    services = with_wanted_companions(chosen(), told)
    return Plan(
        chosen=services,
        # All the addresses of the name: there may be several replicas.
        addresses={item.code: [f"dns:///{item.code}:{item.port}"] for item in services},
        companions={each.code: f"{each.code}:{each.port}" for item in services for each in item.companions},
        gateway=f"http://{GATEWAY}:{envoy.PORT}",
    )


class Provisioning:
    """One run of a step."""

    def __init__(self, root: Path, home: Home, environment: Mapping[str, str]) -> None:
        self._root, self._home, self._environment = root, home, environment
        self.layout = network(environment)
        pool = int(environment.get("COMMERCE_DATABASE_CONNECTIONS", roles.POOL))
        replicas = int(environment.get("COMMERCE_REPLICAS", 1))
        self._limits = roles.limits({item.code: replicas for item in self.layout.chosen}, pool)

    def folders(self) -> None:
        layout = network({})  # For whatever may run one day.
        for name in (POSTGRES, NATS, GATEWAY, *layout.addresses, *layout.companions):
            (self._root / name).mkdir(parents=True, exist_ok=True)

    def servers(self) -> None:
        self._home.prepare()
        self._write(POSTGRES, "password", self._home.secret(POSTGRES))
        connections = roles.CONNECTIONS_BESIDES + sum(self._limits.values())
        settings = postgres.SETTINGS | {"listen_addresses": "*", "max_connections": str(connections)}
        self._write(
            POSTGRES, "postgresql.conf", "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        )
        configuration = nats.CONFIGURATION.format(
            address=f"0.0.0.0:{nats.PORT}", user=nats.USER, password=self._home.secret(NATS), store=NATS_STORE
        )
        self._write(NATS, "nats.conf", configuration + NATS_HEALTH)
        keys = tokens.publish(self._home, self._environment.get("COMMERCE_ENVIRONMENT", tokens.DEVELOPMENT))
        for name in (GATEWAY, *self.layout.addresses):
            self._write(name, JWKS, keys.read_text())
        descriptors = files("commerce") / DESCRIPTORS
        self._write(GATEWAY, DESCRIPTORS, descriptors.read_bytes())

    async def services(self) -> None:
        layout = self.layout
        admin = f"{postgres.ADMIN}:{self._home.secret(POSTGRES)}@{POSTGRES}:{POSTGRES_PORT}"
        databases = await roles.provision(
            self._home, f"postgresql://{admin}/{postgres.ADMIN}", layout.chosen, self._limits, ours=True
        )
        for definition in layout.chosen:
            around = Surroundings(
                home=self._home,
                databases=databases,
                nats_url=f"nats://{nats.USER}:{self._home.secret(NATS)}@{NATS}:{nats.PORT}",
                jwks=self._root / definition.code / JWKS,
                environment=self._environment.get("COMMERCE_ENVIRONMENT", tokens.DEVELOPMENT),
                extra={},
            )
            (spec,) = plan.service_specs(layout, definition, around)
            self._tell(definition.code, spec.environment)
            for companion in definition.companions:
                self._tell(companion.code, plan.companion_spec(layout, companion, around).environment)

    def _tell(self, name: str, settings: Mapping[str, str]) -> None:
        """Leaves out what this process was told itself, and where to listen: that is each container's own."""
        told = {
            key: value
            for key, value in settings.items()
            if key.startswith(PREFIXES)
            and not key.endswith("_LISTEN")
            and self._environment.get(key) != value
        }
        self._write(name, SETTINGS, json.dumps(told, indent=1))

    def _write(self, name: str, file: str, content: str | bytes) -> None:
        """Replaces a file whole. Whoever mounts the folder may read it, as whatever user: the mount is the fence."""
        path = self._root / name / file
        fresh = path.with_name(f".{file}")
        fresh.unlink(missing_ok=True)
        fresh.write_bytes(content.encode() if isinstance(content, str) else content)
        fresh.chmod(0o444)
        fresh.replace(path)


def main(arguments: Sequence[str]) -> None:
    root = Path(os.environ.get("COMMERCE_SETTINGS_ROOT", "/settings"))
    run = Provisioning(root, Home(), os.environ)
    match arguments:
        case ["folders"]:
            run.folders()
        case ["servers"]:
            run.servers()
        case ["services"]:
            asyncio.run(run.services())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
