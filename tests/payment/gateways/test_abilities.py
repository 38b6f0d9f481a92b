"""What gateways can do, against what is asked of them."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.payment.gateways.gateway import Abilities
from services.payment.rules.life import AUTHORIZED
from services.payment.rules.payment import Kind, Operation, Payment
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from tests.payment.stand_ins import gateways_that_can

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def payment(captured=0, under_way=0):
    whose: dict[str, Any] = {
        name: str(new_id()) for name in ("payment_id", "order_id", "store_id", "customer_id")
    }
    taken = Operation(operation_id=str(new_id()), kind=Kind.CAPTURE, amount=under_way, create_time=NOW)
    return Payment(
        **whose,
        state=AUTHORIZED,
        amount=1000,
        captured=captured,
        currency_code="EUR",
        create_time=NOW,
        update_time=NOW,
        operations=(taken,) if under_way else (),
    )


def once(**sums):
    return replace(payment(**sums), captures_once=True)


@pytest.mark.parametrize(
    ("abilities", "asked", "amount", "lacks"),
    [
        (Abilities(), payment(), 1000, ""),
        (Abilities(), payment(), 999, "partial_capture"),
        (Abilities(partial_capture=True), payment(), 1, ""),
        (Abilities(partial_capture=True), payment(captured=1), 999, "multiple_capture"),
        (Abilities(partial_capture=True), payment(under_way=1), 999, "multiple_capture"),
        (Abilities(partial_capture=True, multiple_capture=True), payment(captured=1), 999, ""),
        (Abilities(partial_capture=True, multiple_capture=True), once(), 999, "multiple_capture"),
        (Abilities(partial_capture=True, multiple_capture=True), once(), 1000, ""),
        (Abilities(partial_capture=True, multiple_capture=True), once(captured=1000), 1, "multiple_capture"),
    ],
)
def test_a_capture_of_parts_needs_a_provider_that_takes_parts(abilities, asked, amount, lacks):
    assert abilities.lacks(asked, amount) == lacks


def test_a_gateway_takes_the_currencies_that_it_names_or_all():
    assert Abilities().takes("XAF")
    assert Abilities(currency_codes=("EUR",)).takes("EUR")
    assert not Abilities(currency_codes=("EUR",)).takes("USD")


def test_a_parcel_is_paid_with_all_the_others_where_its_part_would_end_the_authorization():
    able = gateways_that_can(
        whole=Abilities(),
        first=Abilities(partial_capture=True),
        parts=Abilities(partial_capture=True, multiple_capture=True),
    )
    assert able.takes_whole(replace(payment(), gateway="whole"), 400)
    assert able.takes_whole(replace(payment(), gateway="first"), 400)
    assert able.takes_whole(replace(once(), gateway="parts"), 400)
    assert not able.takes_whole(replace(payment(), gateway="parts"), 400)
    assert not able.takes_whole(replace(once(), gateway="parts"), 1000)


def test_a_part_that_is_said_to_be_the_last_may_be_taken_of_a_card_that_is_captured_once():
    able = gateways_that_can(parts=Abilities(partial_capture=True, multiple_capture=True))
    asked = replace(once(), gateway="parts")
    able.may_capture(asked, 400, final=True)
    with pytest.raises(Refusal) as no:
        able.may_capture(asked, 400)
    assert no.value.metadata == {"gateway": "parts", "ability": "multiple_capture"}


def test_the_ability_that_is_missing_is_told():
    gateways = gateways_that_can(whole=Abilities(), parts=Abilities(partial_capture=True))
    gateways.may_capture(replace(payment(), gateway="parts"), 999)
    gateways.may_capture(replace(payment(), gateway="whole"), 1000)
    with pytest.raises(Refusal) as no:
        gateways.may_capture(replace(payment(), gateway="whole"), 999)
    assert (no.value.name, no.value.metadata) == (
        "GATEWAY_UNABLE",
        {"gateway": "whole", "ability": "partial_capture"},
    )
