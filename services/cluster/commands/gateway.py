"""Calls through the running cluster's gateway, as an operator's own program makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc.aio
from commerce.payment.v1.payment_service_pb2 import ListGatewaysRequest
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.cluster import tokens
from services.cluster.home import Home, HomeError
from services.cluster.processes import backoff_seconds

CALL_SECONDS = 10.0
# The contract's longest page: what is more is looked at when this is dealt with.
LISTED = 500
# With a pause before each that grows: longer than a replica takes to start again.
TRIES = 10
# A replica that stops, or dies.
BROKEN_OFF = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)

T = TypeVar("T")
Options = dict[str, Any]


@asynccontextmanager
async def gateway(home: Home) -> AsyncIterator[tuple[grpc.aio.Channel, Options]]:
    """Open a channel, and say what each call is given: a platform administrator's token, and its time.

    Raises HomeError, with the status and the words of the reply, when a call is refused and nobody has caught that.
    """
    status = home.state()
    tokens.check_development(status["environment"])
    metadata = (("authorization", f"Bearer {tokens.mint(home, 'platform_admin')}"),)
    async with grpc.aio.insecure_channel(status["gateway"].removeprefix("http://")) as channel:
        try:
            yield channel, {"metadata": metadata, "timeout": CALL_SECONDS}
        except grpc.aio.AioRpcError as error:
            raise HomeError(words_of(error)) from None


def words_of(refusal: grpc.aio.AioRpcError) -> str:
    """Say a refusal as people read it."""
    return f"{refusal.code().name}: {refusal.details()}"


async def again_after_breaks(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call, and make it again when it breaks off. Raises AioRpcError for a refusal and the last break."""
    tries = 0
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            tries += 1
            if error.code() not in BROKEN_OFF or tries == TRIES:
                raise
            await asyncio.sleep(backoff_seconds(tries))


async def check_gateway(channel: grpc.aio.Channel, options: Options, code: str) -> None:
    """Raises ValueError, with the gateways that there are, when this is none of them."""
    reply = await PaymentServiceStub(channel).ListGateways(ListGatewaysRequest(), **options)
    codes = [gateway.code for gateway in reply.gateways]
    if code not in codes:
        raise ValueError(f"no gateway is called {code}; there are {', '.join(codes)}")
