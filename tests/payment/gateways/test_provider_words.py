"""What a provider says when it refuses: kept for those who must mend it, and shown to nobody else."""

import pytest
from commerce.payment.v1.operations_service_pb2 import ListUnsettledOperationsRequest
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest, ListCustomerPaymentsRequest

from services.payment.payments import records
from tests.shop import new_id


async def refused_capture(till):
    """A payment whose authorization the provider has given up, unasked; and that could not be captured since."""
    payment = await till.authorize(customer_id=new_id())
    await till.provider("POST", f"/v1/charges/{payment.provider_reference}/void", {})
    return await till.capture(payment)


@pytest.mark.parametrize("role", ["store_manager", "store_admin", "platform_admin", "service"])
async def test_staff_and_operators_see_them(till, shop, role):
    payment = await refused_capture(till)

    asked = GetPaymentRequest(payment_id=payment.payment_id)
    found = (await shop.as_(role).payments.GetPayment(asked)).payment

    _, capture = found.operations
    assert capture.failure_code == "step_not_allowed"
    assert capture.provider_message == "cannot capture a charge that is voided"
    assert capture.provider_request_id.startswith("req_")


async def test_buyers_do_not(till, shop):
    payment = await refused_capture(till)
    buyer = shop.as_("customer", customer_id=payment.customer_id)

    found = (await buyer.payments.GetPayment(GetPaymentRequest(payment_id=payment.payment_id))).payment
    reply = await buyer.payments.ListCustomerPayments(
        ListCustomerPaymentsRequest(customer_id=payment.customer_id)
    )

    assert found.operations[1].failure_code == "step_not_allowed"
    for shown in (found, *reply.payments):
        assert "req_" not in str(shown)
        assert "cannot capture" not in str(shown)


async def test_the_list_of_what_is_to_be_mended_has_them(till, shop):
    payment = await refused_capture(till)
    request = ListUnsettledOperationsRequest(page_size=500)
    reply = await shop.as_service.payment_operations.ListUnsettledOperations(request)
    (found,) = [one for one in reply.operations if one.payment_id == payment.payment_id]
    assert found.operation.provider_request_id.startswith("req_")


async def test_the_log_names_the_request_and_does_not_repeat_the_words(till, payment_cluster, shop):
    payment = await refused_capture(till)
    asked = GetPaymentRequest(payment_id=payment.payment_id)
    capture = (await shop.payments.GetPayment(asked)).payment.operations[1]

    log = payment_cluster.process("payment").spec.log.read_text()

    assert capture.provider_request_id in log
    assert capture.provider_message not in log


def test_no_card_number_is_kept_of_them_nor_what_cannot_be_stored():
    kept = records.values_of_words("no funds on 4111 1111 1111 1111\0\ud800" + "x" * 2000, "r" * 300)
    assert "1111 1111 1111" not in kept["provider_message"]
    assert len(kept["provider_message"]) == 1000
    assert "\0" not in kept["provider_message"]
    kept["provider_message"].encode()
    assert kept["provider_request_id"] == "r" * 200
