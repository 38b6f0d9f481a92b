"""A thousand worlds of payments: calls, events and webhooks are lost, repeated, reordered and late; processes die.

A world that fails prints its seed: COMMERCE_SEED=… repeats that world alone, exactly. COMMERCE_SEEDS=… runs more.
"""

import hashlib
import random
from collections import Counter

import pytest

from services.payment.gateways import guard
from services.payment.payments import handlers, janitor, reactions, webhooks
from services.payment.rules import life
from services.payment.rules.payment import OPERATION_SUCCEEDED, UNSETTLED
from services.payment.store_settings import queries as store_settings
from services.runtime import logs, times
from tests.simulation import loop, seeds
from tests.simulation.till_database import OPERATIONS, PAYMENTS
from tests.simulation.till_world import World

SUMS = ("captured", "voided", "refunded", "disputed", "charged_back")


def simulate(number):
    """Run the world of a seed; a hash of everything that happened, and the world."""
    seed = random.Random(number)
    random.seed(number)  # The driver draws its back-offs from the interpreter's own.

    async def main(running):
        world = World(running, seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(times, "now", world.now)
            patch.setattr(guard, "_now", running.time)
            patch.setattr(store_settings, "of", world.settings)
            patch.setattr(janitor, "SWEEP_SECONDS", 2.0)
            for module in (handlers, reactions, webhooks):
                patch.setattr(module, "new_id", world.next_id)
            await world.run()
            diary = list(world.network.diary)
            check(world)
            await running.end(world.processes)
            world.network.diary = diary
        return world

    world = loop.run(seed, main)
    return hashlib.sha256("\n".join(world.network.diary).encode()).hexdigest(), world


def check(world):
    """The promises."""
    assert not world.wrong, world.wrong
    operations = list(world.database.table(OPERATIONS).values())
    left = [row for row in operations if row["state"] in UNSETTLED]
    assert not left, f"open for ever: {left}"
    for payment in world.database.table(PAYMENTS).values():
        own = [row for row in operations if row["payment_id"] == payment["payment_id"]]
        _agrees(world, payment, own)
        _booked(world, payment)
    problems = {row["problem"] for row in world.database.table("webhooks").values()}
    assert problems <= {""}, f"a truthful provider is contradicted: {problems}"
    sent = sum(len(provider.notices) for provider in world.providers)
    assert len(world.database.table("webhooks")) == sent, "a webhook was lost"
    _told(world)


def _agrees(world, payment, operations):
    """What happened at the providers is what our books say; each operation once, each request one operation."""
    ours = {name: payment[f"{name}_minor_units"] for name in SUMS}
    keys = {row["operation_id"] for row in operations}
    charges = [charge for each in world.providers for charge in each.charges.values() if charge.key in keys]
    promised = [charge for charge in charges if charge.promised]
    assert len(promised) <= 1, "charged twice"
    theirs = dict.fromkeys(SUMS, 0)
    for charge in promised:
        assert charge.reference == payment["provider_reference"], "another charge than ours"
        sums = (charge.captured, charge.voided, charge.refunded, charge.disputed, charge.lost)
        theirs = dict(zip(SUMS, sums, strict=True))
        assert charge.held == 0, "promised for ever"
        if not ours["voided"] and not charge.captured:
            theirs["voided"] = 0  # It was promised and given up there before we knew of it.
    assert ours == theirs, f"{[(row['kind'], row['state'], row['amount_minor_units']) for row in operations]}"
    for kind, name in (("capture", "captured"), ("refund", "refunded")):
        done = [row for row in operations if (row["kind"], row["state"]) == (kind, OPERATION_SUCCEEDED)]
        assert sum(row["amount_minor_units"] for row in done) == ours[name]
    by_hand = [row["request_id"] for row in operations if row["request_id"] and not row["wanted_minor_units"]]
    assert len(by_hand) == len(set(by_hand))
    assert payment["state"] not in (*life.UNDECIDED, life.AUTHORIZED), life.name_of(payment["state"])


def _booked(world, payment):
    balances: Counter[str] = Counter()
    for entry in world.database.table("ledger").values():
        if entry["payment_id"] == payment["payment_id"]:
            balances[entry["account"]] += entry["debit"] - entry["credit"]
    ours = {name: payment[f"{name}_minor_units"] for name in SUMS}
    fees = balances["fees"]
    assert sum(balances.values()) == 0
    assert balances["customer_receivable"] == 0, balances
    kept = ours["captured"] - ours["refunded"] - ours["disputed"] - ours["charged_back"]
    assert balances["provider_clearing"] == kept - fees, balances
    assert -balances["revenue"] == ours["captured"]
    assert balances["disputes"] == ours["disputed"] + ours["charged_back"]


def _told(world):
    """Everybody is told of each thing once."""
    sums: Counter[tuple[str, str]] = Counter()
    for event in world.database.outbox:
        name, payment_id = type(event).__name__, event.payment.payment_id
        sums[name, payment_id] += 1
        if name == "PaymentCaptured":
            sums["captured", payment_id] += event.capture.minor_units
        if name == "PaymentRefunded":
            sums["refunded", payment_id] += event.refund.minor_units
    for payment_id, payment in world.database.table(PAYMENTS).items():
        for name in ("PaymentAuthorized", "PaymentFailed", "PaymentVoided", "PaymentExpired"):
            assert sums[name, payment_id] <= 1, name
        for name in ("captured", "refunded"):
            assert sums[name, payment_id] == payment[f"{name}_minor_units"]


@pytest.fixture(autouse=True, scope="module")
def quiet():
    logs.configure("simulation", "critical")


@pytest.mark.parametrize("batch", range(seeds.BATCHES))
def test_the_promises_about_money_hold_in_every_world(batch):
    seeds.hold(simulate, batch)


def test_a_seed_is_a_world():
    assert simulate(7)[0] == simulate(7)[0]
    assert simulate(7)[0] != simulate(8)[0]


def test_the_worlds_know_trouble_and_every_end():
    """What never goes wrong proves nothing."""
    ends, diary = set(), ""
    for number in range(200):
        _, world = simulate(number)
        ends |= {life.name_of(row["state"]) for row in world.database.table(PAYMENTS).values()}
        diary += "\n".join(world.network.diary)

    assert ends == {"CAPTURED", "VOIDED", "EXPIRED", "PARTIALLY_REFUNDED", "REFUNDED", "FAILED", "DISPUTED"}
    for trouble in ("dies", "lost", "unanswered", "not sent", "never seen", "forgets", "dispute", "expired"):
        assert trouble in diary, trouble
    for together in ("payments recorded at once", "payments changed at once"):
        assert diary.count(together) > 5, together
