"""The SQL that one checkout really runs, taken from PostgreSQL's own log and made into a pgbench script.

Every id that the checkout made becomes a fresh one in each run of the script, its products are drawn anew, and times
are far in the future, so that no driver takes the script's orders for its own.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from services.payment.ledger import seal_queries

_ENTRY = re.compile(r"^\S+ \S+ UTC \[(\d+)\] (\w+) (\w+):  (.*)$")
_PARAMETER = re.compile(r"\$(\d+) = (NULL|'(?:[^']|'')*')")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUIDS = re.compile(rf"'\{{((?:{_UUID.pattern}|NULL|,)+)\}}'")
# What asyncpg asks once a connection, to learn the types of arrays.
_DRIVERS_OWN = re.compile(r"typeinfo_tree|set_config\('jit'")
_THIS_CENTURY = re.compile(r"\b20(\d\d-\d\d-\d\d \d\d:\d\d)")
# The books of all stores are sealed every now and then, whoever has written them; and each link of a chain once.
_SEALING = " ".join(seal_queries.SEAL_LOCKED.sql.split())


@dataclass
class Statement:
    """A statement as it was run: its SQL with $1, $2 … and their values as SQL literals."""

    role: str
    sql: str
    values: dict[int, str] = field(default_factory=dict)


@dataclass
class Unit:
    """What was committed together."""

    statements: list[Statement]
    transaction: bool


async def recorded(
    database: asyncpg.Connection, log: Path, body: Callable[[], Awaitable[None]]
) -> list[Unit]:
    """Run a body while PostgreSQL logs every statement, and return what others than we ran, in order."""
    start, aside = log.stat().st_size, _aside(log)
    await _log(database, "all")
    try:
        await body()
        await asyncio.sleep(0.5)  # The last events are still on their way.
    finally:
        await _log(database, "none")
    text = log.read_bytes()
    if (moved := _aside(log)) != aside:
        text = moved + text
    return _units(_statements(text[start:].decode()))


def _aside(log: Path) -> bytes:
    """What was moved out of a log when it had grown too large (processes.bound_log)."""
    aside = log.with_suffix(".log.1")
    return aside.read_bytes() if aside.exists() else b""


async def _log(database: asyncpg.Connection, what: str) -> None:
    await database.execute(f"ALTER SYSTEM SET log_statement = '{what}'")
    await database.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)


def _statements(text: str) -> list[tuple[str, Statement]]:
    """The log's statements with the process that ran each."""
    entries: list[tuple[str, str, str, str]] = []
    for line in text.splitlines():
        if match := _ENTRY.match(line):
            entries.append((match[1], match[2], match[3], match[4]))
        elif entries:
            process, role, kind, words = entries[-1]
            entries[-1] = (process, role, kind, f"{words} {line.strip()}")
    found: list[tuple[str, Statement]] = []
    for process, role, kind, words in entries:
        head, _, rest = words.partition(": ")
        if kind == "LOG" and (head == "statement" or head.startswith("execute")):
            found.append((process, Statement(role, rest.strip())))
        elif kind == "DETAIL" and head == "Parameters":
            latest = next((statement for owner, statement in reversed(found) if owner == process), None)
            if latest is None:
                continue  # Of a statement that took so long that it is told a second time.
            latest.values = {int(number): value for number, value in _PARAMETER.findall(rest)}
    return [
        (process, statement)
        for process, statement in found
        if statement.role != "postgres" and not _DRIVERS_OWN.search(statement.sql)
    ]


def _units(statements: Iterable[tuple[str, Statement]]) -> list[Unit]:
    """Transactions and single statements in the order of their ends; without those that name nothing."""
    opened: dict[str, list[Statement]] = {}
    units: list[Unit] = []
    for process, statement in statements:
        if statement.sql == "BEGIN":
            opened[process] = []
        elif statement.sql in ("COMMIT", "ROLLBACK"):
            units.append(Unit(opened.pop(process, []), True))
        elif process in opened:
            opened[process].append(statement)
        else:
            units.append(Unit([statement], False))
    return [unit for unit in units if any(map(_names_something, unit.statements)) and not _seals(unit)]


def _seals(unit: Unit) -> bool:
    return any(" ".join(statement.sql.split()) == _SEALING for statement in unit.statements)


def _names_something(statement: Statement) -> bool:
    """Whether a statement is about certain rows: a look at what is due has no id among its values."""
    return any(_UUID.search(value) for value in statement.values.values())


def only(units: Sequence[Unit], wanted: set[str]) -> list[Unit]:
    """The single statements with this SQL, in the order in which they ran."""
    flat = {" ".join(sql.split()) for sql in wanted}
    return [
        unit
        for unit in units
        if not unit.transaction and all(" ".join(each.sql.split()) in flat for each in unit.statements)
    ]


async def schemas(database: asyncpg.Connection) -> dict[str, list[str]]:
    """The tables of each role's schema."""
    tables: dict[str, list[str]] = {}
    for row in await database.fetch("SELECT schemaname, tablename FROM pg_tables"):
        tables.setdefault(row["schemaname"], []).append(row["tablename"])
    return tables


def script(
    units: Sequence[Unit], tables: Mapping[str, Sequence[str]], given: Mapping[str, str], source: str = ""
) -> str:
    """A pgbench script that runs the units with fresh ids.

    `tables` are those of each role's schema. `given` says what becomes of ids that were there before: the variable that
    takes their place, "first_product", or "" where they stay. `source` is where the row is whose columns are such
    variables: "bench.picks WHERE …".
    """
    names = {known: f":{variable}" if variable else f"'{known}'" for known, variable in given.items()}
    lines = []
    for unit in units:
        body = [_filled(statement, tables[statement.role], names) for statement in unit.statements]
        lines += ["BEGIN;", *body, "COMMIT;"] if unit.transaction else body
    made = [name[1:] for known, name in names.items() if known not in given]
    fresh = [f"gen_random_uuid() AS {name}" for name in made]
    chosen = [variable for variable in given.values() if variable]
    picks = f"SELECT {', '.join(chosen + fresh)} {f'FROM {source} ' if source else ''}\\gset"
    return "\n".join([picks, *lines, ""])


def _filled(statement: Statement, tables: Sequence[str], names: dict[str, str]) -> str:
    sql = " ".join(statement.sql.split())
    for table in tables:
        place = rf"\b(FROM|JOIN|INTO|UPDATE) {table}\b"
        sql = re.sub(place, rf'\1 "{statement.role}".{table}', sql)
    values = {number: _value(value, names) for number, value in statement.values.items()}
    return re.sub(r"\$(\d+)", lambda match: values[int(match[1])], sql) + ";"


def _value(value: str, names: dict[str, str]) -> str:
    if _UUID.search(value) and (match := _UUIDS.fullmatch(value)):
        elements = [each if each == "NULL" else _named(each, names) for each in match[1].split(",")]
        return f"ARRAY[{', '.join(elements)}]::uuid[]"
    if _UUID.fullmatch(value.strip("'")):
        return f"{_named(value.strip(chr(39)), names)}::uuid"
    if (number := value.strip("'{}")) in names:
        return f"ARRAY[{names[number]}::bigint]"
    return _THIS_CENTURY.sub(r"21\1", value)


def _named(known: str, names: dict[str, str]) -> str:
    return names.setdefault(known, f":made_{len(names)}")
