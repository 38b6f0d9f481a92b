"""What the payer's side refuses, when a test asks for it."""

from dataclasses import dataclass

from tests.providers.paypal.errors import DECLINES, unprocessable

# processor_response.response_code, as the Payments API lists them.
PROCESSOR = {
    "CLOSED_ACCOUNT": "5500",
    "DO_NOT_HONOR": "0500",
    "EXPIRED_CARD": "5400",
    "GENERIC_DECLINE": "5100",
    "INSUFFICIENT_FUNDS": "5120",
    "LOST_OR_STOLEN": "9520",
    "SUSPECTED_FRAUD": "9500",
}
STEPS = {"authorize", "capture", "refund"}


@dataclass
class Decline:
    kind: str
    at: str
    target: str | None
    left: int


@dataclass(frozen=True)
class Verdict:
    """How one authorization, capture or refund goes."""

    granted: bool = True
    pending: bool = False
    response_code: str = ""


class Declines:
    def __init__(self) -> None:
        self.declines: list[Decline] = []

    def add(self, kind: str, at: str, target: str | None, times: int) -> None:
        if kind not in DECLINES | PROCESSOR.keys() | {"PENDING"}:
            raise ValueError(f"no such decline: {kind}")
        if at not in STEPS:
            raise ValueError(f"nothing is declined at {at}")
        self.declines.append(Decline(kind, at, target, times))

    def verdict(self, at: str, *ids: str) -> Verdict:
        """The issue kinds are refused with 422; those of the processor are done, and denied."""
        for decline in self.declines:
            if decline.left > 0 and decline.at == at and decline.target in (None, *ids):
                decline.left -= 1
                if decline.kind in DECLINES:
                    raise unprocessable(decline.kind)
                if decline.kind == "PENDING":
                    return Verdict(pending=True)
                return Verdict(granted=False, response_code=PROCESSOR[decline.kind])
        return Verdict()
