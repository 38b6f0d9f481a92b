"""Every RPC of the contract that wants a token refuses every bad one: at the edge, and at its service again."""

import asyncio

import pytest

from tests.edge.answers import ask, rest
from tests.edge.bearers import FORGED, MISMADE
from tests.edge.conftest import arrived
from tests.edge.contract import closed, rpcs
from tests.edge.hostile_tokens import GOOD, HOSTILE

pytestmark = pytest.mark.usefixtures("unchanged")
CASES = {case: make for case, (make, _) in FORGED.items()} | MISMADE


def test_the_contract_has_rpcs_to_try():
    assert len(closed()) > 25
    assert {rpc.code for rpc in closed()} == {rpc.code for rpc in rpcs()}


@pytest.mark.parametrize("case", CASES)
async def test_a_service_refuses_a_token(shop, forge, case):
    metadata = _header(CASES[case](forge))

    answers = await _all(ask(shop.as_nobody, rpc, _request(shop, rpc), metadata) for rpc in closed())

    assert {(answer.reason, answer.body) for answer in answers} == {("UNAUTHENTICATED", None)}
    assert all(answer.metadata["cause"] for answer in answers)


@pytest.mark.parametrize("case", CASES)
async def test_the_edge_refuses_a_token_in_grpc(shop, forge, gateway, case):
    metadata = _header(CASES[case](forge))

    answers = await _all(
        ask(shop.as_nobody.at(gateway), rpc, _request(shop, rpc), metadata) for rpc in closed()
    )

    assert {answer.reason for answer in answers} == {"UNAUTHENTICATED"}
    _never_arrived(shop, answers, case)


@pytest.mark.parametrize("case", CASES)
async def test_the_edge_refuses_a_token_in_rest(shop, forge, case):
    headers = dict(_header(CASES[case](forge)))

    answers = await _all(
        rest(shop.as_nobody, rpc, rpc.request(store_id=shop.store_id), headers=headers)
        for rpc in closed()
        if rpc.template
    )

    # A token of no real store is of another store than the path.
    refusals = {"UNAUTHENTICATED"} if case in FORGED else {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    assert {answer.reason for answer in answers} <= refusals
    _never_arrived(shop, answers, case)


async def test_a_good_token_beside_a_bad_one_does_not_pass_the_edge(shop, forge, gateway):
    """Envoy and a service might each look at another one."""
    both = (("authorization", f"Bearer {shop.token}"), ("authorization", CASES["altered"](forge)))
    for metadata in (both, both[::-1]):
        answers = await _all(
            ask(shop.as_nobody.at(gateway), rpc, _request(shop, rpc), metadata) for rpc in closed()
        )
        assert {answer.reason for answer in answers} == {"INVALID_ARGUMENT"}, metadata
        assert {tuple(answer.violations) for answer in answers} == {("authorization",)}


async def test_two_credentials_are_none_for_a_service_and_for_the_gateway(shop, forge, gateway):
    """Two headers are one with a comma (RFC 9110, section 5.3)."""
    own, other = f"Bearer {shop.token}", CASES["altered"](forge)
    (rpc,) = [rpc for rpc in closed() if rpc.name == "ListCustomers"]
    for pair in ((own, other), (other, own), (own, own), (own, own.lower()[:7] + own[7:])):
        for metadata in (_header(", ".join(pair)), [("authorization", each) for each in pair]):
            for at in (shop.as_nobody, shop.as_nobody.at(gateway)):
                answer = await ask(at, rpc, _request(shop, rpc), tuple(metadata))
                assert answer.reason == "INVALID_ARGUMENT", metadata
                assert answer.violations == {"authorization": "the header authorization is given twice"}


async def test_other_headers_may_come_twice(shop):
    metadata = (("authorization", f"Bearer {shop.token}"), ("x-a", "1"), ("x-a", "2"))
    (rpc,) = [rpc for rpc in closed() if rpc.name == "ListCustomers"]
    assert (await ask(shop.as_nobody, rpc, _request(shop, rpc), metadata)).reason == "OK"


async def test_a_token_anywhere_but_in_its_header_is_none(shop):
    path = f"/v1/stores/{shop.store_id}/customers"
    for reply in (
        await shop.rest("GET", f"{path}?access_token={shop.token}", token=""),
        await shop.rest("GET", path, token="", headers={"cookie": f"authorization=Bearer {shop.token}"}),
        await shop.rest("GET", path, token="", headers={"x-authorization": f"Bearer {shop.token}"}),
        await shop.rest("GET", path, token="", headers={"proxy-authorization": f"Bearer {shop.token}"}),
    ):
        assert reply.status in (400, 401), reply.body


def test_there_are_hostile_tokens_of_every_kind():
    assert sum(len(cases) for cases in HOSTILE.values()) >= 150
    assert all(cases for cases in HOSTILE.values())


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_hostile_token_is_refused_by_a_service_and_by_the_gateway_alike(shop, forge, gateway, kind):
    cases = HOSTILE[kind]

    answers = await _answers(shop, gateway, [make(forge) for make in cases.values()])

    wrong = {
        case: list(map(str, told))
        for case, told in zip(cases, answers, strict=True)
        if {answer.reason for answer in told} != {"UNAUTHENTICATED"}
        or not all(answer.metadata["cause"] for answer in told)
    }
    assert wrong == {}


async def test_an_unusual_good_token_is_taken_by_a_service_and_by_the_gateway_alike(shop, forge, gateway):
    answers = await _answers(shop, gateway, [make(forge) for make in GOOD.values()])

    wrong = {
        case: list(map(str, told))
        for case, told in zip(GOOD, answers, strict=True)
        if {answer.reason for answer in told} != {"CUSTOMER_NOT_FOUND"}
    }
    assert wrong == {}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR  "])
async def test_a_service_takes_the_scheme_in_any_case(shop, scheme):
    metadata = (("authorization", f"{scheme} {shop.token}"),)
    (rpc,) = [rpc for rpc in closed() if rpc.name == "ListCustomers"]
    assert (await ask(shop.as_nobody, rpc, _request(shop, rpc), metadata)).reason == "OK"


async def _answers(shop, gateway, credentials):
    """What each is told about a customer that is not there: by the service, by the gateway in gRPC and in REST."""
    (rpc,) = [rpc for rpc in closed() if rpc.name == "GetCustomer"]
    request = rpc.request()
    answers = []
    for authorization in credentials:
        metadata = (("authorization", authorization),)
        answers.append(
            await _all(
                [
                    ask(shop.as_nobody, rpc, request.SerializeToString(), metadata),
                    ask(shop.as_nobody.at(gateway), rpc, request.SerializeToString(), metadata),
                    rest(shop.as_nobody, rpc, request, headers=dict(metadata)),
                ]
            )
        )
    return answers


def _header(authorization):
    return (("authorization", authorization),) if authorization else ()


def _request(shop, rpc):
    return rpc.request(store_id=shop.store_id).SerializeToString()


def _never_arrived(shop, answers, case):
    """No service saw a call whose token Envoy itself can tell to be bad."""
    if case in FORGED:
        cause = FORGED[case][1]
        assert all(cause in answer.metadata["cause"] for answer in answers), answers[0].metadata
        assert not arrived(shop.clients.cluster, answers)


async def _all(calls):
    return await asyncio.gather(*calls)
