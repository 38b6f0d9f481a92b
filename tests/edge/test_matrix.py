"""Every RPC, called by everybody, with their own ids, others' and none, straight, by gRPC and by REST.

An RPC that is new is tried as it is; one that names something new fails until things.py has one of its kind.
"""

import asyncio
from dataclasses import dataclass

import pytest
from buf.validate import validate_pb2

from tests.edge.answers import LATER, Answer, ask, of_rest, rest
from tests.edge.conftest import held, settled
from tests.edge.contract import Rpc, roles, rpcs
from tests.edge.things import things_of
from tests.order.asks import courier
from tests.shop import Reply, Shop, new_id

AT_ONCE = 8
WAYS = ("service", "gateway", "rest")
# What of a shop belongs to one of its customers; the rest is anybody's in the shop.
OF_A_CUSTOMER = {"customer_id", "order_id", "payment_id", "payment_method_id"}
OF_A_COURIER = {"order_id", "shipment_id"}
# What makes the request, and not what it is about. A courier is whoever the store says.
MADE = {"request_id", "store_id", "courier_id"}
RIGHTS = {"UNAUTHENTICATED", "PERMISSION_DENIED"}


@dataclass(frozen=True)
class Identity:
    """Somebody who calls: by which token, and which of the shop's things are not theirs."""

    name: str
    role: str
    shop: Shop
    foreign: frozenset[str]


def ids(message, within=()):
    """The names of what a request holds that are ids, in it and in what it holds."""
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if rules.string.uuid or rules.repeated.items.string.uuid:
            yield field.name
        elif field.message_type and field.message_type not in within:
            yield from ids(field.message_type, (*within, message))


@pytest.fixture(scope="module")
async def world(clients):
    """A shop with one thing of each kind, and everybody who might ask for them."""
    shop, other = Shop(clients), Shop(clients)
    things = await things_of(shop)
    everything = frozenset(things)
    stranger = await shop.customer()
    mine = shop.as_("customer", things["customer_id"])
    theirs = shop.as_("customer", stranger)
    outside = await other.customer()
    people = [
        Identity("nobody", "", shop.as_nobody, everything),
        Identity("the customer", "CUSTOMER", mine, frozenset()),
        Identity("another customer", "CUSTOMER", theirs, frozenset(OF_A_CUSTOMER)),
        Identity("the courier", "COURIER", courier(shop, things["courier_id"]), frozenset()),
        Identity("another courier", "COURIER", courier(shop, new_id()), frozenset(OF_A_COURIER)),
        Identity("a customer elsewhere", "CUSTOMER", other.as_("customer", outside), everything),
        Identity("a courier elsewhere", "COURIER", courier(other, things["courier_id"]), everything),
    ]
    for role in set(roles()) - {"CUSTOMER", "COURIER"}:
        people.append(Identity(role.lower(), role, shop.as_(role.lower()), frozenset()))
        if role not in ("PLATFORM_ADMIN", "SERVICE"):
            elsewhere = other.as_(role.lower())
            people.append(Identity(f"{role.lower()} elsewhere", role, elsewhere, everything))
    await settled(shop, other)
    return shop, other, things, people


def test_there_is_a_thing_of_each_kind_that_a_request_names(world):
    _, _, things, _ = world
    named = {name for rpc in rpcs() for name in ids(rpc.method.input_type)}
    assert named - MADE - set(things) == set(), "tests/edge/things.py needs one of these"
    assert {identity.role for identity in world[3]} == {"", *roles()}


async def answered(identity: Identity, rpc: Rpc, request, way: str, gateway: str) -> Answer:
    """What a call is answered; whoever is told to come back later does."""
    at = identity.shop if way == "service" else identity.shop.at(gateway)
    for _ in range(100):
        if way != "rest":
            answer = await ask(at, rpc, request.SerializeToString())
        elif rpc.method.server_streaming:
            answer = await _stream(identity.shop, rpc, request)
        else:
            answer = await rest(identity.shop, rpc, request)
        if answer.reason not in LATER:
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError(f"{rpc.path}: {answer}")


async def _stream(shop, rpc, request):
    """The beginning of a stream by REST."""
    verb, path, _ = rpc.rest(request)
    headers = {"authorization": f"Bearer {shop.token}"} if shop.token else {}
    async with shop.clients.http.request(verb, path, headers=headers) as reply:
        if reply.status == 200:
            return Answer(body=await reply.content.readany())
        return of_rest(Reply(reply.status, reply.headers, await reply.json()))


def ways(rpc):
    return WAYS if rpc.template else WAYS[:2]


async def tried(calls, one):
    """Do something for each call, a few at once; what it says is wrong."""
    places = asyncio.Semaphore(AT_ONCE)

    async def placed(call):
        async with places:
            return await one(*call)

    return [wrong for wrong in await asyncio.gather(*map(placed, calls)) if wrong]


async def test_whoever_may_not_call_is_told_so_whatever_they_name(world, gateway):
    shop, other, things, people = world
    before = await held(shop, other)

    async def refused(identity, rpc, way, given):
        answer = await answered(identity, rpc, rpc.request(**given), way, gateway)
        right = "PERMISSION_DENIED" if identity.role else "UNAUTHENTICATED"
        return None if answer.reason == right else (identity.name, rpc.name, way, str(answer))

    given = (things | {"store_id": shop.store_id}, {"store_id": new_id()})
    calls = [
        (identity, rpc, way, each)
        for identity in people
        for rpc in rpcs()
        for way in ways(rpc)
        for each in given
        if not rpc.public and identity.role not in rpc.allow
    ]
    assert len(calls) > 1000
    assert await tried(calls, refused) == []
    assert await held(shop, other) == before


async def test_what_is_not_theirs_is_answered_like_what_is_not_there(world, gateway):
    """By each role of each store that may call: neither the answer nor a row tells the two apart.

    Not of a batch, whose rows are each told apart: tests/catalog/test_import_products.py.
    """
    shop, other, things, people = world
    before = await held(shop, other)

    async def alike(identity, rpc, way, foreign):
        missing = {name: new_id()[: len(things[name])] for name in foreign}
        given = things | {"store_id": identity.shop.store_id}
        told = await answered(identity, rpc, rpc.request(**given), way, gateway)
        nothing = await answered(identity, rpc, rpc.request(**given | missing), way, gateway)
        known = str(told) + repr(told.body)
        unknown = str(nothing) + repr(nothing.body)
        for name, value in missing.items():
            unknown = unknown.replace(value, things[name])
        return None if known == unknown else (identity.name, rpc.name, way, known, unknown)

    calls = [
        (identity, rpc, way, foreign)
        for identity in people
        for rpc in rpcs()
        for way in ways(rpc)
        if identity.role in rpc.allow
        and not rpc.method.client_streaming
        and (foreign := identity.foreign.intersection(ids(rpc.method.input_type)))
    ]
    assert len(calls) > 200
    assert await tried(calls, alike) == []
    assert await settled(shop, other) == before


async def test_another_store_is_nobodys_to_name(world, gateway):
    shop, other, things, people = world
    before = await held(shop, other)

    async def refused(identity, rpc, way):
        answer = await answered(identity, rpc, rpc.request(**things, store_id=shop.store_id), way, gateway)
        return None if answer.reason == "PERMISSION_DENIED" else (identity.name, rpc.name, way, str(answer))

    calls = [
        (identity, rpc, way)
        for identity in people
        for rpc in rpcs()
        for way in ways(rpc)
        if identity.role in rpc.allow and rpc.names_a_store and identity.shop.store_id == other.store_id
        if identity.role not in ("PLATFORM_ADMIN", "SERVICE")
    ]
    assert len(calls) > 50
    assert await tried(calls, refused) == []
    assert await held(shop, other) == before


async def test_whoever_may_is_answered_the_same_on_every_way(world, gateway):
    """With their own things, and one request_id: what was done is done once, whichever way it is asked for again."""
    shop, _, things, people = world

    async def same(identity, rpc):
        request = rpc.request(**things | {"store_id": shop.store_id})
        answers = {way: await answered(identity, rpc, request, way, gateway) for way in ways(rpc)}
        reasons = {answer.reason for answer in answers.values()}
        if len(reasons) == 1 and not reasons & RIGHTS and (rpc.mutates or reasons == {"OK"}):
            return None
        return identity.name, rpc.name, {way: str(answer) for way, answer in answers.items()}

    calls = [
        (identity, rpc)
        for identity in people
        for rpc in rpcs()
        if identity.role in rpc.allow and not identity.foreign
    ]
    assert len(calls) > 200
    # What is done to the things comes last.
    reads = [(identity, rpc) for identity, rpc in calls if not rpc.mutates]
    assert await tried(reads, same) == []
    assert await tried([call for call in calls if call not in reads], same) == []
