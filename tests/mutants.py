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
TILL = "tests/simulation/test_till_simulation.py::test_the_promises_about_money_hold_in_every_world"
NO_FAULT = (
    "tests/runtime/test_events.py::test_what_is_no_fault_of_an_event_does_not_count_however_often_it_happens"
)
NOTED = "test_what_went_out_is_noted_for_many_at_once_and_at_the_latest_when_the_relay_stops"
STAYS = "test_an_order_that_somebody_else_has_moved_stays_and_nothing_is_told_or_counted_of_it"
OUTBOX, HOUSEKEEPING = "tests/runtime/test_outbox.py", "tests/runtime/test_housekeeping.py"
TIME = "tests/saga/test_time.py"
AT_ONCE = "tests/payment/payments/test_payments_at_once.py"
PLACING, MOVING = "tests/order/test_placing.py", "tests/order/test_moving.py"
REFUSALS, LANGUAGE = "tests/contract/test_every_refusal.py", "tests/edge/test_language.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a text is not composed",
        "services/runtime/texts.py",
        'composed = unicodedata.normalize("NFC", text)',
        "composed = text",
        ("tests/runtime/test_texts.py::test_are_kept_in_one_spelling",),
    ),
    Mutant(
        "what is not drawn is a name",
        "services/runtime/texts.py",
        'return cut if any(map(_is_drawn, cut)) else ""',
        "return cut",
        ("tests/catalog/test_create_product.py::test_refuses_a_text_in_which_nothing_can_be_seen",),
    ),
    Mutant(
        "a name may turn the text around it",
        "services/runtime/texts.py",
        "    _NAME: _CONTROLS | _TURNING,",
        "    _NAME: _CONTROLS,",
        ("tests/catalog/test_create_product.py::test_refuses_a_text_with_what_nobody_can_see",),
    ),
    Mutant(
        "a fund is a price",
        "services/runtime/currencies.py",
        "IN_USE = frozenset(_DIGITS.keys() - _FUNDS)",
        "IN_USE = frozenset(_DIGITS)",
        ("tests/catalog/test_create_product.py::test_refuses_a_price_in_what_nobody_pays_in",),
    ),
    Mutant(
        "a SKU is unique by its letters only",
        "services/catalog/queries.py",
        '"sku_folded": folded(product.sku),',
        '"sku_folded": product.sku,',
        (
            "tests/catalog/test_create_product.py::test_refuses_a_sku_that_people_take_for_that_of_another_and_names_it",
        ),
    ),
    Mutant(
        "a bad row keeps the others out",
        "services/cluster/commands/imports.py",
        "            except _Unreadable as fault:",
        "            except ZeroDivisionError as fault:",
        (
            "tests/cluster/commands/test_sheets.py::test_a_row_that_could_be_read_in_two_ways_is_told_and_the_others_go_in",
        ),
    ),
    Mutant(
        "an import is taken in before all of it is judged",
        "services/catalog/imports.py",
        "        if batch.validate_only:",
        "        if False:",
        ("tests/catalog/test_import_products.py::test_only_says_what_would_be_refused_when_asked_to",),
    ),
    Mutant(
        "a month begins in UTC",
        "services/order/calendars.py",
        "datetime(month.year, month.month, 1, tzinfo=zone)",
        "datetime(month.year, month.month, 1, tzinfo=UTC)",
        ("tests/order/test_calendars.py::test_every_moment_is_of_the_month_that_the_clocks_show",),
    ),
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
        "if driven.order.state == life.RESERVED and driving_rules.is_hopeless(words(error)):",
        "if driven.order.state == life.RESERVED:",
        (SIMULATION,),
    ),
    Mutant(
        "a rejected order's second request keeps its units",
        "services/catalog/reactions.py",
        "        OrderRejected: steps.failed,\n",
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
        "services/order/hand.py",
        "return rules.due(order, self._now(), self.lease_seconds)",
        "return rules.due(order, self._now(), 1e6)",
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
        'work.gather(self._take, Step("keep", event.order.order_id))',
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
        "an order with a coupon is shown as it was placed",
        "services/order/queries.py",
        "    _o.coupon_code == literal_column(\"''\"),\n",
        "",
        ("tests/order/test_placed.py::test_with_a_coupon_prices_are_those_after_it_whoever_has_applied_it",),
    ),
    Mutant(
        "an order that was sent is shown as it was placed",
        "services/order/queries.py",
        "for state in life.SENT),",
        "for state in ()),",
        ("tests/order/test_placed.py::test_after_every_step_to_the_door_and_back",),
    ),
    Mutant(
        "an order's address stands in two places",
        "services/order/queries.py",
        '    "delivery_address",\n',
        "",
        ("tests/order/test_placed.py::test_what_is_personal_is_in_no_second_place",),
    ),
    Mutant(
        "an order's transitions are filed out of order",
        "services/order/transitions.py",
        "feed=func.greatest(XID, _o.feed)",
        "feed=XID",
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
    Mutant(
        "refund without lock",
        "services/payment/payments/queries.py",
        "return statement(select(payments.c.payment_id).where(condition).with_for_update(), name)",
        "return statement(select(payments.c.payment_id).where(condition), name)",
        ("tests/payment/payments/test_refund_payment.py::test_of_twenty_tenths_at_once_ten_are_given_back",),
    ),
    Mutant(
        "webhook applied before stored",
        "services/payment/payments/webhooks.py",
        """    if not await work.rows(WEBHOOK_STORED, payload=cards.masked_bytes(body), **key):
        return
    problem = await apply(notice, gateway, driver, work)
""",
        """    problem = await apply(notice, gateway, driver, work)
    if not await work.rows(WEBHOOK_STORED, payload=cards.masked_bytes(body), **key):
        return
""",
        (
            "tests/payment/payments/test_ingest_webhook.py::test_an_event_that_is_known_is_not_applied_though_it_now_says_more",
        ),
    ),
    Mutant(
        "unknown taken for failed",
        "services/payment/rules/transitions.py",
        "            return _lost(payment, operation, outcome, now)",
        '            return _refused(payment, operation, Refused("silence"), now)',
        (
            "tests/payment/rules/test_rules.py::test_silence_leaves_a_payment_unknown_and_its_operation_open",
            TILL,
        ),
    ),
    Mutant(
        "unbalanced posting",
        "services/payment/rules/postings.py",
        "(income, tax - discount - (end - begin), line.product_id),",
        "(income, -discount - (end - begin), line.product_id),",
        ("tests/payment/rules/test_books_rules.py::test_a_capture_of_all_says_what_the_order_says",),
    ),
    Mutant(
        "ledger entry without order line",
        "services/payment/rules/postings.py",
        "Posting(account, max(amount, 0), max(-amount, 0), product_id)",
        "Posting(account, max(amount, 0), max(-amount, 0))",
        ("tests/payment/payments/test_partial_captures.py::test_takes_a_part_and_books_it_by_line",),
    ),
    Mutant(
        "the key changes from one question to the next",
        "services/payment/gateways/sandbox.py",
        'headers=self._authorization | {"Idempotency-Key": operation.operation_id},',
        'headers=self._authorization | {"Idempotency-Key": f"{operation.operation_id}.{operation.attempts}"},',
        (
            "tests/payment/payments/test_survival.py"
            "::test_a_charge_between_its_effect_and_its_record_is_found_again_and_charged_once",
        ),
    ),
    Mutant(
        "amount from the webhook trusted",
        "services/payment/rules/transitions.py",
        "if getattr(told, field) != ours:",
        'if field != "amount" and getattr(told, field) != ours:',
        (
            "tests/payment/payments/test_ingest_webhook.py::test_what_cannot_be_true_is_parked_and_never_applied",
        ),
    ),
    Mutant(
        "dispute counted twice",
        "services/payment/rules/disputes.py",
        "    if known and (news.status == known.status or news.status == DISPUTE_OPEN):\n        return None\n",
        "",
        (TILL,),
    ),
    Mutant(
        "a dispute that comes before its capture is forgotten",
        "services/payment/payments/webhooks.py",
        "if notice.dispute and payment.unsettled(Kind.CAPTURE):",
        "if False:",
        (
            "tests/payment/payments/test_ingest_webhook.py::test_a_dispute_that_comes_before_its_capture_is_sent_again",
            TILL,
        ),
    ),
    Mutant(
        "capture beyond the authorized",
        "services/payment/rules/amounts.py",
        "return payment.capturable - payment.unsettled(Kind.CAPTURE)",
        "return payment.amount",
        ("tests/payment/payments/test_partial_captures.py::test_refuses_more_than_is_left_and_asks_nobody",),
    ),
    Mutant(
        "expiry while a capture is in flight",
        "services/payment/rules/give_up.py",
        "if payment.expire_time is None or payment.expire_time > now or payment.in_flight:",
        "if payment.expire_time is None or payment.expire_time > now:",
        (TILL,),
    ),
    Mutant(
        "fail-over after something was sent",
        "services/payment/payments/driver.py",
        "if not isinstance(outcome, NotSent):\n                break",
        "if not isinstance(outcome, NotSent | Unknown):\n                break",
        (
            "tests/payment/gateways/test_two_gateways.py"
            "::test_a_provider_that_was_asked_and_is_silent_keeps_the_payment",
            TILL,
        ),
    ),
    Mutant(
        "late decline after authorize applied",
        "services/payment/rules/life.py",
        '    ("decline", PENDING): FAILED,\n',
        '    ("decline", PENDING): FAILED,\n    ("decline", AUTHORIZED): FAILED,\n',
        ("tests/payment/payments/test_ingest_webhook.py::test_news_that_the_state_rules_out_is_parked",),
    ),
    Mutant(
        "what a provider has forgotten is asked anew",
        "services/payment/payments/driver.py",
        "if payment.in_flight is None:\n                # It has",
        "if False:\n                # It has",
        (TILL,),
    ),
    Mutant(
        "an outcome worked out from an old version",
        "services/payment/payments/records.py",
        'version=case((version == param("version"), version + 1), else_=null())',
        'version=case((version >= param("version"), version + 1), else_=null())',
        (
            "tests/payment/payments/test_ingest_webhook.py::test_news_of_a_refund_that_cannot_be_true_is_parked",
        ),
    ),
    Mutant(
        "one bad member fails its batch",
        "services/runtime/batches.py",
        "            if _may_be_done(error):\n",
        "            if True:\n",
        (
            "tests/runtime/test_batches.py::test_one_who_is_at_fault_fails_alone",
            f"{AT_ONCE}::test_one_that_cannot_be_recorded_fails_alone",
            f"{PLACING}::test_one_that_cannot_be_recorded_fails_alone",
        ),
    ),
    Mutant(
        "a batch is acknowledged before its commit",
        "services/runtime/batches.py",
        "                results = await self._together([each.item for each in batch])\n",
        """                for each in batch:
                    each.tell(True)
                results = await self._together([each.item for each in batch])
""",
        ("tests/runtime/test_batches.py::test_nobody_is_told_before_it_is_done", TILL),
    ),
    Mutant(
        "neighbours' replies are swapped",
        "services/runtime/batches.py",
        "zip(batch, results, strict=True)",
        "zip(batch, results[::-1], strict=True)",
        (
            "tests/runtime/test_batches.py::test_those_who_come_meanwhile_go_together_and_each_is_told_their_own",
            f"{AT_ONCE}::test_an_order_that_is_paid_and_one_that_is_asked_for_twice_are_charged_once",
        ),
    ),
    Mutant(
        "who has left is done by itself, and what it was to publish is not",
        "services/runtime/batches.py",
        """        if one.left:
            return  #""",
        """        if False:
            return  #""",
        ("tests/runtime/test_batches.py::test_who_has_left_when_a_batch_fails_is_not_done_by_itself",),
    ),
    Mutant(
        "a request_id that was answered breaks a batch of orders",
        "services/order/placing.py",
        ".where(_reply.is_(None))",
        "",
        (f"{PLACING}::test_a_request_id_that_was_answered_or_comes_twice_fails_by_itself",),
    ),
    Mutant(
        "two orders of one request_id go into one batch",
        "services/order/placing.py",
        'firsts = {values["order_request_id"].lower(): (values, end) for values, end in reversed(batch)}',
        "firsts = dict(enumerate(batch))",
        (f"{PLACING}::test_a_request_id_that_was_answered_or_comes_twice_fails_by_itself",),
    ),
    Mutant(
        "who repeats a request_id is told that an order was placed",
        "services/order/placing.py",
        "[None if end in held else LeftOut() for _, end in batch]",
        "[None for _ in batch]",
        (
            f"{PLACING}::test_a_request_id_that_was_answered_or_comes_twice_fails_by_itself",
            "tests/order/test_create_order.py"
            "::test_sent_fifty_times_at_once_with_one_request_id_is_one_order",
        ),
    ),
    Mutant(
        "an order of a batch has its neighbour's lines",
        "services/order/placing.py",
        'for values in each for _ in values["position"]]}',
        'for values in each[::-1] for _ in values["position"]]}',
        (f"{PLACING}::test_what_comes_meanwhile_is_placed_together_and_each_order_is_its_own",),
    ),
    Mutant(
        "of several orders of a customer that come at once one is counted",
        "services/order/placing.py",
        '"orders": literal_column("1") if many is None else func.count(),',
        '"orders": literal_column("1"),',
        (f"{PLACING}::test_what_customers_bought_is_counted_however_many_of_their_orders_come_at_once",),
    ),
    Mutant(
        "an order with a coupon goes into a batch, without its coupon",
        "services/order/placing.py",
        "if work.begun:",
        "if False:",
        (
            f"{PLACING}::test_what_a_work_has_done_before_it_places_its_order_goes_with_it",
            "tests/order/test_create_order.py::test_of_many_at_once_each_is_answered_its_own",
        ),
    ),
    Mutant(
        "a batch of orders waits for whoever holds what one of them needs",
        "services/order/placing.py",
        'LONGEST_WAIT = "1s"',
        'LONGEST_WAIT = "0"',
        (f"{PLACING}::test_one_who_waits_for_whoever_holds_what_it_needs_does_not_keep_the_others",),
    ),
    Mutant(
        "an order that is asked for twice in a batch is recorded for both",
        "services/payment/payments/writer.py",
        """str(row["payment_id"]) for row in found}
        return [values["payment_id"] in""",
        """str(row["payment_id"]) for row in found}
        return [bool(recorded) or values["payment_id"] in""",
        (f"{AT_ONCE}::test_an_order_that_is_paid_and_one_that_is_asked_for_twice_are_charged_once",),
    ),
    Mutant(
        "two changes of one payment go in together",
        "services/payment/payments/writer.py",
        "firsts = {end.id: (values, end) for values, end in reversed(batch)}",
        "firsts = dict(enumerate(batch))",
        (
            "tests/payment/payments/test_writer.py"
            "::test_of_two_changes_of_one_payment_in_a_batch_one_is_written",
        ),
    ),
    Mutant(
        "a batch waits for whoever holds one of its payments",
        "services/payment/payments/records.py",
        "skip_locked=True",
        "skip_locked=False",
        ("tests/payment/payments/test_writer.py::test_a_batch_leaves_out_a_payment_that_somebody_holds",),
    ),
    Mutant(
        "what a batch did not hold is told all the same",
        "services/runtime/work.py",
        "for name in names)).where(of)\n",
        "for name in names))\n",
        (f"{AT_ONCE}::test_one_that_has_moved_meanwhile_is_worked_out_anew_and_told_once",),
    ),
    Mutant(
        "what waited begins while something is in flight",
        "services/payment/rules/change.py",
        "return payment.in_flight is not None or not _is_ready(kind, payment)",
        "return not _is_ready(kind, payment)",
        (
            "tests/payment/payments/test_partial_captures.py"
            "::test_a_part_waits_while_nobody_knows_what_became_of_the_one_before",
        ),
    ),
    Mutant(
        "a return gives back what it is worth, whatever is left",
        "services/payment/rules/owed.py",
        "    amount = min(operation.wanted, payment.kept)\n",
        "    amount = operation.wanted\n",
        (
            "tests/payment/payments/test_returns_of_what_is_left.py::test_gives_back_what_it_is_worth_or_what_is_left",
        ),
    ),
    Mutant(
        "what is not given back is told to nobody",
        "services/payment/payments/messages.py",
        "short = payment.currency_code, max(refund.wanted - refund.amount, 0)",
        "short = payment.currency_code, 0",
        (
            "tests/payment/payments/test_returns_of_what_is_left.py::test_gives_back_what_it_is_worth_or_what_is_left",
        ),
    ),
    Mutant(
        "what waits is not fitted when it begins",
        "services/payment/rules/change.py",
        "begun = owed.fitted(replace(begun, state=OPERATION_PENDING), after)",
        "begun = replace(begun, state=OPERATION_PENDING)",
        (
            "tests/payment/payments/test_returns_of_what_is_left.py::test_gives_back_what_it_is_worth_or_what_is_left",
        ),
    ),
    Mutant(
        "an order of nothing waits for a parcel",
        "services/payment/rules/authorize.py",
        "at_once = payment.capture_mode == AT_ONCE or not payment.amount",
        "at_once = payment.capture_mode == AT_ONCE",
        (
            "tests/payment/payments/test_authorize_payment.py::test_an_order_that_costs_nothing_needs_no_provider",
        ),
    ),
    Mutant(
        "the provider's words are shown to customers",
        "services/payment/payments/messages.py",
        'if caller and caller.role != "CUSTOMER" else',
        "if caller else",
        (
            "tests/payment/payments/test_get_payment.py"
            "::test_shows_the_providers_own_words_to_staff_and_never_to_customers",
        ),
    ),
    Mutant(
        "goods go out after the promise has ended",
        "services/order/handlers.py",
        "    if not cause and rules.is_promise_over(order, now()):",
        "    if False:",
        (
            "tests/order/test_money_told.py"
            "::test_when_the_promise_ends_nothing_more_is_sent_from_that_moment_on",
        ),
    ),
    Mutant(
        "what was taken is not paid once the promise has ended",
        "services/order/handlers.py",
        'cause = "" if row["captured_minor_units"] >= order.total.minor_units else "expired"',
        'cause = "expired"',
        ("tests/order/test_money_told.py::test_what_is_taken_may_be_sent_after_its_promise_has_ended",),
    ),
    Mutant(
        "an order assumes what went back",
        "services/order/payment_news_rules.py",
        "    order.refunded.minor_units += back\n",
        "",
        ("tests/order/test_money_told.py::test_what_was_refunded_for_a_cancellation_is_known_too",),
    ),
    Mutant(
        "a total in another currency is the one that was shown",
        "services/order/prices.py",
        "    if order.total != expected:",
        "    if order.total.minor_units != expected.minor_units:",
        ("tests/order/test_expected_total.py::test_whatever_else_changed_refuses_it_too_and_uses_no_coupon",),
    ),
    Mutant(
        "the tax within a shipping fee is booked nowhere",
        "services/order/prices.py",
        "        within = order.shipping_tax.minor_units\n",
        "        within = 0\n",
        ("tests/order/test_shipping_tax.py::test_is_booked_as_tax_and_comes_back_with_the_fee",),
    ),
    Mutant(
        "settlement fee posted twice",
        "services/payment/settlement/rules.py",
        "line.cost - (ours.fee if ours else 0))",
        "line.cost)",
        (
            "tests/payment/settlement/test_import_settlement.py"
            "::test_a_dispute_and_its_end_are_matched_and_its_fee_is_not_posted_twice",
        ),
    ),
    Mutant(
        "a store may have all places",
        "services/runtime/places.py",
        "return held < self.own or held < GREED * (self.most - self.taken)",
        "return self.taken < self.most",
        (
            "tests/order/test_fairness.py"
            "::test_a_store_whose_orders_fill_its_share_is_refused_and_another_stores_orders_are_taken",
        ),
    ),
    Mutant(
        "no store has places of its own",
        "services/runtime/places.py",
        "return held < self.own or held < GREED",
        "return held < GREED",
        ("tests/runtime/test_places.py::test_a_store_is_let_in_to_its_own_places_whatever_others_hold",),
    ),
    Mutant(
        "who waits longest is served first, whosever it is",
        "services/order/driver.py",
        "self._authorizing.turn(driven.order.store_id)",
        'self._authorizing.turn("")',
        (
            "tests/order/test_fairness.py"
            "::test_orders_of_another_store_are_confirmed_while_a_flood_of_slow_ones_is_still_being_paid",
        ),
    ),
    Mutant(
        "a customer's orders under way are not counted",
        "services/order/hand.py",
        "if caller.customer_id and self._of_customer",
        "if not caller.customer_id and self._of_customer",
        (
            "tests/order/test_fairness.py"
            "::test_one_customer_has_few_orders_under_way_and_other_customers_of_the_store_are_served",
        ),
    ),
    Mutant(
        "a person has a store's places",
        "services/runtime/shares.py",
        "            most = self._persons\n",
        "",
        (
            "tests/runtime/test_shares.py"
            "::test_a_customers_streams_past_a_persons_share_are_refused_and_others_are_not",
        ),
    ),
    Mutant(
        "one token opens any number of streams",
        "services/runtime/shares.py",
        "{STREAM: self._settings.caller_streams}",
        "{}",
        ("tests/runtime/test_shares.py::test_one_token_opens_so_many_streams_and_no_more",),
    ),
    Mutant(
        "nobody is paced",
        "services/runtime/shares.py",
        "            if late := bucket.take(self._weight, now):",
        "            if late := 0:",
        (
            "tests/runtime/test_shares.py"
            "::test_whoever_calls_too_often_is_told_when_to_come_back_and_others_are_served",
        ),
    ),
    Mutant(
        "a place is kept when the call has ended",
        "services/runtime/shares.py",
        "        self._store.held -= 1\n",
        "",
        ("tests/runtime/test_shares.py::test_places_are_given_back_however_a_call_ends",),
    ),
    Mutant(
        "searches take all connections",
        "services/runtime/pipeline.py",
        "        if self._method.cost == SEARCH:\n",
        "        if self._method.cost == -1:\n",
        ("tests/runtime/test_shares.py::test_searches_never_take_all_connections",),
    ),
    Mutant(
        "a provider that fails one store is left alone for all",
        "services/payment/gateways/guard.py",
        "return self._breakers.get(store, self._fresh)",
        "return next(iter(self._breakers.values()), self._fresh)",
        (
            "tests/payment/gateways/test_guard.py::test_a_provider_that_fails_one_store_is_asked_for_the_others",
            "tests/order/test_fairness.py::test_a_store_whose_provider_is_silent_waits_alone",
        ),
    ),
    Mutant(
        "a provider's places are one pool",
        "services/payment/gateways/guard.py",
        "if not self._places.has_room(self._held[store]):",
        "if self._places.taken >= self._places.most:",
        ("tests/payment/gateways/test_guard.py::test_a_store_that_fills_its_places_leaves_others_theirs",),
    ),
    Mutant(
        "a connection carries any number of streams",
        "services/runtime/server.py",
        "settings.streams_per_connection",
        "100_000",
        ("tests/runtime/test_hostile_connections.py::test_a_flood_costs_little_and_nobody_else_notices",),
    ),
    Mutant(
        "pings are answered for ever",
        "services/runtime/server.py",
        '("grpc.http2.max_ping_strikes", 2)',
        '("grpc.http2.max_ping_strikes", 0)',
        ("tests/runtime/test_hostile_connections.py::test_whoever_pings_for_ever_is_cut_off",),
    ),
    Mutant(
        "a service shares its table of headers with all",
        "services/gateway/clusters.py",
        '"hpack_table_size": 0',
        '"hpack_table_size": 4096',
        ("tests/gateway/test_bad_headers.py::test_shares_no_header_table_with_a_service",),
    ),
    Mutant(
        "a malformed deadline reaches a service",
        "services/gateway/headers.py",
        '"grpc-timeout": ("[0-9]{1,8}[HMSmun]"',
        '"grpc-timeout": (".*"',
        ("tests/gateway/test_bad_headers.py::test_refuses_a_stranger_s_body_with",),
    ),
    Mutant(
        "a query names what a path gives",
        "services/gateway/parameters.py",
        "    for name in bound:",
        "    for name in ():",
        ("tests/gateway/test_parameters.py::test_refuses_a_parameter_that_the_path_gives",),
    ),
    Mutant(
        "a query stands beside a body",
        "services/gateway/members.lua",
        "  check_query(query, body[4])",
        "",
        ("tests/gateway/test_parameters.py::test_refuses_a_parameter_beside_a_body",),
    ),
    Mutant(
        "two authorizations pass",
        "services/gateway/headers.py",
        "        TWICE: denial(_header(AUTHORIZATION, _TWO)),",
        "",
        ("tests/gateway/test_http.py::test_answers",),
    ),
    Mutant(
        "grpc-web is refused with an HTTP status",
        "services/gateway/replies.py",
        '        "status_code": 200,',
        "",
        ("tests/gateway/test_grpc.py::test_refuses_grpc_web_with_a_grpc_status",),
    ),
    Mutant(
        "all addresses without a token share a bucket",
        "services/gateway/rates.py",
        '"v4_prefix_mask_len": 32',
        '"v4_prefix_mask_len": 8',
        ("tests/gateway/test_rates.py::test_another_address_is_not_refused",),
    ),
    Mutant(
        "who has a token is paced by address",
        "services/gateway/rates.py",
        '"expect_match": False',
        '"expect_match": True',
        (
            "tests/gateway/test_rates.py"
            "::test_an_address_that_floods_without_a_token_is_refused_and_tokens_are_not",
        ),
    ),
    Mutant(
        "a refusal does not say in HTTP when to come back",
        "services/runtime/refusals.py",
        "    if refusal.retry_seconds is None:\n        return ((DETAILS",
        "    if True:\n        return ((DETAILS",
        ("tests/order/test_fairness.py::test_whoever_is_told_to_come_back_is_told_when_in_http_too",),
    ),
    Mutant(
        "a page of payments without its store",
        "services/payment/payments/lists.py",
        "conditions = [_EQUAL[name] for name in given]",
        'conditions = [_EQUAL[name] for name in given if name != "store_id"]',
        (
            "tests/payment/payments/test_list_payments.py"
            "::test_another_store_sees_nothing_of_it_and_customers_ask_otherwise",
        ),
    ),
    Mutant(
        "whoever is overtaken three times gives up",
        "services/runtime/pipeline.py",
        "attempts -= not isinstance(error, Overtaken)",
        "attempts -= 1",
        (
            "tests/runtime/test_incoming.py"
            "::test_a_message_that_others_hindered_is_done_again_and_takes_effect_once[overtake 30]",
        ),
    ),
    Mutant(
        "a deadlock counts as a failed delivery",
        "services/runtime/consumers.py",
        "if isinstance(error, RETRIED):",
        "if False:",
        (f"{NO_FAULT}[deadlock-5]",),
    ),
    Mutant(
        "a database that is away counts as a failed delivery",
        "services/runtime/consumers.py",
        """            await self._apply(batch)
        except AWAY:
            raise
        except Exception:""",
        """            await self._apply(batch)
        except AWAY as error:
            for received in batch:
                if self._is_given_up(received.event, error):
                    await self._bury(received.event, error)
                    await received.message.ack()
            raise
        except Exception:""",
        (f"{NO_FAULT}[away-3]",),
    ),
    Mutant(
        "deliveries count, not an event's own failures",
        "services/runtime/consumers.py",
        "if not self._is_given_up(event, error):",
        "if isinstance(error, RETRIED) or received.attempt < self._settings.delivery_attempts:",
        (
            "tests/runtime/test_events.py::test_what_hindered_an_event_leaves_it_all_the_attempts_it_has[deadlock-4]",
        ),
    ),
    Mutant(
        "what a process that stops has in hand is held back",
        "services/runtime/consumers.py",
        "                    await jetstream.give_back(messages, waits)\n",
        "",
        (
            "tests/runtime/test_events.py"
            "::test_an_event_in_the_hands_of_a_process_that_stops_is_anothers_at_once",
        ),
    ),
    Mutant(
        "an event is given up one delivery too early",
        "services/runtime/consumers.py",
        "self._failures[event.event_id] >= self._settings.delivery_attempts",
        "self._failures[event.event_id] + 1 >= self._settings.delivery_attempts",
        (
            "tests/runtime/test_events.py"
            "::test_an_event_that_keeps_failing_is_put_aside_with_its_reason_and_an_alarm",
        ),
    ),
    Mutant(
        "an outbox catches up with the youngest first",
        "services/runtime/outbox.py",
        ".order_by(outbox.c.create_time)",
        ".order_by(outbox.c.create_time.desc())",
        (f"{OUTBOX}::test_what_a_process_left_behind_goes_out_in_the_order_in_which_it_happened",),
    ),
    Mutant(
        "an outbox catches up by one batch a sweep",
        "services/runtime/outbox.py",
        "return len(rows) == BATCH",
        "return False",
        (f"{OUTBOX}::test_however_much_was_left_behind_all_of_it_goes_out_at_once",),
    ),
    Mutant(
        "what inboxes have forgotten is sent again",
        "services/runtime/outbox.py",
        "values(publish_time=case((_young, null()), else_=outbox.c.publish_time))",
        "values(publish_time=null())",
        (f"{OUTBOX}::test_what_inboxes_may_have_forgotten_is_not_sent_again",),
    ),
    Mutant(
        "a lost stream gets the first page again",
        "services/runtime/outbox.py",
        '            after = max(row["event_id"] for row in rows)',
        "            break",
        (f"{OUTBOX}::test_a_stream_that_was_lost_while_nobody_looked_gets_again_all_that_is_on_record",),
    ),
    Mutant(
        "nobody remembers to which stream events went",
        "services/runtime/outbox.py",
        "        await self._database.rows(_REMEMBER_STREAM, created=created)\n",
        "",
        (f"{OUTBOX}::test_a_stream_that_was_lost_while_nobody_looked_gets_again_all_that_is_on_record",),
    ),
    Mutant(
        "each event that went out is noted by itself",
        "services/runtime/outbox.py",
        "if len(self._acknowledged) >= BATCH:",
        "if self._acknowledged:",
        (f"{OUTBOX}::{NOTED}",),
    ),
    Mutant(
        "a relay that stops forgets what went out",
        "services/runtime/outbox.py",
        "            with suppress(Refusal):  # Then they are sent twice.\n                await self._note()\n",
        "            pass\n",
        (f"{OUTBOX}::{NOTED}",),
    ),
    Mutant(
        "what a lost stream had is noted after all",
        "services/runtime/outbox.py",
        "                if loop.time() >= min(self._note_time, next_sweep):\n"
        "                    await self._note()\n"
        "                if loop.time() >= next_sweep:\n"
        "                    await self._look_at_stream()\n",
        "                if loop.time() >= next_sweep:\n"
        "                    await self._look_at_stream()\n"
        "                    await self._note()\n",
        (f"{OUTBOX}::test_what_a_lost_stream_had_is_sent_again_though_that_was_not_noted_yet",),
    ),
    Mutant(
        "an order that did not move is counted",
        "services/order/statistics.py",
        "select(*key, *sums).where(*which).group_by(*key)",
        "select(*key, *sums).group_by(*key)",
        (f"{MOVING}::{STAYS}", f"{MOVING}::test_moves_that_are_recorded_twice_count_once"),
    ),
    Mutant(
        "an order that did not move is told of",
        "services/order/transitions.py",
        "return [move for move in moves if ends[move.order.order_id] in held]",
        "return moves",
        (f"{MOVING}::{STAYS}",),
    ),
    Mutant(
        "a coupon of an order that failed by itself stays used",
        "services/order/transitions.py",
        "        if any(move.gives_coupon_back for move in moves):",
        "        if False:",
        ("tests/order/test_coupon_limits.py::test_an_order_that_fails_by_itself_gives_the_coupon_back",),
    ),
    Mutant(
        "an inbox forgets as soon as an outbox",
        "services/runtime/housekeeping.py",
        "_old(inbox, longer=1)",
        "_old(inbox)",
        (f"{HOUSEKEEPING}::test_a_row_goes_at_the_end_of_its_time_and_not_before",),
    ),
    Mutant(
        "one batch of what is old goes",
        "services/runtime/housekeeping.py",
        "        while deleted == BATCH:",
        "        if deleted == BATCH:",
        (f"{HOUSEKEEPING}::test_however_many_rows_are_old_all_of_them_go",),
    ),
    Mutant(
        "housekeeping gives up when the database is away",
        "services/runtime/housekeeping.py",
        "            except Refusal as refusal:\n                logs",
        "            except LookupError as refusal:\n                logs",
        (f"{HOUSEKEEPING}::test_a_database_that_was_away_is_looked_after_when_it_is_back",),
    ),
    Mutant(
        "a server is healthy while it stops",
        "services/runtime/server.py",
        "        await self._health.enter_graceful_shutdown()\n",
        "",
        ("tests/runtime/test_drain.py::test_health_says_that_a_server_stops_while_it_finishes",),
    ),
    Mutant(
        "an order is looked at ever as often",
        "services/order/driving_rules.py",
        "return float(min(300.0, 5.0 * 2 ** min(attempts, 10)))",
        "return 5.0",
        (f"{TIME}::test_a_provider_that_stays_silent_is_asked_ever_more_seldom_and_again_in_its_time",),
    ),
    Mutant(
        "a resume token never grows old",
        "services/order/feed.py",
        "if made < self._clock() - self._days * _DAY_SECONDS:",
        "if made < 0:",
        (f"{TIME}::test_a_feed_goes_on_after_six_days_and_says_so_when_it_no_longer_can",),
    ),
    Mutant(
        "money that nobody takes is held for ever",
        "services/payment/rules/authorize.py",
        "        expire_time=_expires(payment, told, state),",
        "        expire_time=None,",
        (f"{TIME}::test_money_that_nobody_takes_is_let_go_after_its_days_and_the_units_come_back",),
    ),
    Mutant(
        "a refusal as long as what was asked",
        "services/runtime/refusals.py",
        "            if min(room, room_in_json) < 0:",
        "            if False:",
        (f"{REFUSALS}::test_is_bounded_with_everything_in_it_that_can_be",),
    ),
    Mutant(
        "a list is checked however long it is",
        "services/runtime/validation.py",
        "    if len(data) > _NONE_TOO_LONG_BYTES:",
        "    if False:",
        (f"{REFUSALS}::test_of_a_list_that_is_too_long_looks_at_no_more_items_than_it_may_have",),
    ),
    Mutant(
        "a time beyond all is a fault of ours",
        "services/runtime/validation.py",
        "    except protovalidate.EvaluationError as error:",
        "    except ZeroDivisionError as error:",
        (f"{REFUSALS}::test_of_a_time_beyond_all_names_its_field",),
    ),
    Mutant(
        "an empty shelf that nobody said is empty",
        "protos/commerce/catalog/v1/stock_service.proto",
        "  optional int32 quantity = 2 [\n    (buf.validate.field).required = true,",
        "  int32 quantity = 2 [",
        ("tests/contract/test_every_zero.py::test_is_said_or_means_something",),
    ),
    Mutant(
        "fields by REST are named as the contract names them",
        "services/runtime/pipeline.py",
        "    if handed_on:\n        rename(refusal)",
        "    if False:\n        rename(refusal)",
        (f"{LANGUAGE}::test_names_fields_in_camel_case_by_rest_and_as_the_contract_does_by_grpc",),
    ),
    Mutant(
        "what was sent is taken for the name of a field",
        "services/runtime/json_names.py",
        'if "_" in text), key=len',
        'if "_" not in text), key=len',
        (f"{LANGUAGE}::test_repeats_what_was_sent_as_it_was_sent",),
    ),
    Mutant(
        "a wrong choice is told nothing of the right ones",
        "services/gateway/kinds.py",
        'found[PREFIX + choice.full_name] = f"must be one of {names}"',
        'found[choice.full_name] = f"must be one of {names}"',
        (f"{LANGUAGE}::test_lists_what_is_allowed_instead_of_a_choice_that_is_none",),
    ),
    Mutant(
        "half of a surrogate pair is kept",
        "services/payment/gateways/http.py",
        'return _storable(read) if "\\\\u" in text else read',
        "return read",
        (
            "tests/payment/payments/test_ingest_webhook.py::test_answers_400_to_a_signed_event_whose_id_is_no_text",
        ),
    ),
    Mutant(
        "a process that hangs is left alone",
        "services/cluster/processes.py",
        "if silent == SILENT_PROBES and",
        "if silent < 0 and",
        ("tests/cluster/test_life.py::test_a_process_that_hangs_is_restarted_and_its_log_says_so[alpha]",),
    ),
    Mutant(
        "short stops add up to a hang",
        "services/cluster/processes.py",
        "silent = 0 if probe.result() or self._is_held() else silent + 1",
        "silent = silent if probe.result() or self._is_held() else silent + 1",
        ("tests/cluster/test_life.py::test_a_short_stop_is_no_hang",),
    ),
    Mutant(
        "a process that a debugger holds is restarted",
        "services/cluster/processes.py",
        "probe.result() or self._is_held()",
        "probe.result()",
        ("tests/cluster/test_life.py::test_a_process_that_a_debugger_holds_is_left_alone",),
    ),
    Mutant(
        "doctor takes an open port for an answer",
        "services/cluster/commands/doctor.py",
        "return readiness.http(address, path), readiness.http_alive(address)",
        "return readiness.tcp(address), readiness.tcp(address)",
        (
            "tests/cluster/commands/test_doctor.py::test_a_provider_that_hangs_and_the_order_that_waits_for_it",
        ),
    ),
    Mutant(
        "doctor without a cluster is content",
        "services/cluster/commands/doctor.py",
        'yield Finding(False, f"no cluster runs',
        'yield Finding(None, f"no cluster runs',
        ("tests/cluster/commands/test_commands.py::test_doctor_looks_at_a_machine_without_a_cluster",),
    ),
    Mutant(
        "doctor overlooks a supervisor that hangs",
        "services/cluster/commands/doctor.py",
        "if silent < SILENT_SECONDS:",
        "if silent > 0:",
        ("tests/cluster/commands/test_doctor.py::test_a_supervisor_that_hangs",),
    ),
    Mutant(
        "doctor blames a provider for its customer",
        "services/cluster/commands/symptoms.py",
        'f" AND of.state = {PaymentState.PAYMENT_STATE_REQUIRES_ACTION})"',
        '" AND false)"',
        ("tests/cluster/commands/test_doctor.py::test_a_customer_who_has_to_confirm_is_no_silent_provider",),
    ),
    Mutant(
        "doctor overlooks a refund that failed",
        "services/cluster/commands/symptoms.py",
        "AND kind <> 'authorize' AND settle_time",
        "AND kind = 'authorize' AND settle_time",
        ("tests/cluster/commands/test_doctor.py::test_a_refund_that_failed",),
    ),
    Mutant(
        "doctor overlooks an order without a next look",
        "services/cluster/commands/symptoms.py",
        "AND coalesce(due_time, update_time) <",
        "AND due_time <",
        ("tests/cluster/commands/test_doctor.py::test_orders_that_were_given_up_and_that_wait_for_nobody",),
    ),
    Mutant(
        "doctor overlooks who is behind the events",
        "services/cluster/commands/symptoms.py",
        "if since is not None and datetime",
        "if since is None and datetime",
        ("tests/cluster/commands/test_doctor.py::test_a_service_that_is_behind_the_events",),
    ),
    Mutant(
        "a declined checkout leaves no line",
        "services/order/transitions.py",
        "        if move.state in life.FAILED:\n            _log",
        "        if move.state in ():\n            _log",
        (
            "tests/cluster/traces/test_tracing.py::test_a_declined_checkout_leaves_one_line_in_the_services_log",
        ),
    ),
    Mutant(
        "commands wrap ids",
        "services/cluster/output.py",
        '{value}", markup=False, highlight=False, soft_wrap=True)',
        '{value}", markup=False, highlight=False)',
        ("tests/cluster/test_output.py::test_no_id_is_cut[30]",),
    ),
    Mutant(
        "whoever looks with psql may write",
        "services/cluster/commands/psql.py",
        "    if not write:\n",
        "    if write:\n",
        ("tests/cluster/commands/test_psql.py::test_nothing_is_changed_unless_that_is_asked_for",),
    ),
)
