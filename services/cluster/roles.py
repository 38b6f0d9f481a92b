"""The database as the services find it: one role and one schema for each, and no way to another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from services.cluster.home import Home
from services.cluster.postgres import DATABASE
from services.runtime.definition import Definition

POOL = 10
# Administration, autovacuum, and a person looking in.
CONNECTIONS_BESIDES = 20
EXTENSIONS_SCHEMA = "extensions"
ROLE_SETTINGS = {
    "lock_timeout": "5s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
}


def limits(replicas: Mapping[str, int], pool: int = POOL) -> dict[str, int]:
    """The connections of each role, for processes that open up to `pool` each.

    Twice what they need and two for migrations: those of a killed process linger while its successor connects.
    """
    return {code: 2 * (pool + 1) * count for code, count in replicas.items()}


async def provision(
    home: Home, admin_dsn: str, chosen: Sequence[Definition], limits: Mapping[str, int], ours: bool
) -> dict[str, str]:
    """Makes whatever is missing; each service's own address by its code. Safe to repeat.

    On a server of `ours` the roles are kept out of its other databases, too.
    """
    passwords = {definition.code: home.secret(f"database_{definition.code}") for definition in chosen}
    server = await asyncpg.connect(admin_dsn)
    try:
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f"CREATE DATABASE {DATABASE}")
        databases = f"{DATABASE}, postgres, template1" if ours else DATABASE
        await server.execute(f"REVOKE ALL ON DATABASE {databases} FROM PUBLIC")
    finally:
        await server.close()
    database = await asyncpg.connect(in_database(admin_dsn))
    try:
        async with database.transaction():
            # Two clusters may share one server: one provisions at a time.
            await database.execute("SELECT pg_advisory_xact_lock(hashtext('commerce provision'))")
            await database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for definition in chosen:
                code = definition.code
                await database.execute(await _statements(database, definition, passwords[code], limits[code]))
    finally:
        await database.close()
    return {code: as_role(admin_dsn, code, password) for code, password in passwords.items()}


async def _statements(database: asyncpg.Connection, definition: Definition, password: str, limit: int) -> str:
    role = f'"{definition.code}"'
    exists = await database.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", definition.code)
    search_path = f"{role}, {EXTENSIONS_SCHEMA}" if definition.extensions else role
    statements = [
        f"{'ALTER' if exists else 'CREATE'} ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT "
        f"NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {limit} PASSWORD '{password}'",
        f"GRANT CONNECT ON DATABASE {DATABASE} TO {role}",
        # An administrator who is no superuser must belong to a role to make a schema for it.
        f"GRANT {role} TO CURRENT_USER" if not await _is_superuser(database) else "",
        f"CREATE SCHEMA IF NOT EXISTS {role} AUTHORIZATION {role}",
        f"REVOKE ALL ON SCHEMA {role} FROM PUBLIC",
        f"ALTER ROLE {role} SET search_path = {search_path}",
        *(f"ALTER ROLE {role} SET {name} = '{value}'" for name, value in ROLE_SETTINGS.items()),
    ]
    if definition.extensions:
        statements += [f"CREATE SCHEMA IF NOT EXISTS {EXTENSIONS_SCHEMA}"]
        statements += [f"GRANT USAGE ON SCHEMA {EXTENSIONS_SCHEMA} TO {role}"]
        statements += [
            f'CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA {EXTENSIONS_SCHEMA}'
            for name in definition.extensions
        ]
    return ";\n".join(statement for statement in statements if statement)


async def _is_superuser(database: asyncpg.Connection) -> bool:
    return bool(await database.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER"))


def in_database(dsn: str, name: str = DATABASE) -> str:
    """The same server and user, another database."""
    return _rebuilt(dsn, path=f"/{name}")


def as_role(dsn: str, role: str, password: str) -> str:
    """The same server, our database, another role."""
    server = urlsplit(dsn).netloc.rpartition("@")[2]
    return _rebuilt(in_database(dsn), netloc=f"{quote(role)}:{quote(password)}@{server}")


def _rebuilt(dsn: str, **parts: str) -> str:
    address = urlunsplit(urlsplit(dsn)._replace(**parts))
    # urlunsplit leaves out the empty host of a Unix socket's address.
    return address if "://" in address else address.replace(":", "://", 1)
