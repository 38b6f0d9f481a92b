"""Idempotency keys: https://docs.stripe.com/api/idempotent_requests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from .book import Clock
from .errors import invalid, key_in_use, key_reused

DAY_SECONDS = 86_400
LONGEST_KEY = 255


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    request_id: str
    headers: dict[str, str] = field(default_factory=dict)
    # Whether the endpoint had begun its work; only then the reply is saved.
    executed: bool = True


@dataclass
class Saved:
    path: str
    parameters: str
    first_used: float
    reply: Reply | None = None


class Keys:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._saved: dict[str, Saved] = {}

    async def once(
        self, key: str, path: str, parameters: str, carry_out: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """The first request's reply to each further one with the same parameters; a conflict meanwhile."""
        if len(key) > LONGEST_KEY:
            raise invalid(f"Idempotency-Key must be at most {LONGEST_KEY} characters long.")
        if saved := self._saved.get(key):
            return self._again(key, saved, path, parameters)
        mine = self._saved[key] = Saved(path, parameters, self._clock.now())
        try:
            reply = await carry_out()
        except BaseException:
            del self._saved[key]
            raise
        if reply.executed:
            mine.reply = reply
        else:
            del self._saved[key]
        return reply

    def _again(self, key: str, saved: Saved, path: str, parameters: str) -> Reply:
        if (saved.path, saved.parameters) != (path, parameters):
            raise key_reused(key, saved.path, path)
        if saved.reply is None:
            raise key_in_use(key)
        again = {"Idempotent-Replayed": "true", "Original-Request": saved.reply.request_id}
        return replace(saved.reply, headers=saved.reply.headers | again)

    def prune(self) -> int:
        """Forget the keys that are 24 hours old, as Stripe may; how many there were."""
        oldest = self._clock.now() - DAY_SECONDS
        old = [key for key, saved in self._saved.items() if saved.reply and saved.first_used <= oldest]
        for key in old:
            del self._saved[key]
        return len(old)
