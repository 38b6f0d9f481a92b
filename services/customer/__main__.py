"""The customer service: names the parts and runs them."""

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.customer.definition import DEFINITION
from services.customer.handlers import CustomerService
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""
    return Parts(
        handlers=[CustomerService(runtime.pages)],
        constraints={"customers_store_email_key": ErrorReason.ERROR_REASON_CUSTOMER_EMAIL_TAKEN},
    )


if __name__ == "__main__":
    run(DEFINITION, build)
