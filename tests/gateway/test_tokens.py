"""Who passes the edge."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import aiohttp
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from yarl import URL

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc
from commerce.payment.v1 import payment_service_pb2, payment_service_pb2_grpc

from tests.gateway.conftest import OTHER_STORE, STORE, Gateway, Keys
from tests.gateway.refusals import detail, grpc_reason, reason, refusal

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"


def unsigned(keys: Keys) -> str:
    _, payload, _ = keys.token().split(".")
    none = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": keys.key.kid}).encode())
        .rstrip(b"=")
        .decode()
    )
    return f"{none}.{payload}."


def symmetric(keys: Keys) -> str:
    """HS256 with the public key as the secret."""
    secret = OctKey.import_key(json.dumps(keys.key.as_dict(private=False)))
    claims = {
        "iss": "commerce",
        "aud": "commerce",
        "sub": "x",
        "role": "PLATFORM_ADMIN",
        "exp": 4_000_000_000,
    }
    return jwt.encode({"alg": "HS256", "kid": keys.key.kid}, claims, secret)


def altered(keys: Keys) -> str:
    header, _, signature = keys.token().split(".")
    _, payload, _ = keys.token(role="PLATFORM_ADMIN", store_id=None).split(".")
    return f"{header}.{payload}.{signature}"


BAD: dict[str, tuple[Callable[[Keys], str | None], str]] = {
    "missing": (lambda keys: None, "missing"),
    "expired": (lambda keys: keys.token(lifetime_seconds=-60), "expired"),
    "without an expiry": (lambda keys: keys.token(exp=None), "unreadable"),
    "of another key": (lambda keys: keys.token(ECKey.generate_key("P-256")), "not signed"),
    "of alg none": (unsigned, "unreadable"),
    "of a symmetric key": (symmetric, "unreadable"),
    "altered": (altered, "not signed"),
    "garbage": (lambda keys: "garbage", "unreadable"),
    "of another issuer": (lambda keys: keys.token(iss="somebody"), "somebody else"),
    "for another audience": (lambda keys: keys.token(aud="somebody"), "somebody else"),
}


@pytest.mark.parametrize("case", BAD)
async def test_refuses_a_token(gateway: Gateway, anyone: aiohttp.ClientSession, case: str) -> None:
    token, cause = BAD[case][0](gateway.keys), BAD[case][1]
    for path in (ORDER_PATH, f"{ORDER_PATH}:watch"):
        async with anyone.get(path, headers={"authorization": f"Bearer {token}"} if token else {}) as reply:
            assert reply.status == 401
            status = await refusal(reply)
        assert (status["code"], reason(status)) == (16, "UNAUTHENTICATED")
        assert cause in detail(status, "ErrorInfo")["metadata"]["cause"]
    assert gateway.script.arrivals == []


@pytest.mark.parametrize("case", BAD)
async def test_refuses_a_token_in_grpc(gateway: Gateway, case: str) -> None:
    token = BAD[case][0](gateway.keys)
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetOrder(order_service_pb2.GetOrderRequest(order_id="x"), metadata=metadata)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert grpc_reason(refused.value) == "UNAUTHENTICATED"
    assert gateway.script.arrivals == []


async def test_forwards_a_good_token(gateway: Gateway, anyone: aiohttp.ClientSession) -> None:
    authorization = f"Bearer {gateway.keys.token()}"
    async with anyone.get(ORDER_PATH, headers={"authorization": authorization}) as reply:
        assert reply.status == 200
    assert gateway.script.arrivals[0].metadata["authorization"] == authorization


async def test_takes_a_public_rpc_without_a_token_by_rest_and_grpc(
    gateway: Gateway, anyone: aiohttp.ClientSession
) -> None:
    async with anyone.post("/v1/webhooks/sandbox", data=b"{}") as reply:
        assert reply.status == 200
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = payment_service_pb2_grpc.PaymentServiceStub(channel)
        await stub.IngestWebhook(payment_service_pb2.IngestWebhookRequest(gateway="sandbox"))
    assert len(gateway.script.arrivals) == 2


OTHERS = [
    f"/v1/stores/{OTHER_STORE}/orders",
    f"/v1/stores/{OTHER_STORE}/ledger:trialBalance",
    f"/v1/stores/{OTHER_STORE}/orders?storeId={STORE}",
    f"/v1/stores/{OTHER_STORE}/orders?pageToken=/v1/stores/{STORE}/orders",
    f"/v1/stores/{STORE}x/orders",
    f"/v1/stores/x{STORE}/orders",
    f"/v1/stores/{STORE[:-1]}/orders",
    f"/v1/stores/%30{OTHER_STORE[1:]}/orders",
    f"/v1/stores//{OTHER_STORE}/orders",
    f"/v1/stores/{STORE}/../{OTHER_STORE}/orders",
]


@pytest.mark.parametrize("path", OTHERS)
async def test_refuses_another_stores_path(gateway: Gateway, http: aiohttp.ClientSession, path: str) -> None:
    async with http.get(_raw(gateway, path)) as reply:
        assert reply.status == 403, await reply.text()
        assert reason(await refusal(reply)) == "PERMISSION_DENIED"
    assert gateway.script.arrivals == []


async def test_refuses_to_write_into_another_store(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.post(f"/v1/stores/{OTHER_STORE}/orders", json={"requestId": STORE}) as reply:
        assert reply.status == 403
    assert gateway.script.arrivals == []


@pytest.mark.parametrize("role", ["PLATFORM_ADMIN", "SERVICE"])
async def test_lets_a_token_without_a_store_into_any(
    gateway: Gateway, anyone: aiohttp.ClientSession, role: str
) -> None:
    token = gateway.keys.token(role=role, store_id=None)
    for store in (STORE, OTHER_STORE):
        headers = {"authorization": f"Bearer {token}"}
        async with anyone.get(f"/v1/stores/{store}/orders", headers=headers) as reply:
            assert reply.status == 200


@pytest.mark.parametrize(
    "path", [f"/v1/stores/{STORE}/orders?pageSize=1", f"/v1/stores/{STORE}/ledger:trialBalance"]
)
async def test_lets_a_token_into_its_own_store(
    gateway: Gateway, http: aiohttp.ClientSession, path: str
) -> None:
    async with http.get(path) as reply:
        assert reply.status == 200


def _raw(gateway: Gateway, path: str) -> URL:
    """The path as it stands: aiohttp would tidy it up."""
    return URL(gateway.url + path, encoded=True)
