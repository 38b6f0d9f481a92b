"""A circuit breaker: whoever fails again and again is left alone for a while, then tried once at a time. Pure."""

from dataclasses import dataclass, replace

from commerce.payment.v1.payment_service_pb2 import GatewayHealth

OK = GatewayHealth.GATEWAY_HEALTH_OK
OPEN = GatewayHealth.GATEWAY_HEALTH_OPEN
TRYING = GatewayHealth.GATEWAY_HEALTH_TRYING


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """So many failures in a row open it for some seconds; times are a clock's that never goes back.

    `trial` is the number of the question that is being tried, 0 when none is.
    """

    most_failures: int
    rest_seconds: float
    failures: int = 0
    rests_until: float = 0.0
    trials: int = 0
    trial: int = 0

    def health(self, now: float) -> GatewayHealth.ValueType:
        """Tell how the other one does."""
        if self.failures < self.most_failures:
            return OK
        return TRYING if self.trial or now >= self.rests_until else OPEN

    def begun(self, now: float) -> "Breaker | None":
        """Return the breaker while one question more is asked, whose number is its `trial`; None when none may be."""
        if self.failures < self.most_failures:
            return self
        if self.trial or now < self.rests_until:
            return None
        return replace(self, trials=self.trials + 1, trial=self.trials + 1)

    def ended(self, good: bool | None, number: int, now: float) -> "Breaker":
        """Return the breaker after a question: it was answered, or not, or nobody waited for the answer (None)."""
        if good:
            return replace(self, failures=0, trial=0)
        tried = number != 0 and number == self.trial
        if good is None:
            return replace(self, trial=0) if tried else self
        if tried:
            return replace(self, rests_until=now + self.rest_seconds, trial=0)
        if self.failures == self.most_failures:
            return self  # It was asked before this opened.
        failures = self.failures + 1
        opens = failures == self.most_failures
        return replace(
            self, failures=failures, rests_until=now + self.rest_seconds if opens else self.rests_until
        )
