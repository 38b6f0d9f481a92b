"""Whether a process lives is asked at little cost, and who hangs is found all the same."""

import asyncio
from contextlib import suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from services.cluster import readiness


@pytest.fixture
async def server():
    """The address of a gRPC server that tells its health."""
    serving = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    await serving.start()
    yield f"127.0.0.1:{port}"
    await serving.stop(0)


class Between:
    """Stands between who asks and a server: counts the connections, and may let nothing through."""

    def __init__(self, server):
        self._server = server
        self.address = ""
        self.connections, self.silent = 0, False

    async def take(self, reader, writer):
        self.connections += 1
        there = await asyncio.open_connection(*self._server.split(":"))
        with suppress(OSError):
            await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                if not self.silent:
                    writer.write(data)
        finally:
            writer.close()


@pytest.fixture
async def between(server):
    standing = Between(server)
    listening = await asyncio.start_server(standing.take, "127.0.0.1", 0)
    standing.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield standing
    listening.close()


async def test_who_answers_is_asked_again_over_the_same_connection(between):
    alive = readiness.grpc_alive(between.address)

    assert [await alive() for _ in range(5)] == [True] * 5

    assert between.connections == 1


async def test_who_was_silent_is_asked_over_another_connection(between, monkeypatch):
    alive = readiness.grpc_alive(between.address)
    assert await alive()
    between.silent = True
    monkeypatch.setattr(readiness, "ALIVE_SECONDS", 0.2)
    assert not await alive()

    between.silent = False
    monkeypatch.setattr(readiness, "ALIVE_SECONDS", 5)

    assert await alive()
    assert between.connections == 2


async def test_a_database_that_only_listens_does_not_live(tmp_path, monkeypatch):
    monkeypatch.setattr(readiness, "ALIVE_SECONDS", 0.2)
    path = str(tmp_path / "socket")

    async def say_nothing(reader, writer):
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, path):
        assert not await readiness.postgres_alive(path)()


async def test_a_database_is_asked_without_a_word_of_it_in_its_log(toy_cluster):
    database = toy_cluster.process("postgres")
    before = database.spec.log.stat().st_size

    assert await readiness.postgres_alive(database.spec.address)()

    assert "FATAL" not in database.spec.log.read_text()[before:]
