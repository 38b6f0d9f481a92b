"""The recorder: it writes down how orders in hand have moved, or that they could not and when they are due again.

Whatever has come in since the last commit goes into the next: one commit serves up to BATCH orders.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from services.order import driving_rules, life
from services.order.clients import Unanswered
from services.order.driving_rules import Driven, PutBack
from services.order.hand import Hand
from services.order.records import Records
from services.order.transitions import Move
from services.runtime import logs
from services.runtime.bell import Bell
from services.runtime.refusals import Refusal
from services.runtime.tasks import Tasks

ACTOR = "SERVICE order"
BATCH = 100


class Recorder:
    """Records moves, by the way of `Records`, and hands what they lead to back to the driver: `go_on`."""

    def __init__(
        self,
        hand: Hand,
        records: Records,
        go_on: Callable[[Driven], None],
        tasks: Tasks,
        now: Callable[[], datetime],
    ) -> None:
        self._hand, self._records, self._go_on = hand, records, go_on
        self._tasks, self._now = tasks, now
        self._moves: deque[tuple[Driven, Move]] = deque()
        self._bell = Bell()

    def move(self, driven: Driven, step: str, *, reason: str = "", **news: Any) -> None:
        """Have an order take a step, unless it moves already. `news` are what `Move` tells besides."""
        if not self._hand.is_idle(driven):
            return
        state = life.step(step, driven.order.state)
        assert state is not None
        move = Move(driven.order, step, state, ACTOR, driven.trace, reason=reason[:200], **news)
        driven.moving = True
        self._moves.append((driven, move))
        self._bell.ring()

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            await self._bell.wait(60)
            while self._moves:
                batch = [self._moves.popleft() for _ in range(min(BATCH, len(self._moves)))]
                await self._record(batch)

    async def let_go_of_all(self) -> None:
        """Let go of what is in hand as it is: another process need not wait for the leases."""
        now = self._now()
        await self.let_go([driving_rules.left(each, now) for each in self._hand])

    async def _record(self, batch: Sequence[tuple[Driven, Move]]) -> None:
        """Record moves and go on with what they lead to. One that cannot be recorded does not stop the others."""
        error = None
        try:
            held = await self._records.record([move for _, move in batch])
        except Exception as raised:
            if len(batch) > 1:
                for each in batch:
                    self._tasks.start(self._record([each]))
                return
            error, held = raised, set()
        missed = []
        for driven, move in batch:
            if move.order.order_id in held:
                driven.moving, driven.attempts, driven.last_error = False, 0, ""
                self._onward(driven)
            else:
                missed.append((driven, move))
        if missed:
            await self._reread(missed, error)

    def _onward(self, driven: Driven) -> None:
        if driven.order.state in driving_rules.AT_ONCE:
            self._go_on(driven)
        else:
            self._hand.drop(driven)

    async def _reread(self, missed: Sequence[tuple[Driven, Move]], error: Exception | None) -> None:
        """Go on with orders that somebody else has moved, as they are now; one that could not be moved is put back."""
        for driven, _ in missed:
            self._hand.drop(driven)
        try:
            found = await self._records.reread([driven.order.order_id for driven, _ in missed])
        except Exception as failure:
            logs.log.warning("orders not read again", reason=words(failure))
            return  # They are due when their lease ends.
        moves = {move.order.order_id: move for _, move in missed}
        for driven in found:
            move = moves[driven.order.order_id]
            self._hand.hold(driven)
            if error is not None and driven.order.sequence < move.sequence:
                await self.failed([driven], words(error), error, last=move.step == "expire")
            else:
                self._onward(driven)

    async def failed(
        self, batch: Sequence[Driven], words: str, error: Exception | None = None, last: bool = False
    ) -> None:
        """Put orders back whose step has failed. `last` says that it was the step that lets them expire."""
        now = self._now()
        back = [
            driving_rules.failed(each, words, now, random.random(), last)
            for each in batch
            if self._hand.is_idle(each)
        ]
        if driving_rules.is_away(words):
            logs.log.warning("orders put back", reason=words, orders=len(back))
        elif back:
            logs.log.error("orders not driven", reason=words, orders=len(back), exc_info=error)
        for each in back:
            if each.parked:
                logs.log.error("order parked", order_id=each.driven.order.order_id, reason=words)
        await self.let_go(back)

    async def let_go(self, back: Sequence[PutBack]) -> None:
        """Put orders back as the rules say, for whoever finds them due."""
        for each in back:
            self._hand.put_back(each)
        try:
            await self._records.later(back)
        except Exception as failure:
            # They are due when their lease ends.
            logs.log.warning("orders not put back", reason=words(failure))


def words(error: Exception) -> str:
    """Return what happened, its reason first."""
    return str(error) if isinstance(error, Unanswered | Refusal) else logs.describe(error)
