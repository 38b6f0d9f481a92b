"""Misbehaviour happens where it says: before the effect or after it."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.providers.paypal import Fault
from tests.providers.paypal.merchant import issue


async def test_of_two_requests_with_one_id_at_once_the_second_is_refused(server, merchant):
    authorization = (await merchant.authorization())["id"]
    rule = server.misbehave(Fault.SLOW, "/capture$", seconds=0.3)

    async def second():
        await rule.reached.wait()
        return await merchant.step("authorizations", authorization, "capture", "10.00", key="k")

    first = merchant.step("authorizations", authorization, "capture", "10.00", key="k")
    (done, _), (status, refused) = await asyncio.gather(first, second())
    assert (done, status, issue(refused)) == (201, 409, "PREVIOUS_REQUEST_IN_PROGRESS")


@pytest.mark.parametrize(
    ("fault", "effects"),
    [
        (Fault.SILENT_BEFORE, 0),
        (Fault.SILENT_AFTER, 1),
        (Fault.HANG_UP_BEFORE, 0),
        (Fault.HANG_UP_AFTER, 1),
        (Fault.SERVER_ERROR, 0),
        (Fault.SERVER_ERROR_AFTER, 1),
        (Fault.RATE_LIMITED, 0),
        (Fault.MALFORMED, 1),
        (Fault.HUGE, 1),
    ],
)
async def test_a_fault_is_before_or_after_the_effect_and_a_retry_is_one_effect(
    server, merchant, fault, effects
):
    authorization = (await merchant.authorization())["id"]
    rule = server.misbehave(fault, "/capture$", megabytes=2)

    async def captured() -> int:
        return len(server.state.authorization(authorization).captures)

    asked = asyncio.create_task(merchant.step("authorizations", authorization, "capture", "10.00", key="k"))
    await rule.reached.wait()
    assert await captured() == effects
    if fault in {Fault.SILENT_BEFORE, Fault.SILENT_AFTER}:
        asked.cancel()
    outcome: Any = (await asyncio.gather(asked, return_exceptions=True))[0]
    expected = {
        Fault.HANG_UP_BEFORE: aiohttp.ClientError,
        Fault.HANG_UP_AFTER: aiohttp.ClientError,
        Fault.MALFORMED: ValueError,
        Fault.SILENT_BEFORE: asyncio.CancelledError,
        Fault.SILENT_AFTER: asyncio.CancelledError,
    }
    if fault in expected:
        assert isinstance(outcome, expected[fault])
    elif fault is Fault.HUGE:
        assert len(outcome[1]["id"]) == 2 * 2**20
    else:
        assert outcome[1]["name"] == {429: "RATE_LIMIT_REACHED", 500: "INTERNAL_SERVER_ERROR"}[outcome[0]]

    status, capture = await merchant.step("authorizations", authorization, "capture", "10.00", key="k")
    assert (status, capture["amount"]["value"], await captured()) == (201, "10.00", 1)
