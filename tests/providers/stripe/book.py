"""The provider's own book: its objects as Stripe shows them, its events, and its clock."""

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from . import money, shapes
from .cards import Card
from .errors import Json, missing

INDEXED = ("payment_intent", "charge", "source", "type")


class Clock:
    """Wall-clock time, which a test may advance."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_seconds

    def seconds(self) -> int:
        return int(self.now())


class Table:
    """Objects of one kind in the order they were made, found by id or by what they belong to."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rows: dict[str, Json] = {}
        self.order: dict[str, int] = {}
        self._by: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)

    def add(self, row: Json) -> Json:
        self.order[row["id"]] = len(self.order)
        self.rows[row["id"]] = row
        for name in INDEXED:
            if row.get(name):
                self._by[name, row[name]].append(row)
        return row

    def of(self, name: str, value: str) -> list[Json]:
        return self._by.get((name, value), [])

    def get(self, wanted: str, *, param: str = "id", status: int = 404) -> Json:
        if wanted not in self.rows:
            raise missing(self.kind, wanted, param=param, status=status)
        return self.rows[wanted]


@dataclass(frozen=True)
class Caller:
    """The request that an event tells of."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Event:
    id: str
    type: str
    # The ids of the object and of its payment intent.
    subject: frozenset[str | None]
    # The bytes that are signed and sent, frozen when the event happened.
    body: bytes
    # What the receiver answered to each delivery; 0 when it could not be reached.
    attempts: list[int] = field(default_factory=list)

    @property
    def object(self) -> Json:
        return self.json()["data"]["object"]  # type: ignore[no-any-return]

    def json(self) -> Json:
        return json.loads(self.body)  # type: ignore[no-any-return]


class Book:
    def __init__(self) -> None:
        self.clock = Clock()
        # Whether the account may capture in parts.
        self.multicapture = True
        self.payment_intents = Table("payment_intent")
        self.charges = Table("charge")
        self.refunds = Table("refund")
        self.disputes = Table("dispute")
        self.balance_transactions = Table("balance transaction")
        self.payouts = Table("payout")
        self.payment_methods = Table("PaymentMethod")
        self.customers = Table("customer")
        self.by_prefix = {
            "pi": self.payment_intents,
            "ch": self.charges,
            "re": self.refunds,
            "du": self.disputes,
            "txn": self.balance_transactions,
            "po": self.payouts,
            "pm": self.payment_methods,
            "cus": self.customers,
        }
        self.cards: dict[str, Card] = {}
        # Payment methods used without a customer, or detached: never usable again.
        self.spent: set[str] = set()
        self.payout_of: dict[str, str] = {}
        self.filtered: tuple[tuple[object, ...], list[Json]] = ((), [])
        # When each payment intent was handed to the search index.
        self.indexed_at: dict[str, float] = {}
        self.events: list[Event] = []
        self.caller = Caller()
        self.listeners: list[Callable[[Event], None]] = []
        self._afterwards: list[Callable[[], object]] = []
        # Where the pages that a customer is sent to live; known once the server listens.
        self.url = ""

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{secrets.token_hex(12)}"

    def find(self, object_id: str) -> Json:
        return self.by_prefix[object_id.partition("_")[0]].rows[object_id]

    def afterwards(self, step: Callable[[], object]) -> None:
        """What Stripe does in the background, once the request is answered."""
        self._afterwards.append(step)

    def catch_up(self) -> None:
        steps, self._afterwards = self._afterwards, []
        for step in steps:
            step()

    def tell(self, kind: str, thing: Json, previous: Json | None = None) -> Event:
        """Record an event; `previous` holds the old values of what an *.updated event changed."""
        data: Json = {"object": thing}
        if previous is not None:
            data["previous_attributes"] = previous
        body = shapes.event(self.new_id("evt"), kind, data, self.clock.seconds(), self.caller)
        subject = frozenset((thing["id"], thing.get("payment_intent")))
        event = Event(body["id"], kind, subject, json.dumps(body).encode())
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        return event

    def post(
        self, kind: str, amount: int, source: Json, *, fee: int = 0, describe: str | None = None
    ) -> Json:
        """A line of the merchant's balance; `fee` is negative when it is given back."""
        return self.balance_transactions.add(
            shapes.balance_transaction(
                self.new_id("txn"),
                kind,
                amount,
                fee,
                source,
                now=self.clock.seconds(),
                fee_name="Dispute fee" if source["object"] == "dispute" else "Stripe processing fees",
                describe=describe,
            )
        )

    def post_capture(self, charge: Json, amount: int) -> Json:
        return self.post("charge", amount, charge, fee=money.fee(amount), describe=charge["description"])
