"""What the order service is told besides what every service is told."""

from pydantic import Field

from services.order.hand import LEASE_SECONDS, UNDRIVEN, UNDRIVEN_OF_CUSTOMER
from services.runtime.settings import Settings


class OrderLimits(Settings):
    """How long one process holds an order, and how many may be under way."""

    order_lease_seconds: float = Field(
        default=LEASE_SECONDS,
        gt=0,
        description="how long an order waits for another process when the one that drives it dies",
    )
    order_undriven_orders: int = Field(
        default=UNDRIVEN, ge=1, description="orders on their way to be paid; a store may have three quarters"
    )
    order_undriven_of_customer: int = Field(
        default=UNDRIVEN_OF_CUSTOMER,
        ge=1,
        description="and those that a customer placed with their own token",
    )
