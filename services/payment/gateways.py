"""Gateways: one a provider, all asked the same way. They are asked outside any transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.payment.outcomes import NeverSeen, Outcome, Told
from services.payment.payments import Operation, Payment
from services.runtime.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A provider's webhook: what became of the operation with this key; None when it tells of something else."""

    event_id: str
    type: str
    operation_id: str
    told: Told | None


class Gateway(Protocol):
    """A provider. The operation's id is the idempotency key; what cannot be told apart from silence is Unknown."""

    async def perform(self, operation: Operation, payment: Payment) -> Outcome:
        """Ask the provider to do it; asking again with the same operation does it once."""
        ...

    async def look_up(self, operation: Operation) -> Outcome | NeverSeen:
        """Ask the provider what became of an operation."""
        ...

    def notice(self, body: bytes, headers: Mapping[str, str | bytes]) -> Notice:
        """Verify and read a webhook. Refused with WEBHOOK_SIGNATURE_INVALID or WEBHOOK_MALFORMED."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Gateways:
    """All gateways, by code; a payment method's token begins with `pm_`, the code and `_`."""

    def __init__(self, gateways: Mapping[str, Gateway]) -> None:
        self._gateways = gateways

    def named(self, code: str) -> Gateway:
        """Return a gateway. Refused with GATEWAY_UNKNOWN."""
        try:
            return self._gateways[code]
        except KeyError:
            raise _unknown(code, f"There is no gateway {code}") from None

    def taking(self, payment_method: str) -> str:
        """Return the code of the gateway that takes a payment method. Refused with GATEWAY_UNKNOWN."""
        for code in self._gateways:
            if payment_method.startswith(f"pm_{code}_"):
                return code
        raise _unknown("", "No gateway takes this payment method")

    async def close(self) -> None:
        """Close all connections."""
        for gateway in self._gateways.values():
            await gateway.close()


def _unknown(code: str, text: str) -> Refusal:
    return Refusal(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN, text, gateway=code)
