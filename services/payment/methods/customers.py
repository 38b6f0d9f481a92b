"""Whose customers are whose, as the customer service tells."""

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import GetCustomerRequest
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub

from services.runtime.callers import Caller, customer_not_found
from services.runtime.refusals import Refusal

# A provider is asked next, and the call must end in its ten seconds; a machine that is busy takes some of them.
ANSWER_SECONDS = 5.0


class Customers:
    """Knows whose customers are whose."""

    def __init__(self, stub: CustomerServiceStub) -> None:
        self._stub = stub

    async def check(self, caller: Caller, customer_id: str, store_id: str) -> None:
        """Refuse a store that has no such customer, with CUSTOMER_NOT_FOUND. A customer's own token says so itself."""
        if caller.role == "CUSTOMER":
            return
        try:
            reply = await self._stub.GetCustomer(
                GetCustomerRequest(customer_id=customer_id), timeout=ANSWER_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise customer_not_found(customer_id) from None
            raise Refusal(
                ErrorReason.ERROR_REASON_UNAVAILABLE, "The customer service is away", retry_seconds=1
            ) from error
        if reply.customer.store_id != store_id:
            raise customer_not_found(customer_id)
