"""Promises broken on purpose, each with the test that notices: `make mutants` applies them to a copy, one by one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`before` stands in the file once and becomes `after`; then one of the tests fails."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """Return the source with the mutant in it."""
        if source.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.file} holds its text {source.count(self.before)} times")
        return source.replace(self.before, self.after)


SIMULATION = "tests/simulation/test_simulation.py::test_the_promises_hold_in_every_world"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "no FOR UPDATE on the stock",
        "services/catalog/reservations.py",
        '    .with_for_update(of=stock),\n    "offers locked",',
        '    , "offers locked",',
        ("tests/catalog/test_reserve_stock.py::test_two_hundred_buyers_at_once_of_five_units_get_five",),
    ),
    Mutant(
        "coupon checked outside the lock",
        "services/order/coupons.py",
        "_by_code.with_for_update()",
        "_by_code",
        (
            "tests/order/test_coupon_limits.py"
            "::test_of_fifty_buyers_at_once_one_gets_the_coupon_and_when_they_cancel_it_is_free_once",
        ),
    ),
    Mutant(
        "ack before commit",
        "services/runtime/consumers.py",
        """        try:
            await self._apply(batch)
        except AWAY:
            raise
        except Exception:
            for received in batch:
                await self._take_one(received)
        else:
            for received in batch:
                await received.message.ack()
""",
        """        for received in batch:
            await received.message.ack()
        await self._apply(batch)
""",
        (
            "tests/runtime/test_events.py"
            "::test_an_event_that_keeps_failing_is_put_aside_with_its_reason_and_an_alarm",
        ),
    ),
    Mutant(
        "no inbox",
        "services/runtime/consumers.py",
        "if received.event.event_id in new:",
        "if True:",
        ("tests/runtime/test_events.py::test_an_event_that_comes_twice_takes_effect_once",),
    ),
    Mutant(
        "cursor outbox",
        "services/runtime/outbox.py",
        "        outbox.c.publish_time.is_(None),\n        outbox.c.create_time <",
        "        outbox.c.event_id > select(outbox.c.event_id).where(outbox.c.publish_time.is_not(None))"
        ".order_by(outbox.c.event_id.desc()).limit(1).scalar_subquery(),\n        outbox.c.create_time <",
        (
            "tests/runtime/test_events.py"
            "::test_an_event_that_commits_when_younger_ones_were_published_arrives",
        ),
    ),
    Mutant(
        "effect without its key",
        "services/runtime/work.py",
        '"_request_id": [key.request_id] if key else [],',
        '"_request_id": [],',
        ("tests/runtime/test_request_ids.py::test_fifty_changes_at_once_are_one",),
    ),
    Mutant(
        "no sequence gate in the stream hub",
        "services/runtime/hub.py",
        "if all(update.sequence == after + 1 + i for i, update in enumerate(fresh)):",
        "if fresh:",
        (SIMULATION,),
    ),
    Mutant(
        "silence taken for a refusal",
        "services/order/driver.py",
        "if driven.order.state == rules.RESERVED and driving.is_hopeless(words(error)):",
        "if driven.order.state == rules.RESERVED:",
        (SIMULATION,),
    ),
    Mutant(
        "a rejected order's second request keeps its units",
        "services/catalog/reactions.py",
        "        OrderRejected: settlements.failed,\n",
        "",
        ("tests/catalog/test_reactions.py::test_an_order_that_fails_gives_its_units_back",),
    ),
    Mutant(
        "float rounding",
        "services/order/prices.py",
        "return (doubled + denominator) // (2 * denominator)",
        "return round(amount * numerator / denominator)",
        ("tests/order/test_prices.py::test_rounds_to_the_nearest_and_half_away_from_zero",),
    ),
    Mutant(
        "each return rounded by itself",
        "services/order/prices.py",
        "return rounded(paid, before + quantity, line.quantity) - rounded(paid, before, line.quantity)",
        "return rounded(paid, quantity, line.quantity)",
        (
            "tests/order/test_prices.py"
            "::test_however_units_are_split_into_returns_the_refunds_add_up_to_what_was_paid",
        ),
    ),
    Mutant(
        "return without limit",
        "services/order/fulfilment_rules.py",
        "line.product_id: line.shipped_quantity - line.returned_quantity for line",
        "line.product_id: line.shipped_quantity for line",
        ("tests/order/test_fulfilment_rules.py::test_more_than_is_left_changes_nothing",),
    ),
    Mutant(
        "lease without expiry",
        "services/order/driver.py",
        "return driving.due(order, self._now(), self._lease_seconds)",
        "return driving.due(order, self._now(), 1e6)",
        ("tests/saga/test_crashes.py::test_a_process_killed_amid_checkouts_costs_nothing_but_time[order]",),
    ),
    Mutant(
        "feed without a horizon",
        "services/order/feed.py",
        ".where(_of_store, _place > _after, _e.feed < _HORIZON)",
        ".where(_of_store, _place > _after)",
        (
            "tests/order/test_watch_store_orders.py"
            "::test_what_commits_late_is_told_in_its_place_and_what_came_after_it_waits",
        ),
    ),
    Mutant(
        "a confirmed order's units expire",
        "services/catalog/reactions.py",
        'work.gather(self._settle, Step("keep", event.order.order_id))',
        "pass",
        ("tests/catalog/test_reactions.py::test_a_confirmed_orders_reservation_is_kept",),
    ),
    Mutant(
        "any courier delivers",
        "services/order/fulfilment_rules.py",
        "if courier_id in (None, parcel.courier_id)]",
        "]",
        ("tests/order/test_deliver_order.py::test_a_courier_delivers_their_own_and_no_others",),
    ),
    Mutant(
        "an order's transitions are filed out of order",
        "services/order/queries.py",
        "feed=func.greatest(_XID, _o.feed)",
        "feed=_XID",
        (
            "tests/order/test_watch_store_orders.py"
            "::test_what_commits_late_is_told_in_its_place_and_what_came_after_it_waits",
        ),
    ),
    Mutant(
        "a cancelled order stays paid",
        "services/order/rules.py",
        "order.state in (CONFIRMED, ACCEPTED)",
        "order.state == CONFIRMED",
        (
            "tests/order/test_get_customer_order_stats.py"
            "::test_what_the_steps_of_any_life_add_up_to_is_what_its_end_says",
        ),
    ),
)
