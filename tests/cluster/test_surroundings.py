"""What the processes of a cluster find: their settings, their database, their secrets."""

import json

import asyncpg
import pytest

from services.cluster.cluster import Cluster
from services.cluster.home import Home
from tests.cluster.toys import TOYS, configure, told


async def test_a_service_is_told_where_everything_is(toy_cluster):
    settings = told(toy_cluster.home, "gamma")
    assert settings["COMMERCE_SERVICE"] == "gamma"
    assert settings["COMMERCE_LISTEN"] == toy_cluster.address("gamma")
    assert settings["COMMERCE_ALPHA_ADDRESS"] == toy_cluster.address("alpha")
    assert settings["COMMERCE_BETA_ADDRESS"] == toy_cluster.address("beta")
    assert settings["COMMERCE_NATS_URL"] == toy_cluster.nats_url
    assert settings["COMMERCE_DATABASE_URL"] == toy_cluster.dsn("gamma")
    assert settings["OTEL_SERVICE_NAME"] == "gamma"
    assert settings["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith("http://127.0.0.1:")


async def test_replicas_differ_only_in_their_address(toy_cluster):
    first, second = told(toy_cluster.home, "gamma"), told(toy_cluster.home, "gamma-2")
    assert {name for name in first if first[name] != second.get(name)} == {"COMMERCE_LISTEN"}
    assert toy_cluster.addresses("gamma") == [first["COMMERCE_LISTEN"], second["COMMERCE_LISTEN"]]


async def test_a_companion_and_its_service_share_what_the_definition_says_and_others_do_not(toy_cluster):
    till, owner, stranger = (told(toy_cluster.home, name) for name in ("till", "beta", "alpha"))
    assert till["COMMERCE_TILL_BOOK"] == f"{toy_cluster.home.path}/till/book.sqlite"
    assert till["COMMERCE_TILL_BACK"] == f"{toy_cluster.gateway_url}/back"
    assert owner["COMMERCE_TILL_URL"] == f"http://{toy_cluster.address('till')}"
    assert owner["COMMERCE_TILL_KEY"] == till["COMMERCE_TILL_KEY"] == toy_cluster.home.secret("till_key")
    assert "COMMERCE_TILL_KEY" not in stranger
    assert "COMMERCE_DATABASE_URL" not in till


async def test_a_role_makes_tables_in_its_own_schema_and_reaches_no_other(toy_cluster):
    await toy_cluster.wait_ready("postgres")
    alpha = await asyncpg.connect(toy_cluster.dsn("alpha"))
    beta = await asyncpg.connect(toy_cluster.dsn("beta"))
    try:
        await alpha.execute("CREATE TABLE IF NOT EXISTS thing (name text); SELECT 'a' <% 'b'")
        assert await alpha.fetchval("SELECT current_schema()") == "alpha"
        for statement in (
            "SELECT * FROM alpha.thing",
            "CREATE TABLE alpha.other (name text)",
            "CREATE TABLE public.other (name text)",
            "CREATE SCHEMA other",
            "SET ROLE alpha",
            "SET ROLE postgres",
            "CREATE TEMPORARY TABLE other (name text)",
            "CREATE ROLE other",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await beta.execute(statement)
    finally:
        await alpha.close()
        await beta.close()


async def test_a_role_needs_its_password_and_has_no_other_database(toy_cluster):
    await toy_cluster.wait_ready("postgres")
    dsn, password = toy_cluster.dsn("alpha"), toy_cluster.home.secret("database_alpha")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn.replace(password, "guess"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(dsn.replace("/commerce?", "/postgres?"))


async def test_secrets_are_closed_to_others_and_stay_the_same(toy_cluster):
    home = toy_cluster.home
    for file in [*(home.path / "secrets").iterdir(), home.keys / "private.json", home.state_file]:
        assert file.stat().st_mode & 0o077 == 0, file
    assert Home(home.path).secret("till_key") == home.secret("till_key")
    with pytest.raises(ValueError, match="not a name"):
        home.secret("../lock")


async def test_the_cluster_runs_on_servers_of_your_own_with_an_administrator_who_is_no_superuser(tmp_path):
    async with Cluster(tmp_path / "servers", definitions=(), configure=configure) as servers:
        database = await asyncpg.connect(servers.admin_dsn)
        await database.execute("CREATE ROLE chief LOGIN CREATEROLE CREATEDB PASSWORD 'chief'")
        await database.close()
        socket = servers.admin_dsn.partition("?")[2]
        own = {
            "COMMERCE_DATABASE_URL": f"postgresql://chief:chief@/postgres?{socket}",
            "COMMERCE_NATS_URL": servers.nats_url,
        }
        await _without_database(servers.admin_dsn)
        async with Cluster(
            tmp_path / "cluster", definitions=TOYS, configure=configure, environment=own
        ) as cluster:
            assert not {"postgres", "nats"} & cluster.processes.keys()
            assert "chief" not in json.dumps(told(cluster.home, "alpha"))
            alpha = await asyncpg.connect(cluster.dsn("alpha"))
            assert await alpha.fetchval("SELECT current_schema()") == "alpha"
            await alpha.close()


async def _without_database(dsn):
    """Leaves the server as a new one is: without our database."""
    server = await asyncpg.connect(dsn.replace("/commerce?", "/postgres?"))
    await server.execute("GRANT CONNECT ON DATABASE postgres TO PUBLIC")
    await server.execute("DROP DATABASE commerce")
    await server.close()
