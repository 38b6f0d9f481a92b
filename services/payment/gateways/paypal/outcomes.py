"""What an order tells of an operation. Pure."""

from services.payment.gateways.paypal.orders import CAME, Order, Piece
from services.payment.rules.outcomes import Outcome, Refused, Told, Unknown, Words
from services.payment.rules.payment import OPERATION_SUCCEEDED, Kind, Operation, Payment

OPEN = ("CREATED", "SAVED", "APPROVED", "PAYER_ACTION_REQUIRED")
UNDONE = ("FAILED", "CANCELLED")


def authorized(order: Order) -> Outcome | None:
    """Return what became of the authorization; None when there is none yet."""
    one = order.authorization
    if one is None:
        return order.told("voided") if order.status == "VOIDED" else None
    match one.status:
        case "CREATED" | "CAPTURED" | "PARTIALLY_CAPTURED":
            return order.told("authorized", one.id, expire_time=one.expire_time)
        case "PENDING":
            return order.told("processing", one.id)
        case "DENIED":
            return order.told("declined", one.id, decline_code=one.reason or "authorization_denied")
        case "VOIDED":
            return order.told("voided", one.id)
        case "EXPIRED":
            return order.told("expired", one.id)
    return Unknown(f"the authorization is {one.status}")


def waiting(order: Order, url: str) -> Outcome:
    """Return that the customer has to approve the order at a URL."""
    if order.status in OPEN and url:
        return order.told("requires_action", next_action_url=url)
    return Unknown(f"the order is {order.status}")


def captured(operation: Operation, order: Order) -> Outcome | None:
    """Return what became of a capture; None when there is none."""
    ours = [one for one in order.captures if one.key == operation.operation_id]
    for one in ours:
        if one.status in CAME:
            return order.told("captured", one.id)
    for one in ours:
        if one.status in ("DECLINED", "FAILED"):
            reason = one.reason or "capture_declined"
            return Refused(reason, order.charge, Words(reason))
    return Unknown("the capture is pending") if ours else None


def voided(order: Order) -> Told | None:
    """Return that nothing is set aside (any more); None when something is, or was taken."""
    one = order.authorization
    if one is None:
        return None if order.status == "COMPLETED" else order.told("voided")
    return order.told("voided", one.id) if order.given_up else None


def refunds(operation: Operation, order: Order) -> list[Piece]:
    """Return the refunds that an operation has made."""
    return [one for one in order.refunds if one.key == operation.operation_id]


def refunded(operation: Operation, order: Order) -> Outcome | None:
    """Return what became of a refund; None when there is something left to refund."""
    made = refunds(operation, order)
    undone = [one for one in made if one.status in UNDONE]
    if undone:
        # Asked again, PayPal would repeat its answer.
        return Refused("refund_failed", order.charge) if undone == made else Unknown("refunded in part")
    if sum(one.amount for one in made) < operation.amount:
        return None
    if any(one.status != "COMPLETED" for one in made):
        return Unknown("the refund is pending")
    return order.told("refunded", made[0].id)


def gone(operation: Operation, payment: Payment) -> Outcome:
    """Return what follows when PayPal has no such order: it drops those that nobody approved in time."""
    held = any(one.kind == Kind.AUTHORIZE and one.state == OPERATION_SUCCEEDED for one in payment.operations)
    if held or operation.kind in (Kind.CAPTURE, Kind.REFUND):
        return Unknown("the order is gone")
    return Told(
        status="expired" if operation.kind == Kind.AUTHORIZE else "voided",
        reference=payment.provider_reference,
        amount=payment.amount,
        currency_code=payment.currency_code,
    )
