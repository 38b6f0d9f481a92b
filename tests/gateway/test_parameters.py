"""A request says one thing: no query parameter may say what path or body say, for any RPC and field of the contract."""

from __future__ import annotations

import json

import aiohttp
import pytest
from google.protobuf.descriptor import FieldDescriptor
from yarl import URL

from services.gateway.contract import FOREIGN, Binding, Rpc, rpcs
from services.gateway.values import PARAMETER
from tests.gateway.conftest import DESCRIPTORS, STORE, Gateway, contract_definitions, until
from tests.gateway.refusals import detail, reason, refusal

ORDER = "018f0000-0000-7000-8000-000000000009"
ANOTHER = "018f0000-0000-7000-8000-00000000000b"
ALL = rpcs(DESCRIPTORS, [name for definition in contract_definitions() for name in definition.proto_services])
REST = [(rpc, binding) for rpc in ALL for binding in rpc.bindings]
BODILESS = [(rpc, binding) for rpc, binding in REST if not binding.body and not rpc.streams]


def _names(cases: list[tuple[Rpc, Binding]]) -> list[str]:
    return [f"{rpc.name} {binding.template}" for rpc, binding in cases]


@pytest.mark.parametrize(("rpc", "binding"), REST, ids=_names(REST))
async def test_refuses_a_parameter_that_the_path_gives(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc, binding: Binding
) -> None:
    for name in PARAMETER.findall(binding.template):
        for spelled in _spellings(name):
            for query in (f"{spelled}={ANOTHER}", f"{spelled}", f"{spelled}={ANOTHER}&{spelled}={ANOTHER}"):
                await _refuses(gateway, http, binding, query, rpc.request.fields_by_name[name].json_name)


@pytest.mark.parametrize(("rpc", "binding"), REST, ids=_names(REST))
async def test_refuses_a_parameter_beside_a_body(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc, binding: Binding
) -> None:
    if not binding.body:
        return
    for path, json_path in _paths(rpc):
        for spelled in (path, json_path, json_path + ".x"):
            await _refuses(gateway, http, binding, f"{spelled}=1", spelled)
            await _refuses(gateway, http, binding, f"&{spelled}", spelled)
    await _refuses(gateway, http, binding, "noSuchField=1", "noSuchField")


@pytest.mark.parametrize(("rpc", "binding"), BODILESS, ids=_names(BODILESS))
async def test_refuses_two_values_for_a_field_that_takes_one(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc, binding: Binding
) -> None:
    bound = PARAMETER.findall(binding.template)
    for field in rpc.request.fields:
        if field.is_repeated or field.name in bound:
            continue
        value = _value(field)
        for first in _spellings(field.name):
            for second in (field.name, field.json_name):
                await _refuses(gateway, http, binding, f"{first}={value}&{second}={value}", field.json_name)
        await _takes(gateway, http, binding, f"{field.json_name}={value}")


@pytest.mark.parametrize(("rpc", "binding"), BODILESS, ids=_names(BODILESS))
async def test_takes_a_list_of_values_for_a_list(
    gateway: Gateway, http: aiohttp.ClientSession, rpc: Rpc, binding: Binding
) -> None:
    for field in rpc.request.fields:
        if field.is_repeated:
            await _takes(gateway, http, binding, f"{field.json_name}={ORDER}&{field.name}={ANOTHER}")


NO_TEXT = ["%ff", "a%", "%c3", "%c3%28", "%ed%a0%80", "%f5%80%80%80", "%c0%80", "%zz", "caf%e9", "%e2%82"]
TEXT = ["%c3%a9", "%e2%82%ac", "%f0%9f%98%80", "a%20b+c", "%25ff", "%00", ""]


@pytest.mark.parametrize("text", NO_TEXT)
async def test_names_the_parameter_that_is_no_utf8(
    gateway: Gateway, http: aiohttp.ClientSession, text: str
) -> None:
    for query in (f"query={text}", f"pageSize=1&query={text}&pageToken=x"):
        path = f"/v1/stores/{STORE}/customers?{query}"
        async with http.get(URL(gateway.url + path, encoded=True)) as reply:
            assert reply.status == 400, await reply.text()
            assert detail(await refusal(reply), "BadRequest")["fieldViolations"][0]["field"] == "query"
    assert gateway.script.arrivals == []


@pytest.mark.parametrize("text", TEXT)
async def test_takes_any_text_for_a_query(gateway: Gateway, http: aiohttp.ClientSession, text: str) -> None:
    path = f"/v1/stores/{STORE}/customers?query={text}"
    async with http.get(URL(gateway.url + path, encoded=True)) as reply:
        assert reply.status == 200, await reply.text()


async def test_logs_the_order_that_is_acted_on(gateway: Gateway, http: aiohttp.ClientSession) -> None:
    """The path's; there is no other way to name one."""
    async with http.post(f"/v1/orders/{ORDER}:cancel", data="{}") as reply:
        trace_id = reply.headers["x-trace-id"]
    assert gateway.script.arrivals[0].request.order_id == ORDER

    async def logged() -> bool:
        return trace_id in gateway.log.read_text()

    await until(logged, "the call was never logged")
    (line,) = [line for line in gateway.log.read_text().splitlines() if trace_id in line]
    assert json.loads(line)["path"] == f"/v1/orders/{ORDER}:cancel"


@pytest.mark.parametrize("slash", ["/", "//"])
async def test_a_trailing_slash_changes_nothing(
    gateway: Gateway, http: aiohttp.ClientSession, slash: str
) -> None:
    for verb, path in (("POST", f"/v1/orders/{ORDER}:cancel"), ("GET", f"/v1/orders/{ORDER}")):
        async with http.request(
            verb, f"{path}{slash}?orderId={ANOTHER}", data="{}" * (verb == "POST")
        ) as reply:
            assert reply.status == 400, await reply.text()
    assert gateway.script.arrivals == []


async def _refuses(
    gateway: Gateway, http: aiohttp.ClientSession, binding: Binding, query: str, field: str
) -> None:
    async with http.request(binding.verb, _url(gateway, binding, query), data=_body(binding)) as reply:
        assert reply.status == 400, (query, await reply.text())
        status = await refusal(reply)
    assert reason(status) == "INVALID_ARGUMENT"
    violation = detail(status, "BadRequest")["fieldViolations"][0]
    # The transcoder names a field as the contract does.
    assert violation["field"].replace("_", "").lower() == field.replace("_", "").lower(), (query, violation)
    assert gateway.script.arrivals == []


async def _takes(gateway: Gateway, http: aiohttp.ClientSession, binding: Binding, query: str) -> None:
    async with http.request(binding.verb, f"{_path(binding)}?{query}") as reply:
        assert reply.status == 200, (query, await reply.text())
    gateway.script.arrivals.clear()


def _url(gateway: Gateway, binding: Binding, query: str) -> URL:
    return URL(f"{gateway.url}{_path(binding)}?{query}", encoded=True)


def _path(binding: Binding) -> str:
    return PARAMETER.sub(lambda name: STORE if name[1] == "store_id" else ORDER, binding.template)


def _body(binding: Binding) -> str | None:
    return "{}" if binding.body else None


def _spellings(name: str) -> list[str]:
    first, *rest = name.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    hidden = "".join(f"%{ord(letter):02X}" for letter in camel)
    return list(dict.fromkeys([name, camel, f"%{ord(name[0]):02x}{camel[1:]}", hidden]))


def _paths(rpc: Rpc) -> list[tuple[str, str]]:
    """Fields and the fields of messages within, in both spellings."""
    found = []
    for field in rpc.request.fields:
        found.append((field.name, field.json_name))
        if field.message_type is not None and not field.message_type.full_name.startswith(FOREIGN):
            inner = field.message_type.fields[0]
            found.append((f"{field.name}.{inner.name}", f"{field.json_name}.{inner.json_name}"))
    return found


def _value(field: FieldDescriptor) -> str:
    if field.message_type is not None:
        return "2026-01-01T00:00:00Z"
    return "true" if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else "1"
