"""HTTP as RFC 9110 and 9112 have it, byte by byte: what is sent, and what comes."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field

import aiohttp
import pytest

from services.gateway.contract import Rpc, rpcs
from services.gateway.values import PARAMETER
from tests.gateway.conftest import DESCRIPTORS, STORE, Gateway, contract_definitions
from tests.gateway.refusals import reason, refusal
from tests.shop import WAIT_SECONDS

ORDER = "/v1/orders/018f0000-0000-7000-8000-000000000009"
GRPC = "/commerce.order.v1.OrderService/GetOrder"
GET = f"GET {ORDER} HTTP/1.1"
POST = f"POST {ORDER}:cancel HTTP/1.1"
ALL = rpcs(DESCRIPTORS, [name for definition in contract_definitions() for name in definition.proto_services])
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "OPTIONS")


@dataclass(frozen=True)
class Answer:
    """`words` is a part of the message, `headers` what must stand among the headers; "" of a header: it must not."""

    status: int
    words: str = ""
    headers: dict[str, str] = field(default_factory=dict)


OK = Answer(200)
MALFORMED = Answer(400, "well-formed")
VERSION = Answer(505, "HTTP/1.1 and HTTP/2")
# The request without its token (HOST and TOKEN are put in) -> the answer.
CASES: dict[str, tuple[str, Answer]] = {
    # RFC 9110, 2.5 and 15.6.6: versions.
    "HTTP/1.0": (f"GET {ORDER} HTTP/1.0\r\nHOST\r\nTOKEN\r\n\r\n", VERSION),
    "HTTP/1.0 without a host": (f"GET {ORDER} HTTP/1.0\r\n\r\n", VERSION),
    "HTTP/0.9": (f"GET {ORDER}\r\n\r\n", VERSION),
    "HTTP/3.0 in a line": (f"GET {ORDER} HTTP/3.0\r\nHOST\r\n\r\n", VERSION),
    # 7.2 and RFC 9112, 3.2: host and target.
    "no host": (f"{GET}\r\nTOKEN\r\n\r\n", Answer(400, "host is missing")),
    "two hosts": (f"{GET}\r\nHOST\r\nHost: b\r\nTOKEN\r\n\r\n", Answer(400, "host is given twice")),
    "a host that is none": (f"{GET}\r\nHost: a b/c\r\nTOKEN\r\n\r\n", Answer(400, "host is not one")),
    "an absolute target": (f"GET http://b{ORDER} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    "a target of another scheme": (f"GET ftp://b{ORDER} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", MALFORMED),
    "a fragment": (f"GET {ORDER}#x HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", Answer(400, "path")),
    "a control character in the target": (f"GET {ORDER}\x01 HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", MALFORMED),
    "a trailing slash": (f"GET {ORDER}/ HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    "two slashes": (f"GET /{ORDER} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    "dots": (f"GET /v1/x/..{ORDER[3:]} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    # RFC 9112, 2.2, 5 and 6: lines, fields and lengths.
    "a blank before the colon": (f"{GET}\r\nHost : a\r\nTOKEN\r\n\r\n", MALFORMED),
    "a NUL in a field": (f"{GET}\r\nHOST\r\nX-A: b\0c\r\nTOKEN\r\n\r\n", MALFORMED),
    "a length and chunks": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        MALFORMED,
    ),
    "two lengths": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}",
        MALFORMED,
    ),
    "two lengths that agree": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
        MALFORMED,
    ),
    "a length below nothing": (f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: -2\r\n\r\n{{}}", MALFORMED),
    "a length in words": (f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: two\r\n\r\n{{}}", MALFORMED),
    "a length of +2": (f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: +2\r\n\r\n{{}}", MALFORMED),
    "chunks": (f"{POST}\r\nHOST\r\nTOKEN\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n", OK),
    "a chunk of no length": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n",
        MALFORMED,
    ),
    "an unknown transfer coding": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nTransfer-Encoding: gzip\r\n\r\n",
        Answer(501, "transfer encoding"),
    ),
    "a transfer coding before chunks": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Answer(501, "transfer encoding"),
    ),
    "no body at all": (f"{POST}\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    # RFC 9110, 7.8 and 10.1: an upgrade and an expectation that are not met may be ignored.
    "an upgrade to websocket": (
        f"{GET}\r\nHOST\r\nTOKEN\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        OK,
    ),
    "an upgrade to h2c": (
        f"{GET}\r\nHOST\r\nTOKEN\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
        OK,
    ),
    "an unknown expectation": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n{{}}",
        OK,
    ),
    # 8.3, 8.4, 12.5, 14.2: what is sent, and what is liked best.
    "a body of another type": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\n{{}}",
        OK,
    ),
    "a body that is compressed": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{{}}",
        Answer(415, "encoding", {"accept-encoding": "identity"}),
    ),
    "a body that says it is not": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\n{{}}",
        OK,
    ),
    "a wish for XML": (f"{GET}\r\nHOST\r\nTOKEN\r\nAccept: text/xml\r\n\r\n", OK),
    "a wish for a part": (f"{GET}\r\nHOST\r\nTOKEN\r\nRange: bytes=0-1\r\n\r\n", OK),
    "JSON where gRPC is": (
        f"POST {GRPC} HTTP/1.1\r\nHOST\r\nTOKEN\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
        Answer(415, "gRPC", {"accept": "application/grpc, application/grpc-web"}),
    ),
    # 9.1, 9.3: methods.
    "CONNECT": ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Answer(501, "CONNECT")),
    "CONNECT with a token": ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTOKEN\r\n\r\n", Answer(501, "CONNECT")),
    "OPTIONS of all": (
        "OPTIONS * HTTP/1.1\r\nHOST\r\n\r\n",
        Answer(204, headers={"allow": "GET, HEAD, PATCH, POST, PUT, OPTIONS"}),
    ),
    "OPTIONS of a path": (
        f"OPTIONS {ORDER} HTTP/1.1\r\nHOST\r\n\r\n",
        Answer(204, headers={"allow": "GET, HEAD, OPTIONS", "access-control-allow-origin": ""}),
    ),
    "a method that is none": (f"FROB {ORDER} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", MALFORMED),
    "a method in small letters": (f"get {ORDER} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", MALFORMED),
    "GET where gRPC is": (
        f"GET {GRPC} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n",
        Answer(405, "POST", {"allow": "POST"}),
    ),
    "POST of the health": (
        "POST /healthz HTTP/1.1\r\nHOST\r\nContent-Length: 0\r\n\r\n",
        Answer(405, "GET", {"allow": "GET, HEAD"}),
    ),
    "HEAD of the health": ("HEAD /healthz HTTP/1.1\r\nHOST\r\n\r\n", OK),
    "a method in a field": (
        f"{POST}\r\nHOST\r\nTOKEN\r\nX-HTTP-Method-Override: DELETE\r\nContent-Length: 2\r\n\r\n{{}}",
        OK,
    ),
    # 11.6: authorization.
    "a token in small letters": (f"{GET}\r\nHOST\r\nauthorization: bearer JWT\r\n\r\n", OK),
    "a token in capitals": (f"{GET}\r\nHOST\r\nAUTHORIZATION: BEARER JWT\r\n\r\n", OK),
    "a token after blanks": (f"{GET}\r\nHOST\r\nAuthorization:   bEaReR   JWT  \r\n\r\n", OK),
    "no token": (f"{GET}\r\nHOST\r\n\r\n", Answer(401, "missing", {"www-authenticate": "Bearer"})),
    "a token without its scheme": (
        f"{GET}\r\nHOST\r\nAuthorization: JWT\r\n\r\n",
        Answer(401, "missing", {"www-authenticate": "Bearer"}),
    ),
    "a token of another scheme": (
        f"{GET}\r\nHOST\r\nAuthorization: Digest JWT\r\n\r\n",
        Answer(401, "missing", {"www-authenticate": "Bearer"}),
    ),
    "a token and more": (
        f"{GET}\r\nHOST\r\nAuthorization: Bearer JWT x\r\n\r\n",
        Answer(401, "missing", {"www-authenticate": "Bearer"}),
    ),
    "a token in the query": (
        f"GET {ORDER}?access_token=JWT HTTP/1.1\r\nHOST\r\n\r\n",
        Answer(400, "access_token"),
    ),
    "two tokens": (f"{GET}\r\nHOST\r\nTOKEN\r\nTOKEN\r\n\r\n", Answer(400, "authorization is given twice")),
    "two tokens in one field": (
        f"{GET}\r\nHOST\r\nAuthorization: Bearer JWT, Bearer JWT\r\n\r\n",
        Answer(400, "authorization is given twice"),
    ),
    "a token and a password": (
        f"{GET}\r\nHOST\r\nTOKEN\r\nAuthorization: Basic eA==\r\n\r\n",
        Answer(400, "authorization is given twice"),
    ),
    "a webhook with a password": (
        "POST /v1/webhooks/sandbox HTTP/1.1\r\nHOST\r\nAuthorization: Basic eA==\r\nContent-Length: 2\r\n\r\n{}",
        OK,
    ),
    # 5.4 and RFC 6585: how large fields may be.
    "15 kB of fields": (f"{GET}\r\nHOST\r\nTOKEN\r\nX-A: {'x' * 14_500}\r\n\r\n", OK),
    "a path of 12 kB": (f"GET {ORDER}{'x' * 12_000} HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n", OK),
    "20 kB of fields": (f"{GET}\r\nHOST\r\nTOKEN\r\nX-A: {'x' * 20_000}\r\n\r\n", Answer(431, "headers")),
    "32 kB in many fields": (
        f"{GET}\r\nHOST\r\nTOKEN\r\n{''.join(f'X-{n}: {400 * chr(120)}{chr(13)}{chr(10)}' for n in range(80))}\r\n",
        Answer(431, "headers"),
    ),
    "a million bytes of fields": (
        f"{GET}\r\nHOST\r\nTOKEN\r\nX-A: {'x' * 1_000_000}\r\n\r\n",
        Answer(431, "headers"),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_answers(gateway: Gateway, case: str) -> None:
    sent, expected = CASES[case]
    status, headers, body = await _exchange(gateway, sent)
    assert status == expected.status, body
    for name, value in expected.headers.items():
        assert headers.get(name, "").startswith(value) if value else name not in headers, headers
    if status not in (200, 204):
        assert headers["content-type"] == "application/json"
        assert expected.words in json.loads(body)["message"]
    assert bool(gateway.script.arrivals) == (status == 200 and "healthz" not in sent)


@pytest.mark.parametrize("rpc", [rpc for rpc in ALL if rpc.bindings], ids=lambda rpc: rpc.name)
async def test_says_which_methods_a_path_takes(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc
) -> None:
    for binding in rpc.bindings:
        taken = {one.verb for each in ALL for one in each.bindings if one.regex == binding.regex}
        taken |= {"HEAD"} if "GET" in taken and not rpc.streams else set()
        allow = ", ".join(sorted(taken))
        path = PARAMETER.sub(STORE, binding.template)
        for method in set(METHODS) - taken:
            for at in (path, f"{path}/", f"{path}?pageSize=1"):
                async with http.request(method, at) as reply:
                    if method == "OPTIONS":
                        assert (reply.status, reply.headers["allow"]) == (204, f"{allow}, OPTIONS")
                        continue
                    assert (reply.status, reply.headers["allow"]) == (405, allow), (method, at)
                    if method != "HEAD":
                        assert reason(await refusal(reply)) == "UNIMPLEMENTED"
    assert gateway.script.arrivals == []


@pytest.mark.parametrize("path", [f"{ORDER}:frob", f"{ORDER}:frob?", f"/v1/stores/{STORE}:cancel"])
async def test_knows_no_step_that_the_contract_has_not(
    gateway: Gateway, http: aiohttp.ClientSession, path: str
) -> None:
    for method in ("GET", "POST", "PATCH"):
        async with http.request(method, path) as reply:
            assert reply.status == 404
            assert (await refusal(reply))["message"] == "there is no such path"
    assert gateway.script.arrivals == []


@pytest.mark.parametrize(
    "rpc", [rpc for rpc in ALL if rpc.bindings and not rpc.streams], ids=lambda rpc: rpc.name
)
async def test_answers_head_as_get_without_the_body(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc
) -> None:
    """RFC 9110, 9.1 and 9.3.2: the same headers, and a connection that is fit for the next call."""
    for binding in rpc.bindings:
        path = PARAMETER.sub(STORE, binding.template)
        if binding.verb != "GET":
            continue
        for at in (path, f"{path}?{'x' * 5}=1"):
            async with http.get(at) as full, http.head(at) as bare:
                assert bare.status == full.status
                for name in ("content-type", "cache-control"):
                    assert bare.headers.get(name) == full.headers.get(name)
                assert bare.headers.get("content-length") in (full.headers["content-length"], None)
                assert bare.status != 200 or "content-length" in bare.headers
                assert await bare.read() == b""


async def test_answers_head_without_a_token_as_get(gateway: Gateway, anyone: aiohttp.ClientSession) -> None:
    async with anyone.head(ORDER) as reply:
        assert reply.status == 401
        assert reply.headers["www-authenticate"].startswith("Bearer")
    assert gateway.script.arrivals == []


async def test_sends_nothing_behind_the_headers_of_head(gateway: Gateway) -> None:
    reader, writer = await _connected(gateway)
    head = GET.replace("GET", "HEAD", 1)
    writer.write(_filled(gateway, f"{head}\r\nHOST\r\nTOKEN\r\n\r\n{GET}\r\nHost: b\r\n\r\n"))
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
    second = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
    assert (first[:13], second[:13]) == (b"HTTP/1.1 200 ", b"HTTP/1.1 401 ")
    writer.close()


async def test_takes_a_colon_in_a_query(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    async with http.get(f"/v1/stores/{STORE}/orders?placedFrom=2026-01-01T00:00:00Z") as reply:
        assert reply.status == 200


async def test_waits_for_a_body_only_after_it_has_said_so(gateway: Gateway) -> None:
    reader, writer = await _connected(gateway)
    writer.write(
        _filled(gateway, f"{POST}\r\nHOST\r\nTOKEN\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    )
    assert (
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
        == b"HTTP/1.1 100 Continue\r\n\r\n"
    )
    writer.write(b"{}")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), WAIT_SECONDS)).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_request_on_the_heels_of_another_is_its_own(gateway: Gateway) -> None:
    """A body ends where its length says; what follows is read as a request, and refused as one."""
    smuggled = f"GET {ORDER} HTTP/1.1\r\nHost: b\r\n\r\n"
    reader, writer = await _connected(gateway)
    writer.write(_filled(gateway, f"{POST}\r\nHOST\r\nTOKEN\r\nContent-Length: 2\r\n\r\n{{}}{smuggled}"))
    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n{}"), WAIT_SECONDS)
    second = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)
    assert (first[:13], second[:13]) == (b"HTTP/1.1 200 ", b"HTTP/1.1 401 ")
    writer.close()


async def _exchange(gateway: Gateway, sent: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await _connected(gateway)
    writer.write(_filled(gateway, sent))
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_SECONDS)).decode().split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = (
        await reader.readexactly(int(headers.get("content-length", 0)))
        if not sent.startswith("HEAD")
        else b""
    )
    writer.close()
    return int(head[0].split(" ")[1]), headers, body


async def _connected(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = gateway.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def _filled(gateway: Gateway, request: str) -> bytes:
    """In one pass: a token's own letters may spell a name of what is put in."""
    token = gateway.keys.token()
    values = {
        "HOST": f"Host: {gateway.address}",
        "TOKEN": f"Authorization: Bearer {token}",
        "JWT": token,
    }
    return re.sub("HOST|TOKEN|JWT", lambda name: values[name[0]], request).encode("latin-1")
