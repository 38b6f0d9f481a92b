"""What an import's batch makes of a store's products and their stock: row by row, in their order. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.catalog.v1.catalog_pb2 import Product
from commerce.catalog.v1.catalog_service_pb2 import (
    CreateProductRequest,
    ImportProductsRequest,
    ImportRow,
    UpdateProductRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.catalog import levels, rules
from services.catalog.levels import Change, Move, Movement, Stock
from services.runtime.cards import masked
from services.runtime.refusals import Refusal
from services.runtime.texts import folded
from services.runtime.validation import violations

_SKU_SHOWN = 200
_REASON_SHOWN = 500


class Fault(NamedTuple):
    """Why a row is refused; rows are numbered through the whole import, from 1 on."""

    row: int
    sku: str
    field: str
    reason: str


class Known(NamedTuple):
    """What the store has of that which a batch names: categories by id, products by SKU, stock by product_id.

    `skus` are those of the products by what is taken for the same.
    """

    categories: frozenset[str]
    products: Mapping[str, Product]
    skus: Mapping[str, str]
    stocks: Mapping[str, Stock] = {}

    def sku_of(self, row: ImportRow) -> str:
        """Return the SKU by which the store has a row's product, or will have it."""
        return row.sku if row.sku in self.products else self.skus.get(folded(row.sku), row.sku)


@dataclass(slots=True)
class Outcome:
    """What a batch changes: products by SKU, as they are after its last row, and each version that has a new price.

    `counts` says how many rows were created, updated, unchanged and failed.
    """

    stocks: dict[str, Stock]
    created: dict[str, Product] = field(default_factory=dict)
    changed: dict[str, Product] = field(default_factory=dict)
    priced: list[Product] = field(default_factory=list)
    moves: dict[str, Move] = field(default_factory=dict)
    events: list[ProductCreated | ProductUpdated] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def movements(self) -> list[Movement]:
        """What happens to the units on hand, in the order of product_id."""
        return [
            levels.moved(self.stocks[product_id], move) for product_id, move in sorted(self.moves.items())
        ]


def hash_of(rows: Iterable[ImportRow]) -> bytes:
    """Return what tells a batch's rows from any others."""
    only_rows = ImportProductsRequest(rows=rows)
    return hashlib.sha256(only_rows.SerializeToString(deterministic=True)).digest()


def is_new(batches: int, batch: int, hash_before: bytes | None, hash_now: bytes) -> bool:
    """Tell whether a batch is to be taken in, after so many, or was before. Refused with IMPORT_OUT_OF_ORDER."""
    if batch == batches + 1:
        return True
    if batch <= batches and hash_before == hash_now:
        return False
    cause = "was taken in with other rows" if batch <= batches else "comes too early"
    raise Refusal(
        ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER,
        f"Batch {batch} {cause}; the next one is {batches + 1}",
        expected=batches + 1,
    )


def judged(rows: Iterable[ImportRow], first: int) -> tuple[dict[int, ImportRow], list[Fault]]:
    """Return the rows that keep to the contract, by number, and what is wrong with the others."""
    sound, faults = {}, []
    for number, row in enumerate(rows, first):
        wrong = violations(row)
        if wrong:
            faults.append(_fault(number, row, *wrong[0]))
        else:
            sound[number] = row
    return sound, faults


def taken_in(
    batch: ImportProductsRequest,
    rows: Mapping[int, ImportRow],
    known: Known,
    now: datetime,
    ids: Iterator[str],
) -> Outcome:
    """Work out what the sound rows of a batch change; `ids` are for new products."""
    outcome = Outcome(dict(known.stocks))
    created: dict[str, str] = {}
    for number, row in rows.items():
        sku = created.get(folded(row.sku)) or known.sku_of(row)
        before = outcome.created.get(sku) or outcome.changed.get(sku) or known.products.get(sku)
        wrong = _wrong(row, known.categories, before and outcome.stocks.get(before.product_id))
        if wrong:
            outcome.faults.append(_fault(number, row, *wrong))
            continue
        after = _updated(before, row, now) if before else _created(batch.store_id, row, now, next(ids))
        if before is None:
            created[folded(after.sku)] = after.sku
        if after is not before:
            _keep(outcome, before, after)
        moved = row.HasField("quantity") and _move(outcome, after, row.quantity, batch.request_id)
        told = "updated" if moved or after is not before else "unchanged"
        outcome.counts[told if before else "created"] += 1
    return outcome


def _wrong(row: ImportRow, categories: frozenset[str], stock: Stock | None) -> tuple[str, str] | None:
    """Return the field of a sound row that the store cannot take, and why."""
    if row.category_id and row.category_id.lower() not in categories:
        return "category_id", "is no category of the store"
    if row.HasField("quantity") and stock is not None and row.quantity < stock.reserved:
        return "quantity", f"is less than the {stock.reserved} that are reserved"
    return None


def _fault(number: int, row: ImportRow, at: str, reason: str) -> Fault:
    sku = masked(row.sku.replace("\0", ""))
    return Fault(number, sku[:_SKU_SHOWN], at, reason[:_REASON_SHOWN])


def _created(store_id: str, row: ImportRow, now: datetime, product_id: str) -> Product:
    request = CreateProductRequest(
        store_id=store_id,
        sku=row.sku,
        name=row.name,
        price=row.price,
        category_id=row.category_id,
        tax_class=row.tax_class,
    )
    return rules.created(request, product_id, now)


def _updated(product: Product, row: ImportRow, now: datetime) -> Product:
    """Return the product as the row has it, or the very same when that is how it is."""
    request = UpdateProductRequest(
        name=row.name,
        price=row.price,
        category_id=row.category_id or None,
        tax_class=row.tax_class or None,
    )
    after = rules.updated(product, request, now)
    return product if after.version == product.version else after


def _keep(outcome: Outcome, before: Product | None, after: Product) -> None:
    """Note what a row has made of a product."""
    if before is None:
        outcome.stocks[after.product_id] = Stock(after.product_id, after.store_id, 0, 0, sku=after.sku)
        outcome.events.append(ProductCreated(product=after))
    else:
        outcome.events.append(ProductUpdated(product=after))
    if before is None or before.price != after.price:
        outcome.priced.append(after)
    is_new = before is None or after.sku in outcome.created
    (outcome.created if is_new else outcome.changed)[after.sku] = after


def _move(outcome: Outcome, product: Product, quantity: int, import_id: str) -> bool:
    """Have so many units of a product on hand. Tell whether there were more, or fewer."""
    move = outcome.moves.get(product.product_id, Move())
    delta = quantity - outcome.stocks[product.product_id].on_hand - move.on_hand
    if delta:
        move.changes.append(Change(levels.IMPORTED, delta, f"import {import_id}"))
        outcome.moves[product.product_id] = move
    return delta != 0
