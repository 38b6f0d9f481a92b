"""SQLAlchemy writes the SQL, once, at import; asyncpg runs it prepared (database.py).

ORDER_LOCKED = statement(select(orders).where(orders.c.order_id == param("order_id")).with_for_update())
"""

from typing import Any

from sqlalchemy import Dialect, bindparam, func
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.elements import BindParameter

_DIALECT: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]


class Statement:
    """SQL with `$1`-numbered parameters, and the names that go there."""

    __slots__ = ("_given", "fresh_plan", "name", "sql")

    def __init__(self, core: Executable, name: str = "", fresh_plan: bool = False) -> None:
        compiled = core.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        self.sql: str = compiled.string
        self.fresh_plan = fresh_plan
        self.name = name or self.sql.split(None, 1)[0]
        required = {key for bind, key in compiled.bind_names.items() if bind.required}
        self._given: list[tuple[str | None, Any]] = [
            (key, None) if key in required else (None, compiled.params[key])
            for key in compiled.positiontup or ()
        ]

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """Return the values in the order of the parameters. A missing one is a KeyError with its name."""
        return [value if key is None else values[key] for key, value in self._given]


def statement(core: Executable, name: str = "", fresh_plan: bool = False) -> Statement:
    """Compile a statement; `name` is what traces call it.

    With `fresh_plan` PostgreSQL plans each run for its values: for a search, whose index depends on what is looked for.
    """
    return Statement(core, name, fresh_plan)


def param(name: str, type_: Any = None) -> BindParameter[Any]:
    """A value that each run gives by name. The type is that of what it is compared with, where none is said."""
    return bindparam(name, type_=type_, required=True)


def given(*columns: tuple[str, Any], name: str = "given", prefix: str = "") -> Any:
    """Return arrays as one table; each run gives the array of a column by the prefix and the column's name."""
    arrays = (param(f"{prefix}{column}", type_) for column, type_ in columns)
    table = func.unnest(*arrays).table_valued(*(column for column, _ in columns), name=name)
    return table.render_derived(name=name)
