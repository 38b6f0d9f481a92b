"""Imports: SQL with a name, and what happens when a batch comes in.

A batch is one transaction. It locks its import first, so that another stream of the same import waits; then it waits
for its turn among the store's imports, for two that create the same products would hinder each other again and again.
Then it locks the products that it names and then their stock, each in the order of product_id, as whoever changes
several of them does. What is new is inserted last. A SKU that somebody took by CreateProduct since we looked has the
batch start over, and find it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from commerce.catalog.v1 import catalog_pb2
from commerce.catalog.v1.catalog_pb2 import Product
from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportProductsResponse, ImportRow
from commerce.common.v1.error_reason_pb2 import ErrorReason
from sqlalchemy import (
    Text,
    any_,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from services.catalog import import_rules
from services.catalog.import_rules import Fault, Known, Outcome
from services.catalog.movements import RECORD, Movements, stocks_locked, values_of
from services.catalog.queries import product_of, row_of
from services.catalog.tables import (
    categories,
    import_batches,
    import_errors,
    imports,
    price_changes,
    products,
    stock,
)
from services.runtime import times
from services.runtime.columns import BIGINTS, ID, INTEGERS, NOW, TEXTS, TIME, TIMES, UUIDS
from services.runtime.database import Overtaken, Row, Runs
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.statements import given, param, statement
from services.runtime.texts import folded
from services.runtime.work import Call

# As many as the contract has room for.
_TOLD = 500
_is_import = imports.c.import_id == param("import_id")
_LOCK = statement(select(imports).where(_is_import).with_for_update(), "import locked")
_BEGIN = statement(
    upsert(imports).values(import_id=param("import_id"), store_id=param("store_id")).on_conflict_do_nothing(),
    "import begun",
)
_turn = func.concat(literal_column("'imports of '"), cast(param("store_id", ID), Text))
_TAKE_TURN = statement(
    select(func.pg_advisory_xact_lock(func.hashtextextended(_turn, literal_column("0")))),
    "turn among the store's imports",
)
_HASH = statement(
    select(import_batches.c.hash).where(
        import_batches.c.import_id == param("import_id"), import_batches.c.batch == param("batch")
    ),
    "batch of an import",
)
_CATEGORIES = statement(
    select(categories.c.category_id).where(
        categories.c.store_id == param("store_id"),
        categories.c.category_id == any_(param("category_ids", UUIDS)),
    ),
    "categories of a batch",
)
_PRODUCTS = statement(
    select(products)
    .where(
        products.c.store_id == param("store_id"),
        or_(
            products.c.sku == any_(param("skus", TEXTS)),
            products.c.sku_folded == any_(param("skus_folded", TEXTS)),
        ),
    )
    .order_by(products.c.product_id)
    .with_for_update(),
    "products of a batch locked",
)
_KEPT = {
    "product_id": UUIDS,
    "name": TEXTS,
    "price_minor_units": BIGINTS,
    "currency_code": TEXTS,
    "version": BIGINTS,
    "update_time": TIMES,
    "category_id": UUIDS,
    "tax_class": TEXTS,
    "searchable": TEXTS,
}
_NEW = {"sku": TEXTS, "sku_folded": TEXTS, "create_time": TIMES} | _KEPT
_new = given(*_NEW.items(), name="new", prefix="new_")
_created = (
    upsert(products)
    .from_select(["store_id", *_NEW], select(param("store_id", ID), *_new.c))
    .on_conflict_do_nothing()
    .returning(products.c.product_id, products.c.store_id)
    .cte("created")
)
_stocked = insert(stock).from_select(["product_id", "store_id"], select(_created)).cte("stocked")
_CREATE = statement(select(_created.c.product_id).add_cte(_stocked), "create products")
_kept = given(*_KEPT.items(), name="kept", prefix="kept_")
_CHANGE = statement(
    update(products)
    .where(products.c.product_id == _kept.c.product_id)
    .values({name: _kept.c[name] for name in _KEPT if name != "product_id"}),
    "change products",
)
_PRICED = {"product_id": UUIDS, "version": BIGINTS, "price_minor_units": BIGINTS, "currency_code": TEXTS}
_priced = given(*_PRICED.items(), name="priced", prefix="priced_")
_PRICES = statement(
    insert(price_changes).from_select(
        [*_PRICED, "time", "actor"], select(*_priced.c, param("time", TIME), param("actor", Text))
    ),
    "prices changed",
)
_FAULTY = {"row": INTEGERS, "sku": TEXTS, "field": TEXTS, "reason": TEXTS}
_faults = given(*_FAULTY.items(), name="faults", prefix="faults_")
_failed = (
    insert(import_errors)
    .from_select(["import_id", *_FAULTY], select(param("import_id", ID), *_faults.c))
    .cte("failed")
)
_taken_in = (
    insert(import_batches)
    .values(import_id=param("import_id"), batch=param("batch"), hash=param("hash"))
    .cte("taken_in")
)
_COUNTS = ("rows", "created", "updated", "unchanged", "failed")
_COUNT = statement(
    update(imports)
    .where(_is_import)
    .values({name: imports.c[name] + param(name) for name in _COUNTS})
    .values(batches=param("batch"), complete=False, update_time=NOW)
    .add_cte(_failed, _taken_in),
    "batch taken in",
)
_COMPLETE = statement(
    update(imports).where(_is_import).values(complete=true()).returning(imports), "import complete"
)
_GET = statement(select(imports).where(_is_import, imports.c.store_id == param("store_id")), "import")
_ERRORS = statement(
    select(import_errors)
    .where(import_errors.c.import_id == param("import_id"), import_errors.c.row > param("after"))
    .order_by(import_errors.c.row)
    .limit(param("size")),
    "errors of an import",
)


@dataclass(slots=True)
class Asked:
    """What a stream that only asks has been told: how many rows it had, and which would be refused."""

    rows: int = 0
    faults: list[Fault] = field(default_factory=list)

    def reply(self, last: ImportProductsRequest) -> ImportProductsResponse:
        """Return what is said at its end."""
        counts = catalog_pb2.Import(
            import_id=last.request_id, store_id=last.store_id, rows=self.rows, failed=len(self.faults)
        )
        errors = [catalog_pb2.ImportError(**fault._asdict()) for fault in self.faults[:_TOLD]]
        return ImportProductsResponse(product_import=counts, errors=errors)


async def _judge(asked: Asked, batch: ImportProductsRequest, call: Call) -> None:
    """Find the rows of a batch that would be refused."""
    rows, faults = import_rules.judged(batch.rows, asked.rows + 1)
    known = await _known(call.db, batch.store_id, rows.values())
    outcome = import_rules.taken_in(batch, rows, known, times.now(), iter(lambda: str(new_id()), ""))
    asked.rows += len(batch.rows)
    asked.faults += sorted([*faults, *outcome.faults])


class Imports:
    """Takes batches in."""

    def __init__(self, movements: Movements) -> None:
        self._movements = movements

    async def take_in(self, asked: Asked, batch: ImportProductsRequest, call: Call) -> None:
        """Have a batch take effect, unless it did before, or is only asked about.

        Refused with IMPORT_OUT_OF_ORDER or REQUEST_ID_REUSED.
        """
        if batch.validate_only:
            await _judge(asked, batch, call)
            return
        before = await _locked(call.db, batch)
        hash_before = await _hash(call.db, batch) if batch.batch <= before["batches"] else None
        hash_now = import_rules.hash_of(batch.rows)
        if not import_rules.is_new(before["batches"], batch.batch, hash_before, hash_now):
            return
        rows, faults = import_rules.judged(batch.rows, before["rows"] + 1)
        known = await _known(call.db, batch.store_id, rows.values())
        ids = iter(lambda: str(new_id()), "")
        outcome = import_rules.taken_in(batch, rows, known, times.now(), ids)
        await _record_products(call, batch.store_id, outcome)
        await self._record_stock(call, outcome)
        await _record_batch(call.db, batch, hash_now, outcome, [*faults, *outcome.faults])
        for event in outcome.events:
            call.publish(event)

    async def _record_stock(self, call: Call, outcome: Outcome) -> None:
        movements = outcome.movements
        if movements:
            await call.db.rows(RECORD, **values_of(movements, call.caller.actor))
        # Nobody can watch what was not there.
        new = {product.product_id for product in outcome.created.values()}
        self._movements.tell(call, [each for each in movements if each.after.product_id not in new])


async def complete(db: Runs, import_id: str) -> catalog_pb2.Import:
    """Note that an import has come to its end, and return it."""
    row = await db.row(_COMPLETE, import_id=import_id)
    assert row is not None  # Its last batch was taken in.
    return _import(row)


async def import_of(db: Runs, import_id: str, store: str) -> catalog_pb2.Import:
    """Return a store's import. Refused with IMPORT_NOT_FOUND."""
    row = await db.row(_GET, import_id=import_id, store_id=store)
    if row is None:
        raise Refusal(
            ErrorReason.ERROR_REASON_IMPORT_NOT_FOUND,
            f"There is no import {import_id}",
            import_id=import_id,
        )
    return _import(row)


async def errors_of(db: Runs, import_id: str, after: int, size: int) -> list[catalog_pb2.ImportError]:
    """Return up to `size` of the rows of an import that were refused, after a row."""
    rows = await db.rows(_ERRORS, import_id=import_id, after=after, size=size)
    return [
        catalog_pb2.ImportError(row=row["row"], sku=row["sku"], field=row["field"], reason=row["reason"])
        for row in rows
    ]


async def _locked(db: Runs, batch: ImportProductsRequest) -> Row:
    """Return how far the import is; nobody else takes a batch of it in until the work ends."""
    row = await db.row(_LOCK, import_id=batch.request_id)
    if row is None:
        await db.rows(_BEGIN, import_id=batch.request_id, store_id=batch.store_id)
        row = await db.row(_LOCK, import_id=batch.request_id)
        assert row is not None
    if str(row["store_id"]) != batch.store_id.lower():
        raise Refusal(
            ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
            "The request_id was used before with another request",
            request_id=batch.request_id,
        )
    return row


async def _hash(db: Runs, batch: ImportProductsRequest) -> bytes:
    row = await db.row(_HASH, import_id=batch.request_id, batch=batch.batch)
    assert row is not None  # Batches are taken in without gaps.
    return bytes(row["hash"])


async def _known(db: Runs, store: str, rows: Collection[ImportRow]) -> Known:
    """Return what the store has of that which the rows name; nobody else changes it until the work ends."""
    await db.rows(_TAKE_TURN, store_id=store)
    category_ids = {row.category_id for row in rows if row.category_id}
    found = (
        await db.rows(_CATEGORIES, store_id=store, category_ids=list(category_ids)) if category_ids else []
    )
    skus = {row.sku for row in rows}
    locked = await db.rows(
        _PRODUCTS, store_id=store, skus=list(skus), skus_folded=[folded(sku) for sku in skus]
    )
    known = Known(
        categories=frozenset(str(row["category_id"]) for row in found),
        products={row["sku"]: product_of(row) for row in locked},
        skus={row["sku_folded"]: row["sku"] for row in locked},
    )
    counted = {known.sku_of(row) for row in rows if row.HasField("quantity")}
    product_ids = [known.products[sku].product_id for sku in counted & known.products.keys()]
    return known._replace(stocks=await stocks_locked(db, product_ids))


async def _record_products(call: Call, store: str, outcome: Outcome) -> None:
    if outcome.created:
        new = _arrays("new", _NEW, map(row_of, outcome.created.values()))
        rows = await call.db.rows(_CREATE, store_id=store, **new)
        if len(rows) < len(outcome.created):
            raise Overtaken("a product of the batch was created in the meantime")
    if outcome.changed:
        await call.db.rows(_CHANGE, **_arrays("kept", _KEPT, map(row_of, outcome.changed.values())))
    if outcome.priced:
        await call.db.rows(
            _PRICES,
            **_arrays("priced", _PRICED, map(_price, outcome.priced)),
            time=times.now(),
            actor=call.caller.actor,
        )


async def _record_batch(
    db: Runs, batch: ImportProductsRequest, hashed: bytes, outcome: Outcome, faults: list[Fault]
) -> None:
    counts = outcome.counts
    counts.update(rows=len(batch.rows), failed=len(faults))
    await db.rows(
        _COUNT,
        import_id=batch.request_id,
        batch=batch.batch,
        hash=hashed,
        **{name: counts[name] for name in _COUNTS},
        **_arrays("faults", _FAULTY, (fault._asdict() for fault in faults)),
    )


def _arrays(name: str, columns: Mapping[str, Any], rows: Iterable[Row]) -> dict[str, list[Any]]:
    """Return the parameters of a table that is given."""
    rows = list(rows)
    return {f"{name}_{column}": [row[column] for row in rows] for column in columns}


def _price(product: Product) -> Row:
    return {
        "product_id": product.product_id,
        "version": product.version,
        "price_minor_units": product.price.minor_units,
        "currency_code": product.price.currency_code,
    }


def _import(row: Row) -> catalog_pb2.Import:
    return catalog_pb2.Import(
        import_id=str(row["import_id"]),
        store_id=str(row["store_id"]),
        complete=row["complete"],
        batches=row["batches"],
        **{name: row[name] for name in _COUNTS},
        create_time=row["create_time"],
        update_time=row["update_time"],
    )
