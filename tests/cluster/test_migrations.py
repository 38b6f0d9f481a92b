"""Migrations: each chain makes the schema that tables.py declares, and brings what a running database holds with it."""

import asyncio
import importlib
from datetime import UTC, date, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.runtime.texts import searchable
from tests.cluster.schemas import CHAINS, Schema

# A migration that takes its time.
SLOW = """
from alembic import op
revision, down_revision = "0001", None
def upgrade():
    op.execute("SELECT pg_sleep(0.5)")
"""

SUMMER, AUTUMN = datetime(2026, 7, 31, 23, 59, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
SENT, ARRIVED = datetime(2026, 8, 2, tzinfo=UTC), datetime(2026, 8, 3, tzinfo=UTC)


@pytest.mark.parametrize("code", CHAINS)
async def test_make_the_schema_that_is_declared(schema, code):
    chain, module = CHAINS[code]
    migrated, declared = await schema(), await schema()

    await migrated.upgrade(chain)
    await migrated.rows("DROP TABLE revision")
    await declared.create(importlib.import_module(module).METADATA)

    assert await migrated.shape() == await declared.shape()


# Orders as they were before there were shipments, returns and statistics: their states by number.
PENDING, AWAITING, CONFIRMED, SHIPPED, DELIVERED, PAYMENT_FAILED, CANCELLED = 1, 3, 5, 7, 8, 10, 11
STORE, ADA, BOB = uuid4(), uuid4(), uuid4()
ORDERS = {
    # state: customer, currency, when, quantities and prices
    PENDING: (ADA, "EUR", AUTUMN, [(1, 500)]),
    AWAITING: (BOB, "EUR", AUTUMN, [(1, 700)]),
    CONFIRMED: (ADA, "EUR", SUMMER, [(2, 1999), (1, 501)]),
    SHIPPED: (ADA, "EUR", AUTUMN, [(3, 100), (1, 50)]),
    DELIVERED: (ADA, "EUR", AUTUMN, [(2, 1000)]),
    PAYMENT_FAILED: (ADA, "EUR", SUMMER, [(1, 900)]),
    CANCELLED: (ADA, "USD", AUTUMN, [(1, 42)]),
}
STEPS = {
    SHIPPED: [("ship", SHIPPED, SENT)],
    DELIVERED: [("ship", SHIPPED, SENT), ("deliver", DELIVERED, ARRIVED)],
}


async def place(schema: Schema, state: int) -> UUID:
    """An order in a state, as the first revision has it."""
    customer, currency, placed, lines = ORDERS[state]
    order_id, steps = uuid4(), [("create", PENDING, placed), *STEPS.get(state, [])]
    await schema.insert(
        "orders",
        order_id=order_id,
        store_id=STORE,
        customer_id=customer,
        state=state,
        total_minor_units=sum(quantity * price for quantity, price in lines),
        currency_code=currency,
        payment_method="pm_sandbox_ok",
        delivery_address=b"",
        sequence=len(steps),
        create_time=placed,
        update_time=steps[-1][2],
        traceparent="",
    )
    for position, (quantity, price) in enumerate(lines):
        await schema.insert(
            "order_lines",
            order_id=order_id,
            position=position,
            product_id=uuid4(),
            sku=f"SKU-{position}",
            name="Sampler",
            quantity=quantity,
            unit_price_minor_units=price,
        )
    for sequence, (step, then, time) in enumerate(steps, 1):
        await schema.insert(
            "order_events",
            order_id=order_id,
            sequence=sequence,
            step=step,
            state=then,
            time=time,
            actor="SERVICE order",
            reason="",
            trace_id="",
        )
    return order_id


@pytest.fixture
async def upgraded(schema, tmp_path):
    """Upgrades a schema that was filled at its first revision."""

    async def upgrade(code: str, fill) -> Schema:
        chain, _ = CHAINS[code]
        made: Schema = await schema()
        await made.begin(chain, tmp_path)
        await fill(made)
        await made.upgrade(chain)
        return made

    return upgrade


@pytest.fixture
async def orders(upgraded):
    """A schema of orders, and the order in each state."""
    placed = {}

    async def fill(schema: Schema) -> None:
        for state in ORDERS:
            placed[state] = await place(schema, state)

    return await upgraded("order", fill), placed


async def test_keep_the_totals_of_orders(orders):
    schema, placed = orders

    rows = await schema.rows(
        "SELECT order_id, total_minor_units AS total, subtotal_minor_units AS subtotal, discount_minor_units "
        "+ tax_minor_units + shipping_minor_units + refunded_minor_units AS others, parked, last_error, coupon_code, "
        "(SELECT sum(quantity * unit_price_minor_units) FROM order_lines AS l WHERE l.order_id = o.order_id) AS lines "
        "FROM orders AS o"
    )

    assert {row["order_id"] for row in rows} == set(placed.values())
    for row in rows:
        assert row["total"] == row["subtotal"] == row["lines"]
        assert (row["others"], row["parked"], row["last_error"], row["coupon_code"]) == (0, False, "", "")


async def test_know_what_was_sent_of_orders(orders):
    schema, placed = orders

    for state, order_id in placed.items():
        lines = await schema.rows(
            "SELECT quantity, shipped_quantity AS shipped, returned_quantity AS returned, product_id "
            "FROM order_lines WHERE order_id = $1 ORDER BY position",
            order_id,
        )
        parcels = await schema.rows(
            "SELECT product_ids, quantities, ship_time, deliver_time FROM shipments WHERE order_id = $1",
            order_id,
        )
        sent = state in STEPS
        assert [row["shipped"] for row in lines] == [row["quantity"] if sent else 0 for row in lines]
        assert {row["returned"] for row in lines} == {0}
        whole = ([row["product_id"] for row in lines], [row["quantity"] for row in lines], SENT)
        arrived = ARRIVED if state == DELIVERED else None
        assert [tuple(parcel) for parcel in parcels] == ([(*whole, arrived)] if sent else [])


async def test_let_unpaid_orders_expire(orders):
    schema, placed = orders

    rows = await schema.rows("SELECT order_id, expire_time > now() FROM orders WHERE expire_time IS NOT NULL")

    assert {tuple(row) for row in rows} == {(placed[PENDING], True), (placed[AWAITING], True)}


async def test_put_the_timeline_before_everything_that_a_stores_feed_will_tell(orders):
    schema, _ = orders

    rows = await schema.rows(
        "SELECT e.store_id, e.feed, o.feed FROM order_events AS e JOIN orders AS o USING (order_id)"
    )

    assert len(rows) == len(ORDERS) + sum(map(len, STEPS.values()))
    assert {tuple(row) for row in rows} == {(STORE, 0, 0)}


async def test_add_up_what_customers_bought(orders):
    schema, _ = orders

    rows = await schema.rows(
        "SELECT customer_id, month, currency_code, store_id, orders, cancelled, paid, spent_minor_units, "
        "first_order_time, last_order_time FROM customer_months"
    )

    july, august = date(2026, 7, 1), date(2026, 8, 1)
    assert {tuple(row) for row in rows} == {
        (ADA, july, "EUR", STORE, 2, 0, 1, 4499, SUMMER, SUMMER),
        (ADA, august, "EUR", STORE, 3, 0, 2, 2350, AUTUMN, AUTUMN),
        (ADA, august, "USD", STORE, 1, 1, 0, 0, AUTUMN, AUTUMN),
        (BOB, august, "EUR", STORE, 1, 0, 0, 0, AUTUMN, AUTUMN),
    }


async def test_refuse_sums_of_orders_that_do_not_add_up(orders):
    schema, _ = orders

    for change in ("subtotal_minor_units = subtotal_minor_units + 1", "refunded_minor_units = 100000"):
        with pytest.raises(asyncpg.CheckViolationError):
            await schema.rows(f"UPDATE orders SET {change}")


NAMES = ["Sampler", "Café  Crème", "Weiße Straße", "ØRSTED łamp", "ПРИВЕТ Ωmega", "İstanbul", " ﬁne "]


@pytest.fixture
async def catalog(upgraded):
    """A schema of products, and their ids by name."""
    products = {name: uuid4() for name in NAMES}
    first = products[NAMES[0]]

    async def fill(schema: Schema) -> None:
        for number, (name, product_id) in enumerate(products.items()):
            await schema.insert(
                "products",
                product_id=product_id,
                store_id=STORE,
                sku=f"SKU-{number}",
                name=name,
                price_minor_units=100 + number,
                currency_code="EUR",
                version=number + 1,
                create_time=SUMMER,
                update_time=AUTUMN,
            )
            on_hand, reserved = (6, 2) if product_id == first else (0, 0)
            await schema.insert(
                "stock", product_id=product_id, store_id=STORE, on_hand=on_hand, reserved=reserved
            )
        # Twelve were counted, two broke, four were sold: of those nothing was written down.
        for delta, on_hand, reason in ((12, 12, "counted"), (-2, 10, "broken")):
            await schema.insert(
                "stock_changes",
                change_id=uuid4(),
                product_id=first,
                store_id=STORE,
                delta=delta,
                on_hand=on_hand,
                reason=reason,
                actor="STORE_ADMIN",
            )
        for state, quantity in ((1, 2), (2, 4), (3, 1)):
            await schema.insert(
                "reservations",
                order_id=uuid4(),
                store_id=STORE,
                state=state,
                product_ids=[first],
                quantities=[quantity],
            )

    return await upgraded("catalog", fill), products


async def test_make_products_searchable_as_new_ones_are(catalog):
    schema, products = catalog

    rows = await schema.rows("SELECT name, sku, searchable FROM products")

    assert len(rows) == len(products)
    for row in rows:
        assert row["searchable"] == f"{searchable(row['name'])}\n{searchable(row['sku'])}"


async def test_keep_products_whose_skus_people_take_for_one(upgraded):
    skus = ["D1", "d1", "D1 ", "E1", "Ｅ1"]
    products = {sku: UUID(int=number) for number, sku in enumerate(skus, 1)}

    async def fill(schema: Schema) -> None:
        for sku, product_id in products.items():
            await schema.insert(
                "products",
                product_id=product_id,
                store_id=STORE,
                sku=sku,
                name="One\u00adway",
                price_minor_units=1,
                currency_code="EUR",
                version=1,
                create_time=SUMMER,
                update_time=AUTUMN,
            )

    schema = await upgraded("catalog", fill)

    rows = await schema.rows("SELECT sku, sku_folded, searchable FROM products")
    ids = {sku: f"\n{product_id}" for sku, product_id in products.items()}
    assert {row["sku"]: row["sku_folded"] for row in rows} == {
        "D1": "d1",
        "d1": f"d1{ids['d1']}",
        "D1 ": f"d1{ids['D1 ']}",
        "E1": "e1",
        "Ｅ1": f"e1{ids['Ｅ1']}",
    }
    assert {row["searchable"] for row in rows} == {"oneway\nd1", "oneway\ne1"}


async def test_find_customers_as_new_ones_are(upgraded):
    async def fill(schema: Schema) -> None:
        for number, name in enumerate(NAMES):
            await schema.insert(
                "customers",
                customer_id=uuid4(),
                store_id=STORE,
                full_name=name,
                email=f"X{number}@Example.org",
                phone="",
                version=1,
                create_time=SUMMER,
                update_time=AUTUMN,
            )

    schema = await upgraded("customer", fill)

    rows = await schema.rows("SELECT full_name, email, searchable FROM customers ORDER BY email")
    found = [f"{searchable(name)}\nx{number}@example.org\n" for number, name in enumerate(NAMES)]
    assert [row["searchable"] for row in rows] == found


async def test_sell_every_product_at_the_price_that_it_has(catalog):
    schema, products = catalog

    rows = await schema.rows(
        "SELECT p.product_id, p.status, p.category_id, p.attributes, p.image_urls, c.version - p.version AS version, "
        "c.price_minor_units - p.price_minor_units AS price, c.currency_code, c.time "
        "FROM products AS p LEFT JOIN price_changes AS c USING (product_id)"
    )

    assert {row["product_id"] for row in rows} == set(products.values())
    assert [tuple(row)[1:] for row in rows] == [(1, None, "{}", [], 0, 0, "EUR", AUTUMN)] * len(NAMES)


async def test_explain_the_units_on_hand(catalog):
    schema, products = catalog

    rows = await schema.rows(
        "SELECT product_id, kind, delta, on_hand FROM stock_changes ORDER BY on_hand DESC"
    )

    # COUNTED, ADJUSTED, SOLD; nothing ever happened to the others.
    changes = [(1, 12, 12), (2, -2, 10), (3, -4, 6)]
    assert [tuple(row) for row in rows] == [(products[NAMES[0]], *change) for change in changes]


async def test_hold_what_was_reserved(catalog):
    schema, _ = catalog

    rows = await schema.rows(
        "SELECT state, quantities, customer_id, expire_time FROM reservations ORDER BY state"
    )

    assert [tuple(row) for row in rows] == [(1, [2], None, None), (2, [4], None, None), (3, [1], None, None)]


async def test_let_operations_of_payments_wait_and_ask_one_at_a_time_for_a_request(upgraded):
    payment_id, request_id = uuid4(), uuid4()

    def operation(state: int, **given: object) -> dict[str, object]:
        return {
            "operation_id": uuid4(),
            "payment_id": payment_id,
            "store_id": STORE,
            "kind": "refund",
            "state": state,
            "attempts": 1,
            "create_time": AUTUMN,
            "due_time": AUTUMN,
        } | given

    async def fill(schema: Schema) -> None:
        await schema.insert(
            "payments",
            payment_id=payment_id,
            order_id=uuid4(),
            store_id=STORE,
            customer_id=ADA,
            state=5,
            amount_minor_units=1999,
            currency_code="EUR",
            captured_minor_units=1999,
            version=3,
            cancelled=False,
            create_time=SUMMER,
            update_time=AUTUMN,
        )
        await schema.insert("operations", **operation(2, settle_time=AUTUMN, request_id=request_id))
        await schema.insert("operations", **operation(4))

    schema = await upgraded("payment", fill)

    await schema.insert("operations", **operation(5))
    with pytest.raises(asyncpg.CheckViolationError):
        await schema.insert("operations", **operation(5, settle_time=AUTUMN))
    await schema.insert("operations", **operation(5, request_id=request_id))
    with pytest.raises(asyncpg.UniqueViolationError):
        await schema.insert("operations", **operation(5, request_id=request_id))
    states = await schema.rows("SELECT state FROM operations ORDER BY state")
    assert [row["state"] for row in states] == [2, 4, 5, 5]


@pytest.mark.parametrize("code", CHAINS)
async def test_are_run_once_by_replicas_that_start_together_and_again(schema, code):
    chain, _ = CHAINS[code]
    migrated = await schema()
    await asyncio.gather(*(migrated.upgrade(chain) for _ in range(3)))
    before = await migrated.shape()

    await migrated.upgrade(chain)

    assert await migrated.shape() == before


async def test_take_longer_than_any_call_may(schema, tmp_path):
    """A role's statement_timeout is for calls: what a migration does to a million rows is not broken off."""
    (tmp_path / "0001_slow.py").write_text(SLOW)
    hurried = await schema()
    hurried.dsn += "&statement_timeout=100"

    await hurried.upgrade(tmp_path)

    assert await hurried.rows("SELECT FROM revision WHERE version_num = '0001'")
