"""What the order service says about itself."""

from services.runtime.definition import Definition, Tier

DEFINITION = Definition(
    code="order",
    tier=Tier.OPTIONAL,
    port=7004,
    proto_services=("commerce.order.v1.OrderService",),
    requires=("customer", "catalog", "payment"),
)
