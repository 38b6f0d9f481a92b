"""A header that no service can read, or that is not a client's to send, is refused by name and touches nobody else."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from commerce.order.v1 import order_service_pb2, order_service_pb2_grpc

from tests.gateway.conftest import Gateway, configuration, contract_definitions
from tests.gateway.refusals import detail, grpc_reason, reason, refusal
from tests.shop import WAIT_SECONDS

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"
WEBHOOK = "/v1/webhooks/sandbox"
GET_ORDER = "/commerce.order.v1.OrderService/GetOrder"
OTHERS = 5
BAD = [
    *(
        ("grpc-timeout", value)
        for value in ("x", "1", "S", "1s", "-1S", "999999999S", "1S, 1S", "0x1S", "1 S")
    ),
    *(("grpc-encoding", value) for value in ("br", "gzip,gzip", "GZIP", "\xff")),
    *(("grpc-accept-encoding", value) for value in (";", "gzip;q=1", "\xff")),
    *(("grpc-status", value) for value in ("x", "0", "16")),
    ("grpc-message", "%zz"),
    ("grpc-message", "fine"),
    ("grpc-status-details-bin", "CAM="),
    ("grpc-retry-pushback-ms", "x"),
    ("grpc-internal-encoding-request", "gzip"),
    ("grpc-server-stats-bin", "AAAA"),
    ("endpoint-load-metrics-bin", "AAAA"),
    ("lb-token", "x"),
    ("lb-cost-bin", "AAAA"),
    ("grpc-trace-bin", "!"),
    ("grpc-tags-bin", "A"),
]
# Of names that nobody can list. A stranger is told; a call with a token loses such bytes instead.
UNHEARD_OF = [("x-bin", "!"), ("x-bin", "AAAAA"), ("x-bin", "AA, !"), ("a-b-bin", "\xff"), ("grpc-x", "1")]
GOOD = [
    *(("grpc-timeout", value) for value in ("1S", "99999999m", "5000000u", "1H", "10M")),
    *(("grpc-encoding", value) for value in ("identity", "gzip", "deflate")),
    *(("grpc-accept-encoding", value) for value in ("identity", "identity,deflate, gzip", "br,x-snappy")),
    *(("x-bin", value) for value in ("", "AAAA", "AAA", "AAA=", "AA==", "AAAA,AA", "-_-_")),
    ("grpc-trace-bin", "AAAA"),
    ("te", "trailers"),
    ("te", "gzip"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
async def test_refuses_a_call_with(
    gateway: Gateway, http: aiohttp.ClientSession, name: str, value: str
) -> None:
    async with http.get(ORDER_PATH, headers={name: value}) as reply:
        await _refused(reply, name)
    await _feel_nothing(gateway)


@pytest.mark.parametrize(("name", "value"), BAD + UNHEARD_OF)
async def test_refuses_a_stranger_s_body_with(
    gateway: Gateway, anyone: aiohttp.ClientSession, name: str, value: str
) -> None:
    async with anyone.post(WEBHOOK, data="{}", headers={name: value}) as reply:
        await _refused(reply, name)
    assert gateway.script.arrivals == []
    await _feel_nothing(gateway)


@pytest.mark.parametrize(("name", "value"), UNHEARD_OF[:-1])
async def test_takes_off_bytes_that_no_service_can_read(
    gateway: Gateway, http: aiohttp.ClientSession, name: str, value: str
) -> None:
    async with http.get(ORDER_PATH, headers={name: value}) as reply:
        assert reply.status == 200
    async with http.post(f"{ORDER_PATH}:cancel", data="{}", headers={name: value}) as reply:
        assert reply.status == 200
    assert [name for arrival in gateway.script.arrivals if name in arrival.metadata] == []
    await _feel_nothing(gateway)


@pytest.mark.parametrize(("name", "value"), GOOD)
async def test_takes_a_call_with(
    gateway: Gateway, http: aiohttp.ClientSession, name: str, value: str
) -> None:
    async with http.get(ORDER_PATH, headers={name: value}) as reply:
        assert reply.status == 200, await reply.text()
    async with http.post(f"{ORDER_PATH}:cancel", data="{}", headers={name: value}) as reply:
        assert reply.status == 200, await reply.text()


async def test_takes_a_call_with_a_deadline_that_is_soon_over(
    gateway: Gateway, http: aiohttp.ClientSession
) -> None:
    """A tenth of a second is all that nanoseconds can say: a busy machine may need it for itself."""
    async with http.get(ORDER_PATH, headers={"grpc-timeout": "99999999n"}) as reply:
        assert reply.status in (200, 504), await reply.text()


@pytest.mark.parametrize(
    ("name", "value"), [("grpc-status", "0"), ("grpc-encoding", "br"), ("lb-token", "x")]
)
async def test_refuses_a_grpc_call_with(
    gateway: Gateway, anyone: aiohttp.ClientSession, name: str, value: str
) -> None:
    """grpc-web can be sent by hand, so that a client's own gRPC does not correct it."""
    headers = {"authorization": f"Bearer {gateway.keys.token()}", name: value}
    headers |= {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    async with anyone.post(GET_ORDER, data=b"\0\0\0\0\0", headers=headers) as reply:
        assert reply.headers["grpc-status"] == "3"
        assert name in reply.headers["grpc-message"]
        assert "grpc-status-details-bin" in reply.headers
    assert gateway.script.arrivals == []
    await _feel_nothing(gateway)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_refuses_grpc_by_another_method(
    gateway: Gateway, http: aiohttp.ClientSession, method: str
) -> None:
    headers = {"content-type": "application/grpc", "te": "trailers"}
    async with http.request(method, GET_ORDER, headers=headers) as reply:
        assert (reply.status, reply.headers["grpc-status"]) == (200, "12")
        assert reply.headers["grpc-message"] == "gRPC is called by POST"
    assert gateway.script.arrivals == []


@pytest.mark.parametrize(
    "path", [ORDER_PATH, f"{ORDER_PATH}:cancel", f"{ORDER_PATH}/nothing", "/healthz", "/nothing"]
)
async def test_answers_grpc_in_its_own_way_where_rest_has_a_path(
    gateway: Gateway, http: aiohttp.ClientSession, path: str
) -> None:
    headers = {"content-type": "application/grpc", "te": "trailers"}
    async with http.post(path, data=b"\0\0\0\0\0", headers=headers) as reply:
        assert (reply.status, reply.headers["grpc-status"]) == (200, "12")
        assert reply.headers["grpc-message"] == "there is no such path"
    assert gateway.script.arrivals == []


async def test_refuses_grpc_metadata_that_is_a_server_s_to_send(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.address) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        metadata = (("authorization", f"Bearer {gateway.keys.token()}"), ("lb-token", "x"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetOrder(order_service_pb2.GetOrderRequest(), metadata=metadata)
    assert grpc_reason(refused.value) == "INVALID_ARGUMENT"
    assert "lb-token" in str(refused.value.details())


async def test_takes_grpc_with_compression_a_deadline_and_bytes(gateway: Gateway) -> None:
    async with grpc.aio.insecure_channel(gateway.address, compression=grpc.Compression.Gzip) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        metadata = (("authorization", f"Bearer {gateway.keys.token()}"), ("x-bin", b"\0\xff\x10"))
        request = order_service_pb2.GetOrderRequest(order_id="x" * 500)
        await stub.GetOrder(request, metadata=metadata, timeout=WAIT_SECONDS)
    assert gateway.script.arrivals[0].request == request


def test_shares_no_header_table_with_a_service(gateway: Gateway) -> None:
    """gRPC remembers what it could not read with the table's entry, whoever sends it next."""
    content = configuration(gateway)
    clusters = {cluster["name"]: cluster for cluster in content["static_resources"]["clusters"]}
    for definition in contract_definitions():
        (options,) = clusters[definition.code]["typed_extension_protocol_options"].values()
        assert options["explicit_http_config"]["http2_protocol_options"]["hpack_table_size"] == 0


async def _refused(reply: aiohttp.ClientResponse, name: str) -> None:
    assert reply.status == 400, await reply.text()
    status = await refusal(reply)
    assert (status["code"], reason(status)) == (3, "INVALID_ARGUMENT")
    assert name in status["message"]
    assert detail(status, "BadRequest")["fieldViolations"][0]["field"] == name


async def _feel_nothing(gateway: Gateway) -> None:
    """Others' calls with deadlines, each on a connection of its own, all succeed."""
    await asyncio.gather(*(_call(gateway, number) for number in range(OTHERS)))


async def _call(gateway: Gateway, number: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(gateway.address, options=options) as channel:
        stub = order_service_pb2_grpc.OrderServiceStub(channel)
        metadata = (("authorization", f"Bearer {gateway.keys.token()}"),)
        await stub.GetOrder(
            order_service_pb2.GetOrderRequest(), metadata=metadata, timeout=WAIT_SECONDS + number
        )
