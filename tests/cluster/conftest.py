"""One toy cluster for the tests that only look at it or hurt a process of it, and empty schemas on its server."""

from uuid import uuid4

import asyncpg
import pytest

from services.cluster.cluster import Cluster
from services.cluster.roles import in_database
from tests.cluster.schemas import EXTENSIONS, Schema
from tests.cluster.toys import TOYS, configure


@pytest.fixture(scope="package")
async def toy_cluster(tmp_path_factory):
    async with Cluster(
        tmp_path_factory.mktemp("toys"), replicas={"gamma": 2}, definitions=TOYS, configure=configure
    ) as cluster:
        yield cluster


@pytest.fixture(scope="package")
async def scratch(toy_cluster):
    """The address of a database of its own on the cluster's server."""
    name = f"migrations_{uuid4().hex}"
    server = await asyncpg.connect(toy_cluster.admin_dsn)
    await server.execute(f"CREATE DATABASE {name}")
    dsn = in_database(toy_cluster.admin_dsn, name)
    database = await asyncpg.connect(dsn)
    await database.execute("CREATE SCHEMA extensions")
    for extension in EXTENSIONS:
        await database.execute(f'CREATE EXTENSION "{extension}" SCHEMA extensions')
    await database.close()
    yield dsn
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def schema(scratch):
    """Makes empty schemas."""
    made = []

    async def make() -> Schema:
        made.append(Schema(scratch, f"s{uuid4().hex}"))
        await made[-1].rows(f"CREATE SCHEMA {made[-1].name}")
        return made[-1]

    yield make
    for each in made:
        await each.rows(f"DROP SCHEMA {each.name} CASCADE")
