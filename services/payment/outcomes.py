"""What became of a question to a provider. Pure."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["processing", "requires_action", "authorized", "declined", "captured", "voided", "refunded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The provider has told what the operation led to: the charge's status, and its sums in minor units."""

    status: Status
    reference: str
    amount: int
    currency_code: str
    captured: int = 0
    refunded: int = 0
    decline_code: str = ""
    next_action_url: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will not do it; `charge` is the charge's status, where it told."""

    code: str
    charge: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer was lost, late or no answer: the operation may or may not have had its effect."""

    cause: str


@dataclass(frozen=True, slots=True)
class NeverSeen:
    """No request with this key had any effect."""


Outcome = Told | Refused | Unknown
