"""The categories of a store: SQL with a name.

Whoever changes a store's tree holds its lock, and reads the tree by statements that begin after that, so that they see
what others did meanwhile: moves at once close no circle, and give no two categories one name at one place.
"""

from typing import Any

from commerce.catalog.v1.catalog_pb2 import Category
from commerce.common.v1.error_reason_pb2 import ErrorReason
from sqlalchemy import CTE, Text, cast, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from services.catalog.queries import visible
from services.catalog.tables import categories
from services.catalog.tree import MOST_CATEGORIES
from services.runtime.columns import ID
from services.runtime.database import Row, Runs
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement, param, statement
from services.runtime.texts import folded

_c = categories.c


def _lock(store: ColumnElement[Any]) -> ColumnElement[Any]:
    key = func.concat(literal_column("'categories of '"), cast(store, Text))
    return func.pg_advisory_xact_lock(func.hashtextextended(key, literal_column("0")))


def _reached(name: str, up: bool) -> CTE:
    """The category that is given, and all that it lies in or all that lies in it."""
    first = select(_c.category_id, _c.parent_id).where(
        _c.category_id == param("category_id"), _c.store_id == param("store", ID)
    )
    reached = first.cte(name, recursive=True)
    is_next = _c.category_id == reached.c.parent_id if up else _c.parent_id == reached.c.category_id
    return reached.union_all(select(_c.category_id, _c.parent_id).join(reached, is_next))


_BELOW = statement(select(_reached("below", up=False).c.category_id), "categories below")
_PATH = statement(select(_reached("path", up=True).c.category_id), "path of a category")
_LOCK = statement(select(_lock(param("store", ID))), "tree locked")
_LOCK_OF = statement(
    select(_c.store_id, _lock(_c.store_id)).where(
        _c.category_id == param("category_id"), visible(_c.store_id)
    ),
    "tree of a category locked",
)
_GET = statement(select(categories).where(_c.category_id == param("category_id")), "category")
_LIST = statement(select(categories).where(_c.store_id == param("store")), "categories")
_EXISTS = statement(
    select(_c.category_id).where(_c.category_id == param("category_id"), _c.store_id == param("store")),
    "category of a store",
)
_COUNT = statement(
    select(func.count().label("number")).select_from(categories).where(_c.store_id == param("store")),
    "number of categories",
)
_SIBLING = statement(
    select(_c.category_id, _c.name).where(
        _c.store_id == param("store_id"),
        _c.parent_id.is_not_distinct_from(param("parent_id")),
        or_(_c.name == param("name"), _c.name_folded == param("name_folded")),
        _c.category_id != param("category_id"),
    ),
    "sibling of that name",
)
_new = upsert(categories).values({column.name: param(column.name) for column in _c})
_RECORD = statement(
    _new.on_conflict_do_update(
        index_elements=["category_id"],
        set_={name: _new.excluded[name] for name in ("parent_id", "name", "name_folded")},
    ),
    "category recorded",
)


async def lock(db: Runs, store: str) -> None:
    """Keep everybody else from changing the store's tree until the work ends."""
    await db.rows(_LOCK, store=store)


async def category_locked(db: Runs, category_id: str, store: str | None) -> Category:
    """Return a category, whose tree nobody else changes until the work ends. Refused with CATEGORY_NOT_FOUND."""
    if await db.row(_LOCK_OF, category_id=category_id, store=store) is None:
        raise _not_found(category_id)
    row = await db.row(_GET, category_id=category_id)
    assert row is not None  # No category is ever deleted.
    return _category(row)


async def path(db: Runs, category_id: str, store: str) -> list[str]:
    """Return the ids of a category and of all that it lies in; none for the top. Refused with CATEGORY_NOT_FOUND."""
    return await _ids(db, _PATH, category_id, store)


async def below(db: Runs, category_id: str, store: str) -> list[str]:
    """Return the ids of a category and of all that lies in it; none for none. Refused with CATEGORY_NOT_FOUND."""
    return await _ids(db, _BELOW, category_id, store)


async def check(db: Runs, category_id: str, store: str) -> None:
    """Refuse with CATEGORY_NOT_FOUND what is neither empty nor a category of the store."""
    if category_id and await db.row(_EXISTS, category_id=category_id, store=store) is None:
        raise _not_found(category_id)


async def check_room(db: Runs, store: str) -> None:
    """Refuse with CATEGORIES_TOO_MANY when the store may have no more."""
    row = await db.row(_COUNT, store=store)
    assert row is not None
    if row["number"] >= MOST_CATEGORIES:
        raise Refusal(
            ErrorReason.ERROR_REASON_CATEGORIES_TOO_MANY,
            f"A store may have {MOST_CATEGORIES} categories",
            limit=MOST_CATEGORIES,
        )


async def record(db: Runs, category: Category) -> None:
    """Record a category, whose tree is locked, as it is now. Refused with CATEGORY_NAME_TAKEN."""
    row = {
        "category_id": category.category_id,
        "store_id": category.store_id,
        "parent_id": category.parent_id or None,
        "name": category.name,
        "name_folded": folded(category.name),
    }
    if sibling := await db.row(_SIBLING, **row):
        raise Refusal(
            ErrorReason.ERROR_REASON_CATEGORY_NAME_TAKEN,
            f"The category {sibling['category_id']} at this place is called {sibling['name']}",
            name=sibling["name"],
            category_id=sibling["category_id"],
        )
    await db.rows(_RECORD, **row)


async def categories_of(db: Runs, store: str) -> list[Category]:
    """Return all categories of a store, in no order and without their depths."""
    return [_category(row) for row in await db.rows(_LIST, store=store)]


async def _ids(db: Runs, statement: Statement, category_id: str, store: str) -> list[str]:
    rows = await db.rows(statement, category_id=category_id, store=store) if category_id else []
    if category_id and not rows:
        raise _not_found(category_id)
    return [str(row["category_id"]) for row in rows]


def _category(row: Row) -> Category:
    return Category(
        category_id=str(row["category_id"]),
        store_id=str(row["store_id"]),
        parent_id=str(row["parent_id"] or ""),
        name=row["name"],
    )


def _not_found(category_id: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_CATEGORY_NOT_FOUND,
        f"There is no category {category_id}",
        category_id=category_id,
    )
