"""What the order service says about itself."""

from services.runtime.definition import Definition, Tier

DEFINITION = Definition(
    code="order",
    tier=Tier.OPTIONAL,
    port=7004,
    proto_services=(
        "commerce.order.v1.OrderService",
        "commerce.order.v1.CouponService",
        "commerce.order.v1.SettingsService",
        "commerce.order.v1.OperationsService",
    ),
    requires=("customer", "catalog", "payment"),
)
