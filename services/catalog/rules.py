"""The rules of the catalog: who gets units that many want, the life of a reservation, what a product becomes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeAlias

from commerce.catalog.v1.catalog_pb2 import Product, ProductStatus, ReservationState
from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest, UpdateProductRequest
from commerce.catalog.v1.stock_service_pb2 import ReservationLine, ReservationRequest, ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import ReturnLine
from google.protobuf.timestamp_pb2 import Timestamp

from services.catalog import levels
from services.catalog.levels import Change, Move, Stock
from services.runtime.refusals import invalid
from services.runtime.texts import searchable

STATES = ReservationState
State: TypeAlias = ReservationState.ValueType
NONE = ReservationState.RESERVATION_STATE_UNSPECIFIED
HELD = ReservationState.RESERVATION_STATE_HELD
COMMITTED = ReservationState.RESERVATION_STATE_COMMITTED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED

# The whole life of an order's reservation. NONE is an order that never reserved anything.
LIFE: Mapping[tuple[str, State], State] = {
    ("reserve", NONE): HELD,
    ("keep", HELD): HELD,  # Its order is confirmed: it no longer expires.
    ("commit", HELD): COMMITTED,
    ("expire", HELD): RELEASED,
    ("release", NONE): RELEASED,  # Remembered: a reservation that comes late is refused.
    ("release", HELD): RELEASED,
    ("release", COMMITTED): RELEASED,  # The units come back.
}

# News that comes twice: known, and nothing moves.
LATE: frozenset[tuple[str, State]] = frozenset(
    {
        ("reserve", HELD),
        ("reserve", COMMITTED),
        ("keep", COMMITTED),
        ("commit", COMMITTED),
        ("expire", COMMITTED),
        ("expire", RELEASED),
        ("release", RELEASED),
    }
)

# Every other step, with the reason of its refusal.
REFUSED: Mapping[tuple[str, State], ErrorReason.ValueType] = {
    ("reserve", RELEASED): ErrorReason.ERROR_REASON_RESERVATION_RELEASED,
    ("keep", RELEASED): ErrorReason.ERROR_REASON_RESERVATION_RELEASED,
    ("commit", RELEASED): ErrorReason.ERROR_REASON_RESERVATION_RELEASED,
    ("keep", NONE): ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND,
    ("commit", NONE): ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND,
    ("expire", NONE): ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND,
}

# What each unit of a reservation adds to (on_hand, reserved) of its product while the reservation is in a state.
WEIGHT: Mapping[State, tuple[int, int]] = {
    NONE: (0, 0),
    HELD: (0, 1),
    COMMITTED: (-1, 0),
    RELEASED: (0, 0),
}

# How much longer than its order a reservation lasts: the order expires first and gives the units back itself.
GRACE = timedelta(minutes=10)

ACTIVE = ProductStatus.PRODUCT_STATUS_ACTIVE
ARCHIVED = ProductStatus.PRODUCT_STATUS_ARCHIVED

# What a change may name; the first two may not be emptied.
NEVER_EMPTY = ("name", "price")
CHANGEABLE = (
    *NEVER_EMPTY,
    "category_id",
    "attributes",
    "image_urls",
    "tax_class",
    "low_stock_threshold",
)


def searchable_of(product: Product) -> str:
    """Return what a product is found by. No query holds a line break: none runs from the name into the SKU."""
    return searchable_of_texts(product.name, product.sku)


def searchable_of_texts(name: str, sku: str) -> str:
    """Return what a product of this name and SKU is found by."""
    return f"{searchable(name)}\n{searchable(sku)}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A product as a reservation sees it: how many units there are, what one costs, whether it is sold at all."""

    stock: Stock
    currency_code: str
    price_minor_units: int
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an order has of each product, by product_id; `overdue` when it is held and was not confirmed in time."""

    state: State
    units: Mapping[str, int]
    store_id: str = ""
    customer_id: str = ""
    expire_time: datetime | None = None
    overdue: bool = False


class Step(NamedTuple):
    """A step of LIFE that an order's reservation is to take."""

    name: str
    order_id: str


class Return(NamedTuple):
    """Units of an order that came back and can be sold again, by product_id."""

    order_id: str
    units: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StepsTaken:
    """How each order fared; the state of those that took a step; what happens to the units of each product."""

    results: list[ReservationResult]
    states: dict[str, State]
    moves: dict[str, Move]


def reserve(
    wanted: Iterable[ReservationRequest],
    offers: Mapping[str, Offer],
    known: Mapping[str, Reservation],
    room: Mapping[str, int],
) -> tuple[list[ReservationResult], dict[str, Reservation]]:
    """Decide for each order in turn: all of its lines or none. Return the answers, and what is newly reserved.

    `room` says how many more reservations each customer may have open, by customer_id.
    """
    free = {product_id: offer.stock.available for product_id, offer in offers.items()}
    room = dict(room)
    held: dict[str, Reservation] = {}
    results = []
    for order in wanted:
        order_id, customer_id = order.order_id.lower(), order.customer_id.lower()
        before = known.get(order_id) or held.get(order_id)
        if before is not None:
            results.append(_answer("reserve", order.order_id, before.state))
            continue
        units = units_of(order.lines)
        refusal = _refusal(order, units, offers, free, room[customer_id])
        results.append(refusal or _answer("reserve", order.order_id, NONE))
        if refusal is None:
            held[order_id] = _held(order, units)
            room[customer_id] -= 1
            for product_id, quantity in units.items():
                free[product_id] -= quantity
    return results, held


def take_steps(
    steps: Iterable[Step], known: Mapping[str, Reservation], returned: Iterable[Return] = ()
) -> StepsTaken:
    """Take steps in turn, then put on the shelf what came back; work out what that changes altogether."""
    states: dict[str, State] = {}
    moves: dict[str, Move] = {}
    results = []
    for name, asked in steps:
        order_id = asked.lower()
        reservation = known.get(order_id)
        before = states.get(order_id, reservation.state if reservation else NONE)
        results.append(_answer(name, asked, before))
        if (name, before) in LIFE:
            after = states[order_id] = LIFE[name, before]
            for product_id, quantity in reservation.units.items() if reservation else ():
                _weigh(moves, product_id, quantity, before, after, order_id)
    for order_id, units in returned:
        for product_id, quantity in units.items():
            change = Change(levels.RETURNED, quantity, order_id)
            moves.setdefault(product_id, Move()).changes.append(change)
    return StepsTaken(
        results,
        states,
        {product_id: move for product_id, move in moves.items() if move.reserved or move.changes},
    )


def units_of(lines: Iterable[ReservationLine]) -> dict[str, int]:
    """Return the units of each product, by product_id."""
    units: dict[str, int] = {}
    for line in lines:
        product_id = line.product_id.lower()
        units[product_id] = units.get(product_id, 0) + line.quantity
    return units


def restocked(lines: Iterable[ReturnLine]) -> dict[str, int]:
    """Return the units of each product that came back and can be sold again, by product_id."""
    units: dict[str, int] = {}
    for line in lines:
        if line.restock:
            product_id = line.product_id.lower()
            units[product_id] = units.get(product_id, 0) + line.quantity
    return units


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
        status=ACTIVE,
        category_id=request.category_id.lower(),
        attributes=request.attributes,
        image_urls=request.image_urls,
        tax_class=request.tax_class,
        low_stock_threshold=request.low_stock_threshold,
    )


def updated(product: Product, request: UpdateProductRequest, now: datetime) -> Product:
    """Return the product with the changes that are asked for, or as it is when they change nothing."""
    given = {field.name: value for field, value in request.ListFields()}
    wanted = _copy(product)
    for field in request.update_mask.paths or given.keys() & set(CHANGEABLE):
        if field not in CHANGEABLE:
            raise invalid("update_mask", f"{field} cannot be changed by itself")
        if field in NEVER_EMPTY and field not in given:
            raise invalid(field, "may not be emptied")
        wanted.ClearField(field)  # type: ignore[arg-type]
        if field in given:
            wanted.MergeFrom(Product(**{field: given[field]}))
    wanted.category_id = wanted.category_id.lower()
    return _next(product, wanted, now)


def with_status(product: Product, status: ProductStatus.ValueType, now: datetime) -> Product:
    """Return the product with this status, or as it is when it has it."""
    wanted = _copy(product)
    wanted.status = status
    return _next(product, wanted, now)


def statuses(asked: ProductStatus.ValueType, role: str) -> list[ProductStatus.ValueType]:
    """Return which products a list shows a caller: customers see those that are sold."""
    seen = [ACTIVE] if role == "CUSTOMER" else [ACTIVE, ARCHIVED]
    return [status for status in seen if asked in (status, ProductStatus.PRODUCT_STATUS_UNSPECIFIED)]


def _copy(product: Product) -> Product:
    copy = Product()
    copy.CopyFrom(product)
    return copy


def _next(product: Product, wanted: Product, now: datetime) -> Product:
    if wanted != product:
        wanted.version += 1
        wanted.update_time.CopyFrom(_timestamp(now))
    return wanted


def _timestamp(time: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _answer(name: str, order_id: str, state: State) -> ReservationResult:
    step = name, state
    if step in REFUSED:
        return ReservationResult(order_id=order_id, reason=REFUSED[step])
    return ReservationResult(order_id=order_id, state=state if step in LATE else LIFE[step])


def _weigh(
    moves: dict[str, Move], product_id: str, quantity: int, before: State, after: State, order_id: str
) -> None:
    """Add to the moves what units of a reservation mean for their product when it goes from one state to another."""
    on_hand, reserved = (is_now - was for is_now, was in zip(WEIGHT[after], WEIGHT[before], strict=True))
    move = moves.setdefault(product_id, Move())
    move.reserved += quantity * reserved
    if on_hand:
        kind = levels.SOLD if on_hand < 0 else levels.RELEASED
        move.changes.append(Change(kind, quantity * on_hand, order_id))


def _held(order: ReservationRequest, units: Mapping[str, int]) -> Reservation:
    return Reservation(
        HELD, units, order.store_id, order.customer_id, order.expire_time.ToDatetime(UTC) + GRACE
    )


def _refusal(
    order: ReservationRequest,
    units: Mapping[str, int],
    offers: Mapping[str, Offer],
    free: Mapping[str, int],
    room: int,
) -> ReservationResult | None:
    """Say why the order gets nothing, with the first product at fault if one is; None when it gets all of its lines."""
    if room <= 0:
        return ReservationResult(
            order_id=order.order_id, reason=ErrorReason.ERROR_REASON_RESERVATIONS_TOO_MANY
        )
    for line in order.lines:
        product_id = line.product_id.lower()
        reason = _reason(order, line, offers.get(product_id), units[product_id] <= free.get(product_id, 0))
        if reason:
            return ReservationResult(order_id=order.order_id, reason=reason, product_id=line.product_id)
    return None


def _reason(
    order: ReservationRequest, line: ReservationLine, offer: Offer | None, enough: bool
) -> ErrorReason.ValueType | None:
    """Say why an order cannot have a line."""
    price = line.unit_price
    if offer is None or offer.stock.store_id != order.store_id.lower():
        return ErrorReason.ERROR_REASON_PRODUCT_NOT_FOUND
    if offer.archived:
        return ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED
    if (price.minor_units, price.currency_code) != (offer.price_minor_units, offer.currency_code):
        return ErrorReason.ERROR_REASON_PRODUCT_PRICE_CHANGED
    return None if enough else ErrorReason.ERROR_REASON_STOCK_INSUFFICIENT
