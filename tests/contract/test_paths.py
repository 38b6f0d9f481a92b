"""The URLs that clients were promised, as they were promised."""

from google.api import annotations_pb2

PATHS = {
    "CreateCustomer": "POST /v1/stores/{store_id}/customers",
    "ListCustomers": "GET /v1/stores/{store_id}/customers",
    "GetCustomer": "GET /v1/customers/{customer_id}",
    "UpdateCustomer": "PATCH /v1/customers/{customer_id}",
    "CreateProduct": "POST /v1/stores/{store_id}/products",
    "ListProducts": "GET /v1/stores/{store_id}/products",
    "GetProduct": "GET /v1/products/{product_id}",
    "UpdateProduct": "PATCH /v1/products/{product_id}",
    "GetStock": "GET /v1/products/{product_id}/stock",
    "SetStock": "PUT /v1/products/{product_id}/stock",
    "AdjustStock": "POST /v1/products/{product_id}/stock:adjust",
    "CreateOrder": "POST /v1/stores/{store_id}/orders",
    "ListOrders": "GET /v1/stores/{store_id}/orders",
    "GetOrder": "GET /v1/orders/{order_id}",
    "AcceptOrder": "POST /v1/orders/{order_id}:accept",
    "ShipOrder": "POST /v1/orders/{order_id}:ship",
    "DeliverOrder": "POST /v1/orders/{order_id}:deliver",
    "CancelOrder": "POST /v1/orders/{order_id}:cancel",
    "ListOrderEvents": "GET /v1/orders/{order_id}/events",
    "WatchOrder": "GET /v1/orders/{order_id}:watch",
    "RefundPayment": "POST /v1/payments/{payment_id}:refund",
    "CapturePayment": "POST /v1/payments/{payment_id}:capture",
    "VoidPayment": "POST /v1/payments/{payment_id}:void",
    "GetPayment": "GET /v1/payments/{payment_id}",
    "IngestWebhook": "POST /v1/webhooks/{gateway}",
    "GetTrialBalance": "GET /v1/stores/{store_id}/ledger:trialBalance",
}


def paths(contract):
    """The URL of each RPC that has one: "POST /v1/…"."""
    found = {}
    for rpc in contract.rpcs:
        rule = rpc.method.options.Extensions[annotations_pb2.http]
        if verb := rule.WhichOneof("pattern"):
            found[rpc.name] = f"{verb.upper()} {getattr(rule, verb)}"
    return found


def test_every_promised_url_is_as_it_was_promised(contract):
    assert paths(contract).items() >= PATHS.items()

    def moved(copy):
        copy.rpc("GetOrder").method.options.Extensions[annotations_pb2.http].get = "/v1/order/{order_id}"

    assert not paths(contract.broken(moved)).items() >= PATHS.items()


def test_no_two_rpcs_share_a_url(contract):
    urls = list(paths(contract).values())

    assert len(urls) == len(set(urls))
