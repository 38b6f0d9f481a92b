"""Gateways: one a provider, all asked the same way. They are asked outside any transaction."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.rules.outcomes import Method, NeverSeen, Notice, NotSent, Outcome, Refused, Unknown
from services.payment.rules.payment import Kind, Operation, Payment

# The customer tells the provider how they pay, at next_action_url.
HOSTED = "hosted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a gateway can do; the contract's Gateway says what each means."""

    partial_capture: bool = False
    multiple_capture: bool = False
    partial_refund: bool = False
    customer_action: bool = False
    hosted: bool = False
    saved_methods: bool = False
    disputes: bool = False
    settlements: bool = False
    currency_codes: tuple[str, ...] = ()
    method_pattern: str = ""

    def takes(self, currency_code: str) -> bool:
        """Tell whether it takes a currency."""
        return not self.currency_codes or currency_code in self.currency_codes

    def lacks(self, payment: Payment, amount: int) -> str:
        """Return the ability that a capture of so much needs and is not there; "" when none is missing.

        Where an authorization is captured once, a part would give up the rest.
        """
        if amount == payment.amount:
            return ""
        if payment.captures_once and amount != payment.capturable:
            return "multiple_capture"
        if not self.partial_capture:
            return "partial_capture"
        another = payment.captured or payment.unsettled(Kind.CAPTURE)
        return "multiple_capture" if another and not self.multiple_capture else ""


class Gateway(Protocol):
    """A provider. The operation's id is the idempotency key; what cannot be told apart from silence is Unknown.

    Nothing but Refusals of `verify` and `read` is raised; cancelling a call is allowed, and is silence, too.
    """

    code: str
    abilities: Abilities

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """Ask the provider to do it; asking again with the same operation does it once.

        Kinds: authorize (the payment's amount), capture (the operation's amount; a later one may follow unless
        nothing is left), void and expire (give up what is not captured), refund (the operation's amount).
        """
        ...

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """Ask the provider what became of an operation; go on with an authorization that its customer has confirmed."""
        ...

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Refuse a webhook that is not the provider's with WEBHOOK_SIGNATURE_INVALID. Keys are lower case."""
        ...

    def read(self, body: bytes) -> Notice:
        """Read a webhook that was verified. Refused with WEBHOOK_MALFORMED."""
        ...

    async def method(self, token: str) -> Method | Refused | Unknown | NotSent:
        """Ask what a payment method (pm_<code>_…) is; Refused when the provider knows no such token."""
        ...

    async def forget(self, token: str) -> Refused | Unknown | NotSent | None:
        """Have the provider forget a payment method; None when it has, or never knew it."""
        ...

    def settlement(self, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
        """Fetch the provider's report of a time, line by line. Raises Unfetched."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Unfetched(Exception):
    """The provider did not send its report, or not all of it."""


def token_of(payment_method: str, code: str) -> str:
    """Return the provider's own token of a payment method that names its gateway: pm_<code>_<token>."""
    return payment_method.removeprefix(f"pm_{code}_")
