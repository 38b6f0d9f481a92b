"""What became of a question to a provider, and what a provider tells unasked. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from commerce.payment.v1.payment_pb2 import DisputeStatus

Status = Literal[
    "processing", "requires_action", "authorized", "declined", "captured", "voided", "refunded", "expired"
]


# The code of a refund that is refused because of a dispute, whatever its provider calls that.
DISPUTED = "disputed"


@dataclass(frozen=True, slots=True)
class Words:
    """What the provider said when it refused, and its own id of the request. For operators, never for buyers."""

    message: str = ""
    request_id: str = ""


NO_WORDS = Words()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The provider has told what the operation led to, and the charge's sums in minor units as they were then.

    `reference` is the charge's, `operation_reference` that of the capture, refund … itself. `expire_time` is when the
    provider gives up what is authorized, or waits for the customer no longer; None where it does not tell.
    `captures_once` says of an authorization that one capture ends it, whatever the gateway is able to do otherwise.
    """

    status: Status
    reference: str
    amount: int
    currency_code: str
    captured: int = 0
    refunded: int = 0
    decline_code: str = ""
    next_action_url: str = ""
    operation_reference: str = ""
    expire_time: datetime | None = None
    captures_once: bool = False
    client_secret: str = field(default="", repr=False)
    words: Words = field(default=NO_WORDS, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will not do it; `charge` is the charge's status, one of Status, where it told."""

    code: str
    charge: str = ""
    words: Words = field(default=NO_WORDS, compare=False)


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer was lost, late or no answer: the operation may or may not have had its effect."""

    cause: str
    words: Words = field(default=NO_WORDS, compare=False)


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing was sent, so nothing can have happened: no connection, or the provider is not to be asked now."""

    cause: str
    words: Words = field(default=NO_WORDS, compare=False)


@dataclass(frozen=True, slots=True)
class NeverSeen:
    """No request with this key had any effect."""


Outcome: TypeAlias = Told | Refused | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeTold:
    """The provider tells how a dispute stands; sums in minor units."""

    reference: str
    status: DisputeStatus.ValueType
    amount: int
    currency_code: str
    fee: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A provider's webhook: what it tells, and of what.

    `operation_id` is our key, `charge_reference` the provider's id of the charge; either may be empty. One that tells
    neither an outcome nor a dispute says that something has happened (`ask`), is for a person to look at (`alarm`), or
    is none of our business.
    """

    event_id: str
    type: str
    operation_id: str = ""
    charge_reference: str = ""
    told: Told | None = None
    dispute: DisputeTold | None = None
    ask: bool = False
    alarm: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A payment method that a provider keeps: what customers know it by. Zeros and "" where there is no such thing."""

    brand: str
    last_four: str = ""
    expiry_month: int = 0
    expiry_year: int = 0
