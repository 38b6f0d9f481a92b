"""Who calls, and the contract's access rule."""

import hashlib
from dataclasses import dataclass, field

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.contract import Method
from services.runtime.refusals import Refusal

FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a token speaks for. `store_id` and `customer_id` are empty where the token is not bound to one."""

    subject: str
    role: str
    store_id: str = ""
    customer_id: str = ""
    expires: float = float("inf")
    key: str = ""  # The thumbprint of the key that signed the token.
    # What tells callers apart: who they are, and what they may see. A renewed token is of the same caller.
    fingerprint: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The subject, in which any character may be, comes last.
        text = f"{self.role} {self.store_id} {self.customer_id} {self.subject}"
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        object.__setattr__(self, "fingerprint", digest[:FINGERPRINT_BYTES])

    @property
    def actor(self) -> str:
        """Role and subject, as timelines show them."""
        return f"{self.role} {self.subject}"

    def may_see(self, store_id: str, customer_id: str = "") -> bool:
        """Tell whether something of this store (and customer) is the caller's to see."""
        if self.store_id and self.store_id != store_id.lower():
            return False
        return self.role != "CUSTOMER" or self.customer_id == customer_id.lower()

    def own_customer(self, customer_id: str) -> str:
        """Return whose things the caller asks for, as the database writes an id; "" for everybody's.

        Customers look at their own only: for them "" are they themselves, and others do not exist.
        """
        customer_id = customer_id.lower()
        if self.role != "CUSTOMER":
            return customer_id
        if customer_id not in ("", self.customer_id):
            raise customer_not_found(customer_id)
        return self.customer_id


ANYONE = Caller(subject="anyone", role="ANYONE")


def allowed(method: Method, caller: Caller) -> None:
    """Refuse a caller whose role the contract does not name for this RPC."""
    if caller.role not in method.allow:
        raise Refusal(
            ErrorReason.ERROR_REASON_PERMISSION_DENIED,
            f"{caller.role} may not call {method.name}",
            role=caller.role,
        )


def customer_not_found(customer_id: str) -> Refusal:
    """Refuse with CUSTOMER_NOT_FOUND: there is none, or none that the caller may know of."""
    return Refusal(
        ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND,
        f"There is no customer {customer_id}",
        customer_id=customer_id,
    )


def unauthenticated(cause: str) -> Refusal:
    """Refuse a token, with the cause."""
    return Refusal(ErrorReason.ERROR_REASON_UNAUTHENTICATED, cause, cause=cause)
