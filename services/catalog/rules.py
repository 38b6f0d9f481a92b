"""The rules of the catalog: who gets units that many want, the life of a reservation, what a product becomes. Pure."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from commerce.catalog.v1.catalog_pb2 import Product, ReservationState
from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest, UpdateProductRequest
from commerce.catalog.v1.stock_service_pb2 import ReservationLine, ReservationRequest, ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.timestamp_pb2 import Timestamp

from services.runtime.refusals import Refusal, invalid

STATES = ReservationState
State: TypeAlias = ReservationState.ValueType
NONE = ReservationState.RESERVATION_STATE_UNSPECIFIED
HELD = ReservationState.RESERVATION_STATE_HELD
COMMITTED = ReservationState.RESERVATION_STATE_COMMITTED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED

# The whole life of an order's reservation. NONE is an order that never reserved anything.
LIFE: Mapping[tuple[str, State], State] = {
    ("reserve", NONE): HELD,
    ("commit", HELD): COMMITTED,
    ("release", NONE): RELEASED,  # Remembered: a reservation that comes late is refused.
    ("release", HELD): RELEASED,
    ("release", COMMITTED): RELEASED,  # The units come back.
}

# News that comes twice: known, and nothing moves.
LATE: frozenset[tuple[str, State]] = frozenset(
    (("reserve", HELD), ("reserve", COMMITTED), ("commit", COMMITTED), ("release", RELEASED))
)

# Every other step, with the reason of its refusal.
REFUSED: Mapping[tuple[str, State], ErrorReason.ValueType] = {
    ("reserve", RELEASED): ErrorReason.ERROR_REASON_RESERVATION_RELEASED,
    ("commit", RELEASED): ErrorReason.ERROR_REASON_RESERVATION_RELEASED,
    ("commit", NONE): ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND,
}

# What each unit of a reservation adds to (on_hand, reserved) of its product while the reservation is in a state.
WEIGHT: Mapping[State, tuple[int, int]] = {
    NONE: (0, 0),
    HELD: (0, 1),
    COMMITTED: (-1, 0),
    RELEASED: (0, 0),
}

MOST_ON_HAND = 1_000_000_000


def searchable(text: str) -> str:
    """Return a text without case and accents, as it is searched for."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in parts if not unicodedata.combining(each))


@dataclass(frozen=True, slots=True)
class Stock:
    """How many units of a product there are."""

    product_id: str
    store_id: str
    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        """Units that are free to be sold."""
        return self.on_hand - self.reserved

    def shown(self) -> dict[str, Any]:
        """Return the fields of every reply that tells of stock."""
        return {
            "product_id": self.product_id,
            "on_hand": self.on_hand,
            "reserved": self.reserved,
            "available": self.available,
        }


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as a reservation sees it: whose it is, what it costs, how many units are free."""

    store_id: str
    currency_code: str
    price_minor_units: int
    available: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an order has of each product, by product_id."""

    state: State
    units: Mapping[str, int]
    store_id: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How each order fared; the new states; what is added to (on_hand, reserved) of each product."""

    results: list[ReservationResult]
    states: dict[str, State]
    moves: dict[str, tuple[int, int]]


def reserve(
    wanted: Iterable[ReservationRequest], offers: Mapping[str, Offer], known: Mapping[str, Reservation]
) -> tuple[list[ReservationResult], dict[str, Reservation]]:
    """Decide for each order in turn: all of its lines or none. Return the answers, and what is newly reserved."""
    free = {product_id: offer.available for product_id, offer in offers.items()}
    held: dict[str, Reservation] = {}
    results = []
    for order in wanted:
        order_id = order.order_id.lower()
        before = known.get(order_id) or held.get(order_id)
        result = _answer("reserve", order.order_id, before.state if before else NONE)
        if before is None:
            units = units_of(order.lines)
            at_fault = _at_fault(order, units, offers, free)
            if at_fault is None:
                held[order_id] = Reservation(HELD, units, order.store_id)
                for product_id, quantity in units.items():
                    free[product_id] -= quantity
            else:
                product_id, reason = at_fault
                result = ReservationResult(order_id=order.order_id, reason=reason, product_id=product_id)
        results.append(result)
    return results, held


def settle(steps: Iterable[tuple[str, str]], known: Mapping[str, Reservation]) -> Settlement:
    """Take steps ("commit" or "release", order_id) in turn; work out what they change altogether."""
    states = {order_id: reservation.state for order_id, reservation in known.items()}
    results = []
    for name, asked in steps:
        result = _answer(name, asked, states.get(asked.lower(), NONE))
        if not result.reason:
            states[asked.lower()] = result.state
        results.append(result)
    moves: dict[str, tuple[int, int]] = {}
    for order_id, reservation in known.items():
        was, is_now = WEIGHT[reservation.state], WEIGHT[states[order_id]]
        for product_id, quantity in reservation.units.items():
            on_hand, reserved = moves.get(product_id, (0, 0))
            moves[product_id] = (
                on_hand + quantity * (is_now[0] - was[0]),
                reserved + quantity * (is_now[1] - was[1]),
            )
    return Settlement(
        results,
        {
            order_id: state
            for order_id, state in states.items()
            if order_id not in known or known[order_id].state != state
        },
        {product_id: move for product_id, move in moves.items() if move != (0, 0)},
    )


def units_of(lines: Iterable[ReservationLine]) -> dict[str, int]:
    """Return the units of each product, by product_id."""
    units: dict[str, int] = {}
    for line in lines:
        product_id = line.product_id.lower()
        units[product_id] = units.get(product_id, 0) + line.quantity
    return units


def counted(stock: Stock, on_hand: int) -> Stock:
    """Return the stock with so many units on hand. Refused with STOCK_INSUFFICIENT when more are reserved."""
    if on_hand < stock.reserved:
        raise Refusal(
            ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT,
            f"{stock.reserved} units are reserved and only {stock.available} are free",
            product_id=stock.product_id,
            available=stock.available,
        )
    if on_hand > MOST_ON_HAND:
        raise invalid("delta", f"makes more than {MOST_ON_HAND} units on hand")
    return replace(stock, on_hand=on_hand)


def created(request: CreateProductRequest, product_id: str, now: datetime) -> Product:
    """Return a new product."""
    return Product(
        product_id=product_id,
        store_id=request.store_id.lower(),
        sku=request.sku,
        name=request.name,
        price=request.price,
        version=1,
        create_time=_timestamp(now),
        update_time=_timestamp(now),
    )


def updated(product: Product, request: UpdateProductRequest, now: datetime) -> Product:
    """Return the product with the changes that are asked for, or as it is when they change nothing."""
    given = {"name": request.HasField("name"), "price": request.HasField("price")}
    paths = set(request.update_mask.paths) or {name for name, is_set in given.items() if is_set}
    for path in sorted(paths):
        if path not in given:
            raise invalid("update_mask", f"{path} cannot be changed by itself")
        if not given[path]:
            raise invalid(path, "may not be emptied")
    name = request.name if "name" in paths else product.name
    price = request.price if "price" in paths else product.price
    if (name, price) == (product.name, product.price):
        return product
    return Product(
        product_id=product.product_id,
        store_id=product.store_id,
        sku=product.sku,
        name=name,
        price=price,
        version=product.version + 1,
        create_time=product.create_time,
        update_time=_timestamp(now),
    )


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _answer(name: str, order_id: str, state: State) -> ReservationResult:
    step = name, state
    if step in REFUSED:
        return ReservationResult(order_id=order_id, reason=REFUSED[step])
    return ReservationResult(order_id=order_id, state=state if step in LATE else LIFE[step])


def _at_fault(
    order: ReservationRequest, units: Mapping[str, int], offers: Mapping[str, Offer], free: Mapping[str, int]
) -> tuple[str, ErrorReason.ValueType] | None:
    """Return the first product that the order cannot have, and why; None when it can have them all."""
    for line in order.lines:
        product_id, price = line.product_id.lower(), line.unit_price
        offer = offers.get(product_id)
        if offer is None or offer.store_id != order.store_id.lower():
            return line.product_id, ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND
        if (price.minor_units, price.currency_code) != (offer.price_minor_units, offer.currency_code):
            return line.product_id, ErrorReason.ERROR_REASON_PRODUCT_PRICE_CHANGED
        if units[product_id] > free[product_id]:
            return line.product_id, ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT
    return None
