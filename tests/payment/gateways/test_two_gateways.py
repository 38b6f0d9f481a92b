"""Two providers on one cluster: neither holds up the other, and one stands in for the other when nothing was sent."""

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from commerce.payment.v1.payment_service_pb2 import GatewayHealth, ListGatewaysRequest
from commerce.payment.v1.settings_service_pb2 import GatewayRule, PaymentSettings, SetPaymentSettingsRequest

from services.cluster.cluster import Cluster
from tests.cluster.toys import REPOSITORY, processes_of
from tests.payment.till import Till, at_once, said
from tests.ports import free_port
from tests.providers.paypal.faults import Fault
from tests.providers.paypal.server import PaypalServer
from tests.shop import Clients, Shop, eventually, new_id

PLACES, FAILURES = 4, 4
PORT = free_port()
NAMES = {
    "client_id": "client-id-of-ours",
    "client_secret": "client-secret-of-ours",
    "webhook_id": "WEBHOOK-OF-OURS",
}
CREATE = r"^/v2/checkout/orders$"


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("two")
    environment = {f"COMMERCE_PAYPAL_{name.upper()}": value for name, value in NAMES.items()} | {
        "COMMERCE_PAYPAL_URL": f"http://127.0.0.1:{PORT}",
        # A store alone may have three quarters.
        "COMMERCE_PROVIDER_PLACES": str(PLACES * 4 // 3),
        "COMMERCE_PROVIDER_FAILURES": str(FAILURES),
        "COMMERCE_PROVIDER_REST_SECONDS": "2",
        # Those that wait for one provider must leave room for the others.
        "COMMERCE_CALLS_IN_FLIGHT": "16",
    }
    async with Cluster(home, ["payment"], environment=environment) as cluster:
        yield cluster
    assert not processes_of(home), "the cluster left processes behind"


@pytest.fixture
async def shop(cluster):
    clients = Clients(cluster)
    yield Shop(clients)
    await clients.close()


@pytest.fixture
def till(shop):
    return Till(shop)


@asynccontextmanager
async def paypal():
    """PayPal, for as long as this lasts; nobody listens there otherwise."""
    async with PaypalServer(port=PORT, **NAMES) as server:
        yield server


async def health(shop, code):
    reply = await shop.payments.ListGateways(ListGatewaysRequest())
    return next(GatewayHealth.Name(each.health)[15:] for each in reply.gateways if each.code == code)


async def well(shop, code):
    """Return when the provider has been tried and has answered."""

    async def tried():
        till = Till(shop)
        await till.authorize(payment_method="hosted")
        return await health(shop, code) == "OK"

    await eventually(tried)


async def prefer(shop, *gateways):
    settings = PaymentSettings(gateway_rules=[GatewayRule(gateways=gateways)])
    await shop.payment_settings.SetPaymentSettings(
        SetPaymentSettingsRequest(store_id=shop.store_id, settings=settings, request_id=new_id())
    )


async def gateways_on_record(shop, payment):
    sql = """SELECT p.gateway AS payment, o.gateway AS operation
        FROM payment.payments p JOIN payment.operations o USING (payment_id) WHERE payment_id = $1"""
    return [tuple(row) for row in await shop.clients.rows(sql, UUID(payment.payment_id))]


async def test_a_provider_that_hangs_holds_up_nobody_elses_payments(till, shop):
    async with paypal() as server:
        await prefer(shop, "paypal", "sandbox")
        token = f"pm_paypal_{server.add_payment_token('customer')}"
        async with till.frozen():
            asked = [asyncio.create_task(till.authorize()) for _ in range(16)]
            await eventually(lambda: _ended(asked, 16 - PLACES))
            for _ in range(3):
                paid = await at_once(*(till.authorize(payment_method=token) for _ in range(PLACES)))
                assert {said(payment) for payment in paid} == {"AUTHORIZED"}

            held_up = await asyncio.gather(*asked)
            # The others did not wait.
            assert Counter(map(said, held_up)) == {"PENDING": 16 - PLACES, "UNKNOWN": PLACES}
            assert await health(shop, "sandbox") in ("OPEN", "TRYING")
            assert await health(shop, "paypal") == "OK"
        for payment in held_up:
            await till.agrees(await till.until(payment, "AUTHORIZED"))
        assert len(server.book()) == 3 * PLACES


async def _ended(tasks, number):
    return sum(task.done() for task in tasks) >= number


async def test_where_the_preferred_provider_is_down_the_next_one_is_asked_and_that_is_on_record(till, shop):
    await prefer(shop, "paypal", "sandbox")

    payment = await till.authorize(payment_method="hosted")

    assert (said(payment), payment.gateway) == ("REQUIRES_ACTION", "sandbox")
    assert await gateways_on_record(shop, payment) == [("sandbox", "sandbox")]
    assert await till.answer_challenge(payment, "pass") == 200
    await till.until(payment, "AUTHORIZED")
    assert said(await till.capture(payment)) == "CAPTURED"
    await till.agrees(payment)


async def test_the_preferred_one_is_asked_again_when_it_is_back(till, shop):
    await prefer(shop, "paypal", "sandbox")
    async with paypal() as server:
        await well(shop, "paypal")
        payment = await till.authorize(payment_method="hosted")
        assert (said(payment), payment.gateway) == ("REQUIRES_ACTION", "paypal")
        assert payment.provider_reference in server.state.orders
        assert await till.book(payment) == []


async def test_a_provider_that_was_asked_and_is_silent_keeps_the_payment(till, shop):
    await prefer(shop, "paypal", "sandbox")
    async with paypal() as server:
        await well(shop, "paypal")
        server.misbehave(Fault.SILENT_AFTER, CREATE, method="POST")

        payment = await till.authorize(payment_method="hosted")

        assert (said(payment), payment.gateway) == ("UNKNOWN", "paypal")
        settled = await challenged(till, payment)
        assert settled.gateway == "paypal"
        assert await gateways_on_record(shop, payment) == [("paypal", "paypal")]
        assert await till.book(payment) == []


async def challenged(till, payment):
    async def there():
        found = await till.get(payment)
        return found if said(found) == "REQUIRES_ACTION" else None

    return await eventually(there)


async def test_one_that_is_left_alone_is_passed_over(till, shop):
    await prefer(shop, "paypal")
    await at_once(*(till.authorize(payment_method="hosted") for _ in range(2 * FAILURES)))
    assert await health(shop, "paypal") == "OPEN"
    await prefer(shop, "paypal", "sandbox")

    payment = await till.authorize(payment_method="hosted")

    assert (said(payment), payment.gateway) == ("REQUIRES_ACTION", "sandbox")


async def test_one_order_asked_for_many_times_at_once_is_one_charge_wherever_it_ends(till, shop):
    await prefer(shop, "paypal", "sandbox")
    asking = till.asking(payment_method="hosted")
    same = {"order_id": asking.order_id, "customer_id": asking.customer_id, "payment_method": "hosted"}

    payments = await at_once(*(till.ask(till.asking(**same)) for _ in range(12)))

    assert len({payment.payment_id for payment in payments}) == 1
    payment = await challenged(till, payments[0])
    assert payment.gateway == "sandbox"
    assert len(await till.book(payment)) == 1


async def test_without_any_provider_the_process_stops_and_names_the_settings(cluster):
    code, complaint = await ended(cluster, COMMERCE_SANDBOX_URL="", COMMERCE_PAYPAL_CLIENT_ID="")
    assert code == 2
    for name in ("SANDBOX_URL", "STRIPE_SECRET_KEY", "PAYPAL_CLIENT_ID"):
        assert f"COMMERCE_{name}" in complaint


async def test_a_provider_whose_webhooks_anybody_could_sign_stops_the_process(cluster):
    code, complaint = await ended(cluster, COMMERCE_STRIPE_SECRET_KEY="sk_test_x")
    assert code == 2
    assert "COMMERCE_STRIPE_WEBHOOK_SECRET: " in complaint


async def ended(cluster, **environment):
    """The exit code and the last words of another process of the service, told other things."""
    told = dict(cluster.process("payment").spec.environment)
    told |= {"COMMERCE_LISTEN": f"127.0.0.1:{free_port()}"} | environment
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.payment", env=told, cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    return process.returncode, complaint.decode()
