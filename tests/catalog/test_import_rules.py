"""The rules of an import: what rows make of a store does not depend on how they are cut into batches."""

from datetime import UTC, datetime

from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportRow
from commerce.common.v1.money_pb2 import Money
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.import_rules import Known, hash_of, judged, taken_in
from services.catalog.levels import Stock
from services.runtime.texts import folded

STORE, LAMPS = "0191f3a2-0000-7000-8000-000000000001", "0191f3a2-0000-7000-8000-000000000002"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
ROWS = st.lists(
    st.builds(
        ImportRow,
        sku=st.sampled_from(["", "MUG", "mug", "CUP", "Ｃｕｐ", "POT"]),
        name=st.sampled_from(["", "One", "Other"]),
        price=st.none() | st.builds(Money, currency_code=st.just("EUR"), minor_units=st.integers(-1, 2)),
        quantity=st.none() | st.integers(-1, 5),
        category_id=st.sampled_from(["", LAMPS, LAMPS.upper(), STORE]),
        tax_class=st.sampled_from(["", "food"]),
    ),
    max_size=12,
)


class Store:
    """A store in memory, which takes batches in."""

    def __init__(self):
        self.products, self.stocks = {}, {}
        self.told, self.faults, self.history, self.prices = [], [], [], []
        self.rows = 0
        self.counts = {"created": 0, "updated": 0, "unchanged": 0}
        self._ids = map(str, range(1000))

    def take_in(self, rows):
        batch = ImportProductsRequest(store_id=STORE, request_id=STORE, rows=rows)
        sound, faults = judged(batch.rows, self.rows + 1)
        known = Known(frozenset([LAMPS]), dict(self.products), self.skus(), dict(self.stocks))
        outcome = taken_in(batch, sound, known, NOW, self._ids)
        self.rows += len(rows)
        self.faults += sorted([*faults, *outcome.faults])
        for name in self.counts:
            self.counts[name] += outcome.counts[name]
        for product in [*outcome.created.values(), *outcome.changed.values()]:
            self.products[product.sku] = product
        self.stocks |= outcome.stocks
        for movement in outcome.movements:
            self.stocks[movement.after.product_id] = movement.after
            self.history += [(movement.after.sku, change.delta) for change in movement.move.changes]
        self.told += outcome.events
        self.prices += outcome.priced

    def skus(self):
        return {folded(sku): sku for sku in self.products}

    def reserve(self, sku, units):
        """Set units of a product aside, as far as there are so many."""
        if sku in self.products:
            stock = self.stocks[self.products[sku].product_id]
            fields = {name: getattr(stock, name) for name in Stock.__slots__}
            self.stocks[stock.product_id] = Stock(**fields | {"reserved": min(units, stock.on_hand)})

    def on_hand(self):
        return {sku: self.stocks[product.product_id].on_hand for sku, product in self.products.items()}


@given(ROWS, ROWS, st.data())
def test_where_a_batch_ends_makes_no_difference(before, rows, data):
    cut = data.draw(st.integers(0, len(rows)))
    whole, parts = Store(), Store()
    for store in (whole, parts):
        store.take_in(before)
        store.reserve("MUG", 2)

    whole.take_in(rows)
    parts.take_in(rows[:cut])
    parts.take_in(rows[cut:])

    assert whole.products == parts.products
    assert whole.on_hand() == parts.on_hand()
    assert (whole.counts, whole.faults, whole.told) == (parts.counts, parts.faults, parts.told)
    assert (whole.prices, sorted(whole.history)) == (parts.prices, sorted(parts.history))


@given(ROWS)
def test_each_row_is_counted_once_and_the_same_rows_again_change_nothing(rows):
    store = Store()
    store.take_in(rows)
    assert sum(store.counts.values()) + len(store.faults) == len(rows)
    assert len({fault.row for fault in store.faults}) == len(store.faults)
    # Of one SKU the last row counts: only that is what is so afterwards.
    last = list({folded(row.sku): row for row in rows}.values())
    store.take_in(last)
    before = dict(store.products), store.on_hand(), list(store.told)

    store.take_in(last)

    assert (store.products, store.on_hand(), store.told) == before


@given(ROWS)
def test_the_books_agree(rows):
    store = Store()
    store.take_in(rows)

    for sku, units in store.on_hand().items():
        assert units == sum(delta for each, delta in store.history if each == sku) >= 0
        versions = [event.product.version for event in store.told if event.product.sku == sku]
        assert versions == list(range(1, store.products[sku].version + 1))
        assert [each for each in store.prices if each.sku == sku][-1].price == store.products[sku].price


@given(ROWS, ROWS)
def test_rows_have_one_hash_and_other_rows_another(rows, others):
    assert (hash_of(rows) == hash_of(others)) == (rows == others)
