"""Movements: each change of a product's stock is recorded here, kept in its history and told to whoever watches it.

Whoever changes stock has its rows locked, in the order of product_id, and works out of what it read (levels.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from commerce.catalog.v1.catalog_events_pb2 import StockLow
from commerce.catalog.v1.catalog_pb2 import StockChange
from commerce.catalog.v1.stock_service_pb2 import StockUpdate
from sqlalchemy import Text, any_, func, insert, literal_column, select, update

from services.catalog import levels
from services.catalog.levels import Movement, Stock
from services.catalog.queries import found, visible
from services.catalog.tables import products, stock, stock_changes
from services.runtime.columns import ID, INTEGERS, SMALLINTS, TEXTS, UUIDS
from services.runtime.database import Row, Runs
from services.runtime.hub import Hub, Update
from services.runtime.statements import given, param, statement
from services.runtime.work import Work

STOCK = select(stock, products.c.sku, products.c.low_stock_threshold).join(
    products, products.c.product_id == stock.c.product_id
)
_ONE = STOCK.where(stock.c.product_id == param("product_id"), visible(stock.c.store_id))
_GET = statement(_ONE, "stock")
_LOCK_ONE = statement(_ONE.with_for_update(of=stock), "stock locked")
_LOCK = statement(
    STOCK.where(stock.c.product_id == any_(param("product_ids", UUIDS)))
    .order_by(stock.c.product_id)
    .with_for_update(of=stock),
    "stock locked",
)
_SINCE = statement(
    select(stock).where(stock.c.product_id == param("product_id"), stock.c.version > param("after")),
    "stock since",
)
_LATEST = statement(
    select(stock.c.product_id, stock.c.version).where(
        stock.c.product_id == any_(param("product_ids", UUIDS))
    ),
    "stock versions",
)
_moves = given(
    ("product_id", UUIDS), ("on_hand", INTEGERS), ("reserved", INTEGERS), name="move", prefix="move_"
)
MOVED = (
    update(stock)
    .where(stock.c.product_id == _moves.c.product_id)
    .values(
        on_hand=stock.c.on_hand + _moves.c.on_hand,
        reserved=stock.c.reserved + _moves.c.reserved,
        version=stock.c.version + 1,
    )
    .cte("moved")
)
_changes = given(
    ("product_id", UUIDS),
    ("store_id", UUIDS),
    ("kind", SMALLINTS),
    ("delta", INTEGERS),
    ("on_hand", INTEGERS),
    ("reason", TEXTS),
    name="change",
    prefix="change_",
)
# PostgreSQL's own clock numbers the changes: under the lock of the stock row a later one has a higher id, whichever
# replica makes it.
HISTORY = (
    insert(stock_changes)
    .from_select(
        ["change_id", "product_id", "store_id", "kind", "delta", "on_hand", "reason", "actor"],
        select(func.uuidv7(), *_changes.c, param("actor", Text)),
    )
    .cte("history")
)
RECORD = statement(select(literal_column("1")).add_cte(MOVED, HISTORY), "move stock")
_CHANGES = statement(
    select(stock_changes)
    .where(stock_changes.c.product_id == param("product_id"), stock_changes.c.change_id < param("before", ID))
    .order_by(stock_changes.c.change_id.desc())
    .limit(param("size")),
    "stock changes",
)

# After an update, a sign of life that repeats it: messages that follow each other are read as one.
BOOKMARK = StockUpdate(bookmark=True).SerializeToString()


class Movements:
    """Records movements in the work that they belong to, publishes StockLow and tells watchers when it commits."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def record(self, work: Work, movements: Sequence[Movement], actor: str) -> None:
        """Record movements of stock that this work has locked."""
        await work.rows(RECORD, **values_of(movements, actor))
        self.tell(work, movements)

    def tell(self, work: Work, movements: Iterable[Movement]) -> None:
        """Publish and announce movements that are recorded with other things, in one statement."""
        for movement in movements:
            after = movement.after
            if movement.runs_low:
                work.publish(low(after))
            work.after_commit(partial(self._announce, after))

    def _announce(self, after: Stock) -> None:
        self._hub.announce(after.product_id, _hint(after))


def values_of(movements: Sequence[Movement], actor: str) -> dict[str, Any]:
    """Return the parameters of MOVED and of HISTORY."""
    changes = list(levels.history(movements))
    return values_of_moves(movements) | {
        "change_product_id": [of.product_id for of, _, _ in changes],
        "change_store_id": [of.store_id for of, _, _ in changes],
        "change_kind": [change.kind for _, change, _ in changes],
        "change_delta": [change.delta for _, change, _ in changes],
        "change_on_hand": [on_hand for _, _, on_hand in changes],
        "change_reason": [change.reason for _, change, _ in changes],
        "actor": actor,
    }


def values_of_moves(movements: Sequence[Movement]) -> dict[str, Any]:
    """Return the parameters of MOVED."""
    return {
        "move_product_id": [movement.after.product_id for movement in movements],
        "move_on_hand": [movement.move.on_hand for movement in movements],
        "move_reserved": [movement.move.reserved for movement in movements],
    }


async def stock_of(db: Runs, product_id: str, store: str | None) -> Stock:
    """Return a product's stock. Refused with PRODUCT_NOT_FOUND."""
    return stock_from(found(await db.row(_GET, product_id=product_id, store=store), product_id))


async def stock_locked(db: Runs, product_id: str, store: str | None) -> Stock:
    """Return a product's stock, which nobody else changes until the work ends. Refused with PRODUCT_NOT_FOUND."""
    return stock_from(found(await db.row(_LOCK_ONE, product_id=product_id, store=store), product_id))


async def stocks_locked(db: Runs, product_ids: Iterable[str]) -> dict[str, Stock]:
    """Return the stock of products, by product_id, which nobody else changes until the work ends."""
    return stocks_from(await db.rows(_LOCK, product_ids=list(product_ids)))


async def changes_newest_first(db: Runs, product_id: str, before: str, size: int) -> list[StockChange]:
    """Return up to `size` changes of a product's units on hand that came before one of them."""
    rows = await db.rows(_CHANGES, product_id=product_id, before=before, size=size)
    return [
        StockChange(
            change_id=str(row["change_id"]),
            kind=row["kind"],
            delta=row["delta"],
            on_hand=row["on_hand"],
            reason=row["reason"],
            actor=row["actor"],
            time=row["create_time"],
        )
        for row in rows
    ]


async def updates(db: Runs, product_id: str, after: int) -> list[Update]:
    """Return a product's stock as it is now, as an update for watchers, if it has changed after a version."""
    return [_hint(stock_from(row)) for row in await db.rows(_SINCE, product_id=product_id, after=after)]


async def versions(db: Runs, product_ids: Sequence[str]) -> dict[str, int]:
    """Return the version of each product's stock."""
    rows = await db.rows(_LATEST, product_ids=list(product_ids))
    return {str(row["product_id"]): row["version"] for row in rows}


def low(now: Stock) -> StockLow:
    """Return what the store is told of a product that runs low."""
    return StockLow(
        product_id=now.product_id,
        store_id=now.store_id,
        sku=now.sku,
        available=now.available,
        threshold=now.low_stock_threshold,
    )


def update_of(now: Stock) -> StockUpdate:
    """Return what watchers are told of a product's stock."""
    return StockUpdate(version=now.version, **now.shown())


def _hint(now: Stock) -> Update:
    return Update(now.version, update_of(now).SerializeToString(), final=False)


def stocks_from(rows: Iterable[Row]) -> dict[str, Stock]:
    """Read rows of STOCK, by product_id."""
    return {str(row["product_id"]): stock_from(row) for row in rows}


def stock_from(row: Mapping[str, Any]) -> Stock:
    """Read a row of STOCK."""
    return Stock(
        product_id=str(row["product_id"]),
        store_id=str(row["store_id"]),
        on_hand=row["on_hand"],
        reserved=row["reserved"],
        version=row["version"],
        sku=row.get("sku", ""),
        low_stock_threshold=row.get("low_stock_threshold", 0),
    )
