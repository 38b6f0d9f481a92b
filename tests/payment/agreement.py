"""Whether all agree about a store's payments: the provider's book, our rows, the ledger and what was published."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from commerce.payment.v1 import payment_events_pb2 as events
from commerce.payment.v1.ledger_service_pb2 import GetTrialBalanceRequest
from commerce.payment.v1.payment_pb2 import DisputeStatus, PaymentOperationState, PaymentState

from tests.payment.till import HOLDING, OURS, Till, disagreement
from tests.saga.checkouts import book, ours
from tests.shop import Shop, eventually

SETTLE_SECONDS = 60.0
# Facts that are told of a whole operation each.
COUNTED = {"authorize": "PaymentAuthorized", "capture": "PaymentCaptured", "refund": "PaymentRefunded"}
ENDS = {"VOIDED": "PaymentVoided", "EXPIRED": "PaymentExpired", "FAILED": "PaymentFailed"}


@dataclass
class Account:
    """One payment as everybody has it."""

    row: dict[str, Any]
    charges: list[dict[str, Any]]
    operations: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)

    @property
    def state(self) -> str:
        return PaymentState.Name(self.row["state"]).removeprefix("PAYMENT_STATE_")

    @property
    def sums(self) -> dict[str, int]:
        return {name: self.row[f"{name}_minor_units"] for name in OURS}

    def done(self, kind: str) -> list[dict[str, Any]]:
        """The operations of a kind that succeeded."""
        return [one for one in self.operations if one["kind"] == kind and _word(one) == "SUCCEEDED"]

    def __str__(self) -> str:
        asked = [f"{one['kind']} {one['amount_minor_units']} {_word(one)}" for one in self.operations]
        told = [type(event).__name__ for event in self.events]
        return f"{self.row['payment_id']} {self.state} {self.sums} {asked} {told} {self.charges}"


async def agree(till: Till, seconds: float = SETTLE_SECONDS) -> dict[str, Account]:
    """Wait until nothing of the store is open, and everybody agrees; or say who does not. By order."""
    shop, found = till.shop, dict[str, Account]()

    async def agreed() -> bool:
        nonlocal found
        if await unsettled(shop):
            return False
        found = await accounts(shop)
        return not _wrong(found)

    try:
        await eventually(agreed, seconds)
    except TimeoutError:
        raise AssertionError("\n".join([*await unsettled(shop), *_wrong(found)][:20])) from None
    await balanced(shop)
    return found


def _wrong(found: dict[str, Account]) -> list[str]:
    return [f"{complaint}: {each}" for each in found.values() for complaint in complaints(each)]


async def unsettled(shop: Shop) -> list[str]:
    """The operations that are open or wait; not those for which the customer is waited."""
    rows = await shop.clients.rows(
        """SELECT kind, operations.state, payments.state AS payment_state, payment_id, attempts
        FROM payment.operations JOIN payment.payments USING (payment_id)
        WHERE operations.store_id = $1 AND settle_time IS NULL AND NOT (kind = 'authorize' AND payments.state = $2)
        LIMIT 100""",
        shop.store_id,
        PaymentState.PAYMENT_STATE_REQUIRES_ACTION,
    )
    return [str(dict(row)) for row in rows]


async def accounts(shop: Shop) -> dict[str, Account]:
    """The store's payments by order."""
    theirs, mine = await book(shop), await ours(shop)
    found = {order: Account(row, theirs.get(order, [])) for order, row in mine.items()}
    by_payment = {str(each.row["payment_id"]): each for each in found.values()}
    for table in ("operations", "disputes"):
        for row in await shop.clients.rows(
            f"SELECT * FROM payment.{table} WHERE store_id = $1 ORDER BY 1", shop.store_id
        ):
            getattr(by_payment[str(row["payment_id"])], table).append(dict(row))
    for row in await shop.clients.rows(
        """SELECT payment_id, account, sum(debit_minor_units - credit_minor_units)::bigint AS balance
        FROM payment.ledger_entries WHERE store_id = $1 GROUP BY payment_id, account""",
        shop.store_id,
    ):
        by_payment[str(row["payment_id"])].balances[row["account"]] = row["balance"]
    for event in await shop.published():
        if event.DESCRIPTOR.file.package != events.DESCRIPTOR.package:
            continue
        if event.payment.payment_id in by_payment:
            by_payment[event.payment.payment_id].events.append(event)
    return found


def complaints(account: Account) -> Iterator[str]:
    """What is wrong with a payment of which nothing is open any more."""
    if len(account.charges) > 1:
        yield "charged twice"
    elif account.charges:
        yield from filter(None, [disagreement(account.state, account.sums, account.charges[0])])
    elif account.state not in ("FAILED", "VOIDED") and account.sums["amount"]:
        yield "the provider knows nothing of it"
    yield from _of_the_operations(account)
    yield from _of_the_ledger(account)
    yield from _of_the_events(account)


def _of_the_operations(account: Account) -> Iterator[str]:
    for kind, name in (("capture", "captured"), ("refund", "refunded")):
        total = sum(one["amount_minor_units"] for one in account.done(kind))
        if total != account.sums[name]:
            yield f"{name} {account.sums[name]}, but the operations say {total}"
    if len(account.done("authorize")) > 1:
        yield "authorized twice"


def _of_the_ledger(account: Account) -> Iterator[str]:
    sums, open_, lost = account.sums, 0, 0
    for dispute in account.disputes:
        open_ += dispute["amount_minor_units"] * (dispute["status"] == DisputeStatus.DISPUTE_STATUS_OPEN)
        lost += dispute["amount_minor_units"] * (dispute["status"] == DisputeStatus.DISPUTE_STATUS_LOST)
    if (open_, lost) != (sums["disputed"], sums["charged_back"]):
        yield f"the disputes say {open_} open and {lost} lost"
    fees = sum(dispute["fee_minor_units"] for dispute in account.disputes)
    held = sums["amount"] - sums["captured"] - sums["voided"] if account.state in HOLDING else 0
    expected = {
        "customer_receivable": held,
        "authorizations": -held,
        "provider_clearing": sums["captured"] - sums["refunded"] - open_ - lost - fees,
        "disputes": open_ + lost,
        "fees": fees,
    }
    for name, amount in expected.items():
        if account.balances.get(name, 0) != amount:
            yield f"{name} is {account.balances.get(name, 0)} and should be {amount}"


def _of_the_events(account: Account) -> Iterator[str]:
    told = Counter(type(event).__name__ for event in account.events)
    expected = {name: len(account.done(kind)) for kind, name in COUNTED.items()}
    expected |= {name: int(account.state == state) for state, name in ENDS.items()}
    # What is left after captures is given up once.
    expected["PaymentVoided"] += bool(account.sums["captured"] and account.sums["voided"])
    expected["PaymentOperationFailed"] = sum(
        one["kind"] in ("capture", "refund") and _word(one) == "FAILED" for one in account.operations
    )
    expected["PaymentDisputed"] = len(account.disputes)
    expected["PaymentDisputeClosed"] = sum(one["close_time"] is not None for one in account.disputes)
    if told != +Counter(expected):
        yield f"told {dict(told)} instead of {expected}"
    for before, after in pairwise(account.events):
        # A dispute that is decided when we first hear of it is told twice, in one version.
        one = isinstance(before, events.PaymentDisputed) and isinstance(after, events.PaymentDisputeClosed)
        # So is a capture that is refused because the payment's time is over.
        one |= isinstance(after, events.PaymentOperationFailed)
        if before.payment.version + (not one) > after.payment.version:
            yield f"version {after.payment.version} was told after {before.payment.version}"
    yield from _of_sums(account.events, "capture", "captured", account)
    yield from _of_sums(account.events, "refund", "refunded", account)


def _of_sums(told: list[Any], part: str, whole: str, account: Account) -> Iterator[str]:
    total = 0
    for event in told:
        if type(event).__name__ == COUNTED[part]:
            total += getattr(event, part).minor_units
            if getattr(event, whole).minor_units != total:
                yield f"told {getattr(event, whole).minor_units} {whole}, but it was {total}"
    if total != account.sums[whole]:
        yield f"{account.sums[whole]} {whole}, but {total} was told"


async def balanced(shop: Shop) -> dict[str, int]:
    """The trial balance is zero; the accounts' balances, by name."""
    answer = await shop.ledger.GetTrialBalance(GetTrialBalanceRequest(store_id=shop.store_id))
    assert all(difference.minor_units == 0 for difference in answer.differences), answer
    found: dict[str, int] = defaultdict(int)
    for each in answer.accounts:
        found[each.account] += each.debits.minor_units - each.credits.minor_units
    return found


def _word(operation: dict[str, Any]) -> str:
    return PaymentOperationState.Name(operation["state"]).removeprefix("PAYMENT_OPERATION_STATE_")
