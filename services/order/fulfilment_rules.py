"""What a parcel takes, who may deliver it, what a return gives back. Pure; each rule brings its order up to date.

What units cost is told by line, without what costs nothing. Shipping, a line without product, goes with the last unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.order.v1.order_pb2 import LineQuantity, Order, OrderReturn, Shipment, ShipmentStatus
from google.protobuf.timestamp_pb2 import Timestamp

from services.order import life, prices
from services.runtime.refusals import Refusal

ON_THE_WAY = ShipmentStatus.SHIPMENT_STATUS_SHIPPED
DELIVERED = ShipmentStatus.SHIPMENT_STATUS_DELIVERED

# So many parcels an order, and so many returns, fit into its message.
MOST = 1000


class _Units(Protocol):
    product_id: str
    quantity: int


def send(order: Order, parcel: Shipment) -> list[LineAmount]:
    """Pack a parcel with what its lines name, or with every unit that is left, and send it. Return what it costs.

    All parcels of an order together cost its total.
    """
    _room("ship", order, len(order.shipments))
    left = {line.product_id: line.quantity - line.shipped_quantity for line in order.lines}
    if not parcel.lines:
        parcel.lines.extend(LineQuantity(product_id=each, quantity=left[each]) for each in left if left[each])
    if not parcel.lines:
        raise life.not_allowed("ship", order.state, "Every unit of the order was sent")
    units = _units(parcel.lines, left)
    amounts = _cost(order, units, {line.product_id: line.shipped_quantity for line in order.lines})
    for line in order.lines:
        line.shipped_quantity += units.get(line.product_id, 0)
    parcel.status = ON_THE_WAY
    order.shipments.append(parcel)
    return amounts


def assign(order: Order, shipment_id: str, courier_id: str) -> None:
    """Give a parcel that is on its way to a courier."""
    parcel = _parcel(order.shipments, shipment_id)
    if parcel.status == DELIVERED:
        raise life.not_allowed("assign_courier", order.state, "The parcel was delivered")
    parcel.courier_id = courier_id


def deliver(order: Order, shipment_id: str, courier_id: str | None, time: Timestamp) -> tuple[str, list[str]]:
    """Bring a parcel, or all that are on their way, to the door; a courier (None: the store) only their own.

    Return the step that the order takes, and the parcels.
    """
    parcels = [parcel for parcel in order.shipments if courier_id in (None, parcel.courier_id)]
    if shipment_id:
        parcels = [_parcel(parcels, shipment_id)]
    parcels = [parcel for parcel in parcels if parcel.status == ON_THE_WAY]
    if not parcels:
        raise life.not_allowed("deliver", order.state, "Nothing of this is on its way")
    for parcel in parcels:
        parcel.status = DELIVERED
        parcel.deliver_time.CopyFrom(time)
    arrived = all(parcel.status == DELIVERED for parcel in order.shipments)
    whole = arrived and all(line.shipped_quantity == line.quantity for line in order.lines)
    return "deliver" if whole else "deliver_parcel", [parcel.shipment_id for parcel in parcels]


def take_back(order: Order, returned: OrderReturn) -> tuple[str, list[LineAmount]]:
    """Take units back, and say what they are worth. Return the step that the order takes, and that money by line.

    An order that came back whole is worth its total. What is given back of it, its payment tells.
    """
    _room("return", order, len(order.returns))
    units = _units(
        returned.lines,
        {line.product_id: line.shipped_quantity - line.returned_quantity for line in order.lines},
    )
    amounts = _cost(order, units, {line.product_id: line.returned_quantity for line in order.lines})
    for line in order.lines:
        line.returned_quantity += units.get(line.product_id, 0)
    refund = sum(each.amount.minor_units for each in amounts)
    nothing = Money(currency_code=order.total.currency_code)
    returned.refund.CopyFrom(Money(currency_code=nothing.currency_code, minor_units=refund))
    returned.refunded.CopyFrom(nothing)
    returned.unrefunded.CopyFrom(nothing)
    order.returns.append(returned)
    whole = all(line.returned_quantity == line.quantity for line in order.lines)
    return "return" if whole else "return_part", amounts


def shipped_worth(order: Order) -> Money:
    """Return what all that was sent so far costs."""
    nothing = {line.product_id: 0 for line in order.lines}
    amounts = _cost(order, {line.product_id: line.shipped_quantity for line in order.lines}, nothing)
    worth = sum(each.amount.minor_units for each in amounts)
    return Money(currency_code=order.total.currency_code, minor_units=worth)


def carries(order: Order, courier_id: str) -> bool:
    """Tell whether a parcel of an order was given to a courier."""
    return courier_id != "" and any(parcel.courier_id == courier_id for parcel in order.shipments)


def hide_payment(order: Order) -> None:
    """Leave out what a courier has no need to know."""
    for name in ("payment_method", "payment_id", "next_action_url", "payment_expire_time", "unpaid_reason"):
        order.ClearField(name)


def _room(step: str, order: Order, number: int) -> None:
    if number >= MOST:
        raise life.not_allowed(step, order.state, f"An order has at most {MOST} parcels and as many returns")


def _units(lines: Iterable[_Units], limits: Mapping[str, int]) -> dict[str, int]:
    """Return how many units of each product lines name, if the order has so many; its id as we spell it."""
    units: dict[str, int] = {}
    for line in lines:
        line.product_id = line.product_id.lower()
        if line.product_id not in limits:
            raise Refusal(
                ErrorReason.ERROR_REASON_ORDER_LINE_NOT_FOUND,
                f"The order does not hold the product {line.product_id}",
                product_id=line.product_id,
            )
        limit = limits[line.product_id]
        if line.quantity > limit:
            raise Refusal(
                ErrorReason.ERROR_REASON_ORDER_QUANTITY_EXCEEDED,
                f"Of the product {line.product_id} {limit} units are left",
                product_id=line.product_id,
                quantity=line.quantity,
                limit=limit,
            )
        units[line.product_id] = line.quantity
    return units


def _cost(order: Order, units: Mapping[str, int], before: Mapping[str, int]) -> list[LineAmount]:
    """Return what so many units of each product cost when others were counted before."""
    costs = {
        line.product_id: prices.cost(
            line, order.tax_included, before[line.product_id], units.get(line.product_id, 0)
        )
        for line in order.lines
    }
    if all(before[line.product_id] + units.get(line.product_id, 0) == line.quantity for line in order.lines):
        costs[""] = order.shipping.minor_units
    code = order.total.currency_code
    return [
        LineAmount(product_id=product_id, amount=Money(currency_code=code, minor_units=amount))
        for product_id, amount in costs.items()
        if amount
    ]


def _parcel(parcels: Sequence[Shipment], shipment_id: str) -> Shipment:
    for parcel in parcels:
        if parcel.shipment_id == shipment_id.lower():
            return parcel
    raise Refusal(
        ErrorReason.ERROR_REASON_SHIPMENT_NOT_FOUND,
        f"The order has no shipment {shipment_id}",
        shipment_id=shipment_id,
    )
