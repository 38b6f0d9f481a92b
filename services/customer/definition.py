"""What the customer service says about itself."""

from services.runtime.definition import Definition, Tier

DEFINITION = Definition(
    code="customer",
    tier=Tier.CORE,
    port=7002,
    proto_services=("commerce.customer.v1.CustomerService",),
    # For ListCustomers' query: parts of words, of one store.
    extensions=("pg_trgm", "btree_gin"),
)
