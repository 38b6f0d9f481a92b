"""Whoever has a good token still gets no further than the contract lets them: roles, stores, customers, headers."""

import asyncio

import pytest
from google.protobuf import json_format

from tests.edge.answers import ask, of_rest, rest
from tests.edge.conftest import arrived, settled
from tests.edge.contract import closed, roles
from tests.edge.things import things_of
from tests.order.asks import courier, timeline
from tests.shop import new_id

OUTSIDE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("role", roles())
async def test_a_role_may_call_what_the_contract_says_and_nothing_else(shop, gateway, role):
    """An empty request tells the two apart: who may call is told what it lacks."""
    caller = shop.as_(role.lower(), new_id() if role == "CUSTOMER" else None)
    for at in (caller, caller.at(gateway)):
        asked = [ask(at, rpc, rpc.least(caller.store_id)) for rpc in closed()]
        answers = dict(zip(closed(), await _all(asked), strict=True))
        for rpc, answer in answers.items():
            if role in rpc.allow:
                told = "OK" if rpc.asks_for_nothing else "INVALID_ARGUMENT"
                assert answer.reason == told, (rpc.path, str(answer))
            else:
                assert (answer.reason, answer.metadata) == ("PERMISSION_DENIED", {"role": role}), rpc.path


async def test_what_only_services_may_call_has_no_rest_and_no_way_in_for_a_stores_administrator(
    shop, gateway, unchanged
):
    internal = [rpc for rpc in closed() if rpc.allow == {"SERVICE"}]
    assert {"ReserveStock", "AuthorizePayment"} <= {rpc.name for rpc in internal}
    assert not [rpc.path for rpc in internal if rpc.template]
    for at in (shop, shop.at(gateway), shop.as_("platform_admin").at(gateway)):
        answers = await _all(
            ask(at, rpc, rpc.request(store_id=shop.store_id).SerializeToString()) for rpc in internal
        )
        assert {answer.reason for answer in answers} == {"PERMISSION_DENIED"}
    for rpc in internal:
        body = json_format.MessageToDict(rpc.request(store_id=shop.store_id))
        reply = await shop.rest("POST", rpc.path, json=body)
        refusal = of_rest(reply)
        assert (refusal.reason, refusal.body) == ("INVALID_ARGUMENT", None)
        assert "takes gRPC" in refusal.message


async def test_a_token_of_another_store_is_refused_wherever_a_request_names_its_store(
    shop, gateway, unchanged
):
    stranger = shop.another()
    named = [rpc for rpc in closed() if rpc.names_a_store and "STORE_ADMIN" in rpc.allow]
    assert len(named) > 5
    for at in (stranger, stranger.at(gateway)):
        answers = await _all(
            ask(at, rpc, rpc.request(store_id=shop.store_id).SerializeToString()) for rpc in named
        )
        assert {answer.reason for answer in answers} == {"PERMISSION_DENIED"}
    at_rest = [rpc for rpc in named if rpc.template]
    replies = await _all(rest(stranger, rpc, rpc.request(store_id=shop.store_id)) for rpc in at_rest)
    assert {reply.reason for reply in replies} == {"PERMISSION_DENIED"}
    by_path = [reply for rpc, reply in zip(at_rest, replies, strict=True) if "{store_id}" in rpc.template]
    assert not arrived(shop.clients.cluster, by_path), "the edge refuses them by itself"


@pytest.mark.parametrize("spelling", [str.lower, str.upper])
async def test_a_store_may_be_spelled_in_capitals(shop, spelling):
    path = f"/v1/stores/{spelling(shop.store_id)}/products"
    assert of_rest(await shop.rest("GET", path)).reason == "OK"
    product = await shop.product(store_id=spelling(shop.store_id))
    assert of_rest(await shop.rest("GET", f"/v1/products/{product.upper()}")).reason == "OK"


def _of_a_thing(role):
    """The RPCs that act on one thing, and what its id is called."""
    return [(rpc, name) for rpc in closed() if role in rpc.allow for name in rpc.things]


async def test_another_stores_things_are_answered_like_things_that_do_not_exist(shop, gateway):
    things = await things_of(shop)
    calls = _of_a_thing("STORE_ADMIN")
    assert {name for _, name in calls} == set(things) - BESIDE
    await _answered_like_missing(shop, shop.another(), gateway, calls, things)


async def test_another_customers_things_are_answered_like_things_that_do_not_exist(shop, gateway):
    things = await things_of(shop)
    # Products are anybody's to see.
    calls = [(rpc, name) for rpc, name in _of_a_thing("CUSTOMER") if name != "product_id"]
    assert {name for _, name in calls} == {"customer_id", "order_id", "payment_id", "payment_method_id"}
    stranger = shop.as_("customer", await shop.customer())
    await _answered_like_missing(shop, stranger, gateway, calls, things)


async def test_another_couriers_orders_are_answered_like_orders_that_do_not_exist(shop, gateway):
    things = await things_of(shop)
    calls = _of_a_thing("COURIER")
    assert {rpc.name for rpc, _ in calls} == {"GetOrder", "DeliverOrder"}
    colleague = await things_of(shop)
    for stranger in (courier(shop, colleague["courier_id"]), courier(shop.another(), things["courier_id"])):
        await _answered_like_missing(shop, stranger, gateway, calls, things)


# What requests name beside the thing that they act on. A courier is whoever the store says.
BESIDE = {
    *{"shipment_id", "courier_id", "parent_id", "coupon_code"},
    *{"settlement_id", "order_ids", "product_ids"},
}
# What a store has of somebody, or in a place, that it does not know: nothing.
NONE_OF = {
    *{"ListOrders", "ListCustomerOrders", "GetCustomerOrderStats", "ListProducts", "BatchGetProducts"},
    *{
        "SavePaymentMethod",
        "ListPayments",
        "ListCustomerPayments",
        "ListPaymentMethods",
        "ListLedgerEntries",
        "ListDiscrepancies",
    },
}


async def _answered_like_missing(shop, stranger, gateway, calls, things):
    before = await settled(shop)
    for at in (stranger, stranger.at(gateway)):
        for rpc, name in calls:
            await _no_difference(at, rpc, name, things, things[name])
    for rpc, _ in calls:
        answer = await rest(stranger, rpc, rpc.request(**things | {"store_id": stranger.store_id}))
        assert answer.reason.endswith("_NOT_FOUND") or rpc.name in NONE_OF, (rpc.path, str(answer))
    assert await settled(shop) == before


async def _no_difference(at, rpc, name, given, foreign):
    """A call is answered the same whether an id is of somebody else or of nobody."""
    missing = new_id()[: len(foreign)]
    told, nothing = await _all(
        ask(at, rpc, rpc.request(**given | {"store_id": at.store_id, name: each}).SerializeToString())
        for each in (foreign, missing)
    )
    assert told.reason.endswith("_NOT_FOUND") or rpc.name in NONE_OF, (rpc.path, name, str(told))
    assert str(told) == str(nothing).replace(missing, foreign), rpc.path
    assert told.body == (nothing.body and nothing.body.replace(missing.encode(), foreign.encode())), rpc.path


async def test_what_a_request_names_beside_is_of_the_same_store_or_answered_like_nothing(shop, gateway):
    """A store's administrator acts on their own things only, and with their own things only."""
    own, theirs = await things_of(shop), await things_of(shop.another())
    before = await settled(shop)
    tried = {
        (rpc, name)
        for rpc in closed()
        for name in theirs.keys() - {"courier_id", *rpc.things}
        # A coupon is for an order that was not sent: tests/order/test_apply_coupon.py.
        if "STORE_ADMIN" in rpc.allow
        and rpc.name != "ApplyCoupon"
        and theirs[name].encode() in rpc.request(**own | {name: theirs[name]}).SerializeToString()
    }
    for at in (shop, shop.at(gateway)):
        for rpc, name in sorted(tried, key=str):
            await _no_difference(at, rpc, name, own, theirs[name])
    assert {(rpc.name, name) for rpc, name in tried} >= {
        ("CreateOrder", "customer_id"),
        ("CreateOrder", "product_id"),
        ("CreateOrder", "coupon_code"),
        ("PreviewOrder", "coupon_code"),
        ("AssignCourier", "shipment_id"),
        ("DeliverOrder", "shipment_id"),
        ("ReturnOrder", "product_id"),
        ("CreateProduct", "category_id"),
        ("MoveCategory", "parent_id"),
    }
    assert await settled(shop) == before


async def test_a_customer_orders_for_nobody_else_and_lists_only_their_own(shop):
    mine, theirs, product = await shop.customer(), await shop.customer(), await shop.product()
    order = await shop.order([(product, 1)], customer=theirs, until="CONFIRMED")
    before = await settled(shop)
    me, them = shop.as_("customer", mine), shop.as_("customer", theirs)
    path = f"/v1/stores/{shop.store_id}/orders"
    body = {"customerId": theirs, "paymentMethod": "pm_sandbox_ok", "requestId": new_id()}
    body["lines"] = [{"productId": product, "quantity": 1}]

    answer = of_rest(await me.rest("POST", path, json=body))

    assert (answer.reason, answer.metadata) == ("CUSTOMER_NOT_FOUND", {"customerId": theirs})
    assert of_rest(await me.rest("GET", path)).body["orders"] == []
    assert await settled(shop) == before
    (found,) = of_rest(await them.rest("GET", path)).body["orders"]
    assert found["orderId"] == order


SMUGGLED = {
    "x-commerce-on-behalf-of": "PLATFORM_ADMIN root",
    "x-commerce-role": "PLATFORM_ADMIN",
    "x-envoy-original-path": "/v1/webhooks/sandbox",
    "x-envoy-original-method": "GET",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-decorator-operation": "forged",
    "x-forwarded-for": "203.0.113.9",
    "x-request-id": OUTSIDE,
    "x-trace-id": OUTSIDE,
    "x-client-trace-id": OUTSIDE,
    "grpc-trace-bin": "AAAA",
    "traceparent": f"00-{OUTSIDE}-b7ad6b7169203331-01",
    "tracestate": "forged=1",
    "baggage": "role=PLATFORM_ADMIN",
}


async def test_headers_that_only_we_may_send_change_nothing(shop):
    """Neither who is written down as the one who acted, nor the trace, nor whether a token is wanted."""
    order = await shop.order(until="CONFIRMED")
    for token in ("", shop.another().token):
        refusal = of_rest(await shop.rest("GET", f"/v1/orders/{order}", token=token, headers=SMUGGLED))
        assert refusal.reason == ("ORDER_NOT_FOUND" if token else "UNAUTHENTICATED")
        assert refusal.trace_id != OUTSIDE

    body = {"requestId": new_id()}
    accepted = of_rest(await shop.rest("POST", f"/v1/orders/{order}:accept", json=body, headers=SMUGGLED))

    assert accepted.reason == "OK"
    events = (await shop.orders.ListOrderEvents(timeline(order))).events
    assert events[-1].actor.startswith("STORE_ADMIN ")
    assert events[-1].trace_id == accepted.trace_id != OUTSIDE


async def test_headers_that_only_we_may_send_change_nothing_in_grpc(shop, gateway):
    order = await shop.order(until="CONFIRMED")
    forged = tuple((key, value) for key, value in SMUGGLED.items() if not key.endswith("-bin"))
    (accept,) = [rpc for rpc in closed() if rpc.name == "AcceptOrder"]
    request = accept.request(order_id=order).SerializeToString()

    assert (await ask(shop.as_nobody.at(gateway), accept, request, forged)).reason == "UNAUTHENTICATED"
    assert (await ask(shop.another().at(gateway), accept, request, forged)).reason == "ORDER_NOT_FOUND"
    assert (await ask(shop.at(gateway), accept, request, forged)).reason == "OK"

    event = (await shop.orders.ListOrderEvents(timeline(order))).events[-1]
    assert event.actor.startswith("STORE_ADMIN ")
    assert event.trace_id != OUTSIDE


async def _all(calls):
    return await asyncio.gather(*calls)
