"""The crash matrix of payments: capture, void, refund, dispute, webhook, a lost answer, expiry.

Whoever asks does not give up. At the end the provider's book is ours to the cent, the ledger balances, nothing happened
twice, nothing is open, and every webhook is on record.
"""

import asyncio

import nats
import pytest
from commerce.common.v1.money_pb2 import LineAmount, Money
from commerce.order.v1.order_events_pb2 import OrderAccepted, OrderShipped
from commerce.order.v1.order_pb2 import Shipment
from commerce.payment.v1.payment_pb2 import CaptureMode
from commerce.payment.v1.settings_service_pb2 import PaymentSettings, SetPaymentSettingsRequest
from google.protobuf.duration_pb2 import Duration

from tests.payment.till import Till
from tests.saga.matrix import Matrix, failing
from tests.saga.sales import AMOUNT, Ends, Sale, adds_up
from tests.shop import Clients, Shop, new_id

VICTIMS = ["payment", "sandbox", "nats", "postgres"]
PARCELS = (1200, 500, 299)
# So many buyers at once that some of them come while another's payment is written.
CROWD = 24

# Where it passes, each "before" and "after".
ACCEPTED = [
    "payment commit OrderAccepted",
    "payment provider capture",
    "payment commit record capture",
    "payment publish PaymentCaptured",
]
CAPTURE = ["payment commit ask capture", "payment provider capture", "payment commit CapturePayment"]
SHIPPED = [
    "payment commit OrderShipped",
    "payment provider capture",
    "payment commit record capture",
    "payment publish PaymentCaptured",
]
VOID = [
    "payment commit ask void",
    "payment provider void",
    "payment commit VoidPayment",
    "payment publish PaymentVoided",
]
REFUND = [
    "payment commit ask refund",
    "payment provider refund",
    "payment commit RefundPayment",
    "payment publish PaymentRefunded",
]
DISPUTE = [
    "payment commit IngestWebhook",
    "payment publish PaymentDisputed",
    "payment publish PaymentDisputeClosed",
]
WEBHOOK = ["payment commit IngestWebhook", "payment publish PaymentAuthorized"]
SILENCE = [
    "payment sql payment recorded",
    "payment sql operations due",
    "payment provider look up authorize",
    "payment commit record authorize",
]
AT_ONCE = ["payment batch payments recorded", "payment batch payments changed"]
EXPIRY = [
    "payment commit expire payment",
    "payment provider expire",
    "payment commit record expire",
    "payment publish PaymentExpired",
]


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory, failpoints):
    async with failing(tmp_path_factory.mktemp("matrix"), failpoints, ["payment"]) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def clients(cluster):
    clients = Clients(cluster)
    yield clients
    await clients.close()


@pytest.fixture
async def matrix(clients, failpoints):
    events = await nats.connect(clients.cluster.nats_url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    yield Sales(Till(Shop(clients), events.jetstream()), failpoints)
    await events.close()


class Sales(Matrix):
    """Kills amid the payments of one store."""

    def __init__(self, till, folder):
        super().__init__(till.shop.clients.cluster, folder)
        self.till, self.shop = till, till.shop
        self.sales = []

    async def settings(self, **given):
        """Change how the store takes money."""
        request = SetPaymentSettingsRequest(
            store_id=self.shop.store_id, settings=PaymentSettings(**given), request_id=new_id()
        )
        await self.shop.payment_settings.SetPaymentSettings(request)

    async def sale(self, method="ok", state="AUTHORIZED", **given):
        """One more payment, once it is promised."""
        sale = Sale(self.till, method)
        await sale.promise(**given)
        self.sales.append(sale)
        await sale.until(state)
        return sale

    async def add_up(self, ends):
        await adds_up(self.till, self.sales, ends)


async def test_an_accepted_orders_money_is_taken_once(matrix):
    async def act():
        sale = await matrix.sale()
        await sale.tell(OrderAccepted(order=matrix.till.reference(sale.payment)))
        await sale.until("CAPTURED")

    await matrix.run(ACCEPTED, VICTIMS, act)

    await matrix.add_up(TAKEN)


async def test_money_that_a_caller_takes_is_taken_once(matrix):
    async def act():
        sale = await matrix.sale()
        await sale.take()
        await sale.until("CAPTURED")

    await matrix.run(CAPTURE, VICTIMS, act)

    await matrix.add_up(TAKEN)


TAKEN = Ends(
    state="CAPTURED",
    captured=AMOUNT,
    operations=("authorize", "capture"),
    events={"PaymentAuthorized": 1, "PaymentCaptured": 1},
)


async def test_each_parcels_money_is_taken_once(matrix):
    await matrix.settings(capture_mode=CaptureMode.CAPTURE_MODE_ON_SHIPMENT)

    async def act():
        sale = await matrix.sale()
        for minor_units in PARCELS:
            await sale.tell(_shipped(matrix.till.reference(sale.payment), minor_units))
        await sale.until("CAPTURED")

    await matrix.run(SHIPPED, VICTIMS, act)

    ends = Ends(
        state="CAPTURED",
        captured=AMOUNT,
        operations=("authorize", "capture", "capture", "capture"),
        events={"PaymentAuthorized": 1, "PaymentCaptured": 3},
    )
    await matrix.add_up(ends)


def _shipped(order, minor_units):
    amount = LineAmount(amount=Money(currency_code="EUR", minor_units=minor_units))
    return OrderShipped(order=order, shipment=Shipment(shipment_id=new_id()), amounts=[amount])


async def test_what_was_promised_is_given_up_once(matrix):
    async def act():
        sale = await matrix.sale()
        await sale.give_up()
        await sale.until("VOIDED")

    await matrix.run(VOID, VICTIMS, act)

    ends = Ends(
        state="VOIDED",
        voided=AMOUNT,
        operations=("authorize", "void"),
        events={"PaymentAuthorized": 1, "PaymentVoided": 1},
    )
    await matrix.add_up(ends)


async def test_money_is_given_back_once(matrix):
    async def act():
        sale = await matrix.sale()
        await sale.take()
        await sale.until("CAPTURED")
        await sale.give_back(500)
        await sale.until("PARTIALLY_REFUNDED")
        await sale.give_back(700)
        await sale.until("PARTIALLY_REFUNDED")

    await matrix.run(REFUND, VICTIMS, act)

    ends = Ends(
        state="PARTIALLY_REFUNDED",
        captured=AMOUNT,
        refunded=1200,
        operations=("authorize", "capture", "refund", "refund"),
        events={"PaymentAuthorized": 1, "PaymentCaptured": 1, "PaymentRefunded": 2},
    )
    await matrix.add_up(ends)


async def test_a_lost_dispute_is_booked_once(matrix):
    async def act():
        sale = await matrix.sale()
        await sale.take()
        await sale.until("CAPTURED")
        charge = sale.payment.provider_reference
        body = {"charge_id": charge, "amount_minor_units": 900, "reason": "fraudulent"}
        dispute = await sale.provider("/v1/disputes", body)
        await sale.until("DISPUTED")
        await sale.provider(f"/v1/disputes/{dispute['id']}", {"outcome": "lost"})
        await sale.until("CAPTURED")

    await matrix.run(DISPUTE, VICTIMS, act)

    ends = Ends(
        state="CAPTURED",
        captured=AMOUNT,
        charged_back=900,
        disputes=1,
        operations=("authorize", "capture"),
        events={
            "PaymentAuthorized": 1,
            "PaymentCaptured": 1,
            "PaymentDisputed": 1,
            "PaymentDisputeClosed": 1,
        },
    )
    await matrix.add_up(ends)


async def test_what_a_webhook_tells_is_applied_once(matrix):
    async def act():
        sale = Sale(matrix.till, "requires_action")
        await sale.promise()
        matrix.sales.append(sale)
        challenge = await sale.challenged()
        await sale.provider(challenge[challenge.index("/v1/") :], {"outcome": "pass"})
        await sale.until("AUTHORIZED")

    await matrix.run(WEBHOOK, VICTIMS, act)

    await matrix.add_up(PROMISED)


async def test_what_a_silent_provider_did_is_found_out_and_happens_once(matrix):
    async def act():
        await matrix.sale("silent_after")

    await matrix.run(SILENCE, VICTIMS, act)

    await matrix.add_up(PROMISED)


PROMISED = Ends(state="AUTHORIZED", operations=("authorize",), events={"PaymentAuthorized": 1})


async def test_what_is_recorded_together_happens_once_to_each(matrix):
    async def act():
        await asyncio.gather(*(matrix.sale() for _ in range(CROWD)))

    await matrix.run(AT_ONCE, VICTIMS, act)

    await matrix.add_up(PROMISED)


async def test_a_payment_whose_customer_does_not_act_expires_once(matrix):
    await matrix.settings(action_wait=Duration(seconds=1))

    async def act():
        sale = Sale(matrix.till, "requires_action")
        await sale.promise()
        matrix.sales.append(sale)
        await sale.until("EXPIRED")

    await matrix.run(EXPIRY, VICTIMS, act)

    ends = Ends(
        state="EXPIRED",
        promised=0,
        operations=("authorize FAILED", "expire"),
        events={"PaymentExpired": 1},
    )
    await matrix.add_up(ends)
