"""The payment methods of a customer, as the customer and the store's people use them."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from commerce.payment.v1 import payment_method_service_pb2 as rpc

from tests.shop import Shop, new_id


def new_token(behaviour: str = "ok") -> str:
    """A customer's own token of the sandbox."""
    return f"pm_sandbox_{behaviour}_{uuid.uuid4().hex}"


@dataclass
class Wallet:
    shop: Shop
    customer_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.customer = self.shop.as_("customer", customer_id=self.customer_id)

    def saving(self, token: str = "", **given: Any) -> rpc.SavePaymentMethodRequest:
        values: dict[str, Any] = {
            "customer_id": self.customer_id,
            "store_id": self.shop.store_id,
            "token": token or new_token(),
            "request_id": new_id(),
        }
        return rpc.SavePaymentMethodRequest(**(values | given))

    async def save(self, token: str = "", **given: Any) -> Any:
        reply = await self.customer.payment_methods.SavePaymentMethod(self.saving(token, **given))
        return reply.payment_method

    async def list(self, by: Shop | None = None) -> list[Any]:
        request = rpc.ListPaymentMethodsRequest(customer_id=self.customer_id)
        reply = await (by or self.customer).payment_methods.ListPaymentMethods(request)
        return list(reply.payment_methods)

    def preferring(self, method_id: str, **given: Any) -> rpc.SetDefaultPaymentMethodRequest:
        return rpc.SetDefaultPaymentMethodRequest(**self._about(method_id, **given))

    async def prefer(self, method_id: str, **given: Any) -> Any:
        request = self.preferring(method_id, **given)
        return (await self.customer.payment_methods.SetDefaultPaymentMethod(request)).payment_method

    def removing(self, method_id: str, **given: Any) -> rpc.RemovePaymentMethodRequest:
        return rpc.RemovePaymentMethodRequest(**self._about(method_id, **given))

    async def remove(self, method_id: str, **given: Any) -> None:
        await self.customer.payment_methods.RemovePaymentMethod(self.removing(method_id, **given))

    def _about(self, method_id: str, **given: Any) -> dict[str, Any]:
        values = {
            "customer_id": self.customer_id,
            "payment_method_id": method_id,
            "request_id": new_id(),
        }
        return values | given


def ids(methods: list[Any]) -> list[str]:
    return [method.payment_method_id for method in methods]


def preferred(methods: list[Any]) -> list[str]:
    """The defaults; there is one, unless there is nothing."""
    return [method.payment_method_id for method in methods if method.default]
