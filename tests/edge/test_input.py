"""What cannot be right is a 4xx that names the field and the reason; nothing is written and no service is at fault."""

import json
from collections.abc import Callable

import pytest
from yarl import URL

from tests.edge.answers import of_rest
from tests.edge.conftest import settled
from tests.edge.contract import request_id
from tests.shop import new_id

MILLION = 1_000_000
NESTED = 3_000


class Bodies:
    """Valid bodies; a case spoils one."""

    def __init__(self, shop, customer, product):
        self.shop, self.customer, self.product_id = shop, customer, product

    def order(self, **given):
        line = {"productId": self.product_id, "quantity": 1} | given.pop("line", {})
        body = {"customerId": self.customer, "lines": [line], "paymentMethod": "pm_sandbox_ok"}
        return body | {"requestId": request_id()} | given

    def product(self, **given):
        price = {"currencyCode": "EUR", "minorUnits": "1999"} | given.pop("money", {})
        return {"sku": new_id(), "name": "A lamp", "price": price, "requestId": request_id()} | given

    def customer_(self, **given):
        body = {"fullName": "Ada Lovelace", "email": f"{new_id()}@example.org", "requestId": request_id()}
        return body | given

    def stock(self, **given):
        return {"quantity": 7, "requestId": request_id()} | given

    def coupon(self, **given):
        return {"code": "TEN", "percentagePpm": 100_000, "requestId": request_id()} | given

    def text(self, kind, find, replacement):
        """A valid body as bytes, with a part of its text replaced."""
        text = json.dumps(getattr(self, kind)()).encode()
        assert find in text
        return text.replace(find, replacement, 1)

    def path(self, kind):
        if kind == "stock":
            return f"/v1/products/{self.product_id}/stock"
        return f"/v1/stores/{self.shop.store_id}/{kind.rstrip('_')}s"


@pytest.fixture(scope="module")
async def bodies(clients):
    from tests.shop import Shop

    shop = Shop(clients)
    made = Bodies(shop, await shop.customer(), await shop.product(stock=5))
    # The order service has asked for what it must know of others.
    await shop.order([(made.product_id, 1)], customer=made.customer, until="CONFIRMED")
    await settled(shop)
    return made


# What is sent, and the field that the refusal names ("": there is none to name).
ORDERS = {
    "a negative quantity": (lambda b: b.order(line={"quantity": -1}), "lines[0].quantity"),
    "a quantity of zero": (lambda b: b.order(line={"quantity": 0}), "lines[0].quantity"),
    "no quantity": (lambda b: b.order(lines=[{"productId": b.product_id}]), "lines[0].quantity"),
    "half a unit": (lambda b: b.order(line={"quantity": 0.5}), "lines[0].quantity"),
    "a quantity beyond the bound": (lambda b: b.order(line={"quantity": 10_001}), "lines[0].quantity"),
    "a quantity beyond 32 bits": (lambda b: b.order(line={"quantity": 2**31}), "lines[0].quantity"),
    "a quantity beyond 64 bits": (lambda b: b.order(line={"quantity": 2**64}), "lines[0].quantity"),
    "a quantity beyond any": (lambda b: b.order(line={"quantity": 10**400}), ""),
    "a quantity of 1e999": (lambda b: b.text("order", b'"quantity": 1', b'"quantity": 1e999'), ""),
    "a quantity of NaN": (lambda b: b.order(line={"quantity": "NaN"}), "lines[0].quantity"),
    "a quantity in words": (lambda b: b.order(line={"quantity": "one"}), "lines[0].quantity"),
    "a quantity that is true": (lambda b: b.order(line={"quantity": True}), "lines[0].quantity"),
    "a quantity in a list": (lambda b: b.order(line={"quantity": [1]}), "lines[0].quantity"),
    "no lines": (lambda b: b.order(lines=[]), "lines"),
    "lines that are a number": (lambda b: b.order(lines=7), "lines"),
    "lines that are words": (lambda b: b.order(lines=["x"]), "lines[0]"),
    "too many lines": (
        lambda b: b.order(lines=[{"productId": new_id(), "quantity": 1} for _ in range(101)]),
        "lines",
    ),
    "one product twice": (lambda b: b.order(lines=2 * [{"productId": b.product_id, "quantity": 1}]), "lines"),
    "a product that is no UUID": (lambda b: b.order(line={"productId": "x"}), "lines[0].productId"),
    "a product that is a number": (lambda b: b.order(line={"productId": 7}), "lines[0].productId"),
    "a product that is SQL": (
        lambda b: b.order(line={"productId": "'; DROP TABLE orders --"}),
        "lines[0].productId",
    ),
    "a customer that is no UUID": (lambda b: b.order(customerId="x"), "customerId"),
    "a customer that is nothing": (lambda b: b.order(customerId=None), "customerId"),
    "a customer that is an object": (lambda b: b.order(customerId={}), "customerId"),
    "no request_id": (lambda b: b.order(requestId=""), "requestId"),
    "a request_id that is no UUID": (lambda b: b.order(requestId="again"), "requestId"),
    "no payment method": (lambda b: b.order(paymentMethod=""), "paymentMethod"),
    "a card for a payment method": (lambda b: b.order(paymentMethod="4242424242424242"), "paymentMethod"),
    "a payment method of two lines": (lambda b: b.order(paymentMethod="pm_sandbox_ok\n"), "paymentMethod"),
    "a million-character payment method": (
        lambda b: b.order(paymentMethod="p" * (MILLION - 500)),
        "paymentMethod",
    ),
    "a field that does not exist": (lambda b: b.order(coupon="x"), "coupon"),
    "a price of the client's own": (lambda b: b.order(line={"unitPrice": {}}), "lines[0].unitPrice"),
    "a field that does not exist, in disguise": (
        lambda b: b.text("order", b'"customerId"', b'"c\\u006fupon": 1, "customerId"'),
        "coupon",
    ),
    "another store than the path's": (lambda b: b.order(storeId=new_id()), "storeId"),
    "an address that is words": (lambda b: b.order(deliveryAddress="here"), "deliveryAddress"),
    "a country that is none": (
        lambda b: b.order(deliveryAddress={"countryCode": "Germany"}),
        "deliveryAddress.countryCode",
    ),
    "half a place": (
        lambda b: b.order(deliveryAddress={"countryCode": "DE", "location": {"longitude": 13.4}}),
        "deliveryAddress.location.latitude",
    ),
    "a place that is not on earth": (
        lambda b: b.order(
            deliveryAddress={"countryCode": "DE", "location": {"latitude": 91, "longitude": 0}}
        ),
        "deliveryAddress.location.latitude",
    ),
    "a place that is not a number": (
        lambda b: b.order(
            deliveryAddress={"countryCode": "DE", "location": {"latitude": "NaN", "longitude": 0}}
        ),
        "deliveryAddress.location.latitude",
    ),
    "a NUL in an address": (
        lambda b: b.order(deliveryAddress={"countryCode": "DE", "city": "a\0b"}),
        "deliveryAddress.city",
    ),
    "a member twice": (
        lambda b: b.text("order", b'"customerId"', b'"customerId": "x", "customerId"'),
        "customerId",
    ),
    "a member twice, spelled differently": (
        lambda b: b.text("order", b'"customerId"', b'"customer_id": "x", "customerId"'),
        "customerId",
    ),
    "lines twice": (
        lambda b: b.text("order", b'"lines"', b'"lines": [{"quantity": 1}], "lines"'),
        "lines",
    ),
    "a quantity twice": (
        lambda b: b.text("order", b'"quantity": 1', b'"quantity": 1, "quantity": 2'),
        "lines[0].quantity",
    ),
}
PRODUCTS = {
    "no name": (lambda b: b.product(name=""), "name"),
    "a million-character name": (lambda b: b.product(name="x" * (MILLION - 500)), "name"),
    "a name of NUL": (lambda b: b.product(name="a\0b"), "name"),
    "a SKU of NUL": (lambda b: b.product(sku="\0"), "sku"),
    "a name that is a list": (lambda b: b.product(name=["x"]), "name"),
    "a negative price": (lambda b: b.product(money={"minorUnits": "-1"}), "price"),
    "a price in euros and cents": (lambda b: b.product(money={"minorUnits": 19.99}), "price.minorUnits"),
    "a price beyond the bound": (lambda b: b.product(money={"minorUnits": 10**16}), "price.minorUnits"),
    "a price beyond 64 bits": (lambda b: b.product(money={"minorUnits": 2**63}), "price.minorUnits"),
    "a price of no sum": (lambda b: b.product(money={"minorUnits": None}), "price.minorUnits"),
    "no price": (lambda b: {k: v for k, v in b.product().items() if k != "price"}, "price"),
    "a price of nothing": (lambda b: b.product(price=None), "price"),
    "a price that is a number": (lambda b: b.product(price=19.99), "price"),
} | {
    f"a currency called {currency!r}": (
        lambda b, currency=currency: b.product(money={"currencyCode": currency}),
        "price.currencyCode",
    )
    for currency in ("", "eur", "EU", "EURO", "€€€", "E R", "EU\n", "\0\0\0", "EU1")
}
CUSTOMERS = {
    "no mail address": (lambda b: b.customer_(email=""), "email"),
    "a mail address that is none": (lambda b: b.customer_(email="ada"), "email"),
    "a mail address too long": (lambda b: b.customer_(email="a" * 250 + "@example.org"), "email"),
    "a telephone number that is none": (lambda b: b.customer_(phone="call me"), "phone"),
    "a telephone number of two lines": (lambda b: b.customer_(phone="+4930\n123456"), "phone"),
    "a name of NUL, a NUL elsewhere too": (lambda b: b.customer_(fullName="\0"), "fullName"),
}
STOCKS = {
    "a negative stock": (lambda b: b.stock(quantity=-1), "quantity"),
    "a stock beyond the bound": (lambda b: b.stock(quantity=10**9 + 1), "quantity"),
    "no quantity": (lambda b: b.stock(quantity=None), "quantity"),
    "nothing but its request_id": (lambda b: {"requestId": request_id()}, "quantity"),
    "a stock of words": (lambda b: b.stock(quantity="all"), "quantity"),
}
COUPONS = {
    "nothing that it takes off": (lambda b: b.coupon(percentagePpm=None), "kind"),
    "two kinds of what it takes off": (
        lambda b: b.coupon(amount={"currencyCode": "EUR", "minorUnits": "1"}),
        "amount",
    ),
    "a share of more than all": (lambda b: b.coupon(percentagePpm=1_000_001), "percentagePpm"),
    "a code of blanks": (lambda b: b.coupon(code="T N"), "code"),
    "a limit of less than none": (lambda b: b.coupon(limit=-1), "limit"),
    "a time that is none": (lambda b: b.coupon(beginTime="2026-02-30T00:00:00Z"), "beginTime"),
    "an end before its beginning": (
        lambda b: b.coupon(beginTime="2026-02-02T00:00:00Z", endTime="2026-02-01T00:00:00Z"),
        "endTime",
    ),
}
KINDS = {
    "order": ORDERS,
    "product": PRODUCTS,
    "customer_": CUSTOMERS,
    "stock": STOCKS,
    "coupon": COUPONS,
}
CASES = {
    f"{kind.rstrip('_')} with {name}": (kind, *case)
    for kind, cases in KINDS.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", CASES)
async def test_refuses_an(bodies, unwritten, case):
    kind, make, field = CASES[case]
    body = make(bodies)
    answer = of_rest(
        await _send(bodies, kind, body if isinstance(body, bytes) else json.dumps(body).encode())
    )
    assert answer.reason == "INVALID_ARGUMENT"
    assert list(answer.violations) == [field], str(answer)


# Bodies that are no JSON of any message.
BROKEN: dict[str, bytes | Callable[[Bodies], bytes]] = {
    "nothing": b"",
    "an empty object": b"{}",
    "white space": b" \n\t ",
    "the start of an object": b'{"customerId": ',
    "half of a valid body": lambda b: json.dumps(b.order()).encode()[:-30],
    "a valid body and more": lambda b: json.dumps(b.order()).encode() + b"x",
    "two valid bodies": lambda b: 2 * json.dumps(b.order()).encode(),
    "an array": b"[]",
    "null": b"null",
    "a string": b'"order"',
    "a number": b"7",
    "single quotes": b"{'customerId': 'x'}",
    "a trailing comma": lambda b: b.text("order", b'"quantity": 1', b'"quantity": 1,'),
    "a comment": lambda b: b"/* order */" + json.dumps(b.order()).encode(),
    "a byte order mark": lambda b: b"\xef\xbb\xbf" + json.dumps(b.order()).encode(),
    "UTF-16": lambda b: json.dumps(b.order()).encode("utf-16"),
    "bytes that are no UTF-8": lambda b: b.text("order", b"pm_sandbox_ok", b"pm_\xff\xfe"),
    "UTF-8 of a surrogate": lambda b: b.text("order", b"pm_sandbox_ok", b"pm_\xed\xa0\x80"),
    "half a surrogate pair": lambda b: b.text("order", b"pm_sandbox_ok", b"pm_\\ud800"),
    "the wrong half first": lambda b: b.text("order", b"pm_sandbox_ok", b"pm_\\udc00\\ud800"),
    "a NUL between": lambda b: b.text("order", b'"lines"', b'\x00"lines"'),
    "a raw newline in a string": lambda b: b.text("order", b"pm_sandbox_ok", b"pm\nx"),
    "an escape that is none": lambda b: b.text("order", b"pm_sandbox_ok", b"pm\\x41"),
    "objects in objects": b'{"deliveryAddress":' * NESTED + b"1" + b"}" * NESTED,
    "arrays in arrays": b"[" * 100_000,
    "arrays in lines": b'{"lines":' + b"[" * NESTED + b"]" * NESTED + b"}",
    "XML": b"<order/>",
    "a form": b"customerId=x&quantity=1",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
}


@pytest.mark.parametrize("case", BROKEN)
async def test_refuses_as_an_order(bodies, unwritten, case):
    body = BROKEN[case]
    answer = of_rest(await _send(bodies, "order", body if isinstance(body, bytes) else body(bodies)))
    assert answer.reason == "INVALID_ARGUMENT"
    assert answer.violations, str(answer)


@pytest.mark.parametrize("kind", ["order", "product", "customer_"])
async def test_refuses_a_body_over_the_limit(bodies, unwritten, kind):
    body = json.dumps(getattr(bodies, kind)(requestId="x" * 2 * MILLION)).encode()
    reply = await _send(bodies, kind, body)
    assert reply.status == 413
    assert of_rest(reply).reason == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc-web", "application/grpc-web-text", "application/grpc+json"]
)
async def test_refuses_a_rest_call_that_calls_itself_grpc(bodies, unwritten, kind):
    body = json.dumps(bodies.order()).encode()
    reply = await _raw(bodies.shop, "POST", bodies.path("order"), data=body, headers={"content-type": kind})
    refused = reply.headers.get("grpc-status") in ("3", "12")
    assert 400 <= reply.status < 500 or refused, (reply.status, reply.body)


async def test_refuses_an_encoding_that_it_cannot_read(bodies, unwritten):
    body = json.dumps(bodies.order()).encode()
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    reply = await _raw(bodies.shop, "POST", bodies.path("order"), data=b"\x1f\x8b" + body, headers=headers)
    assert of_rest(reply).reason == "INVALID_ARGUMENT"


async def test_refuses_a_product_that_does_not_exist_by_name(bodies, unwritten):
    missing = new_id()
    answer = of_rest(
        await _send(bodies, "order", json.dumps(bodies.order(line={"productId": missing})).encode())
    )
    assert (answer.reason, answer.metadata) == ("PRODUCT_NOT_FOUND", {"productId": missing})


async def test_refuses_a_product_of_another_store_like_one_that_does_not_exist(bodies, unwritten):
    foreign = await bodies.shop.another().product()
    answer = of_rest(
        await _send(bodies, "order", json.dumps(bodies.order(line={"productId": foreign})).encode())
    )
    assert (answer.reason, answer.metadata) == ("PRODUCT_NOT_FOUND", {"productId": foreign})


QUERIES = {
    "state=NO_SUCH_STATE": "state",
    "state=99": "state",
    "state=-1": "state",
    "pageSize=many": "pageSize",
    "pageSize=-1": "pageSize",
    "pageSize=501": "pageSize",
    "pageSize=99999999999999999999": "pageSize",
    "pageSize=1.5": "pageSize",
    "pageToken=garbage": "pageToken",
    "pageToken=%F0%9F%98%80": "pageToken",
    "pageToken=" + 600 * "x": "pageToken",
    "pageToken=AAAAAAAAAAAAAAAAAAAAAFsiMDE5MyJd": "pageToken",
    "nope=1": "nope",
    "state.x=1": "state",
    "state[]=1": "state[]",
}


@pytest.mark.parametrize("query", QUERIES)
async def test_refuses_a_list_of_orders_with(bodies, query):
    answer = of_rest(await _raw(bodies.shop, "GET", f"{bodies.path('order')}?{query}"))
    assert answer.reason in ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")
    assert list(answer.violations) == [QUERIES[query]], str(answer)


async def test_refuses_a_page_token_of_another_list(bodies):
    shop = bodies.shop
    for _ in range(2):
        await shop.product()
    path = bodies.path("product")
    token = of_rest(await shop.rest("GET", f"{path}?pageSize=1")).body["nextPageToken"]
    for query in (f"query=lamp&pageToken={token}", f"pageToken={token[:-2]}AA", f"pageToken={token}{token}"):
        assert of_rest(await shop.rest("GET", f"{path}?{query}")).reason == "PAGE_TOKEN_INVALID"
    other = f"/v1/stores/{shop.store_id}/orders?pageToken={token}"
    assert of_rest(await shop.rest("GET", other)).reason == "PAGE_TOKEN_INVALID"


PATHS = {
    "/v1/orders/x": "orderId",
    "/v1/orders/00000000000000000000000000000000x": "orderId",
    "/v1/orders/%F0%9F%98%80": "orderId",
    "/v1/orders/%FF": None,
    "/v1/orders/a%00b": None,
    "/v1/orders/..%2f..%2fetc%2fpasswd": None,
    "/v1/orders/%27%20OR%201=1--": "orderId",
    "/v1/customers/x": "customerId",
    "/v1/products/x/stock": "productId",
    "/v1/payments/x": "paymentId",
    "/v1/orders/x:watch": "orderId",
    "/v1/orders/x:cancel": None,
    "/v1/orders/": None,
    "/v2/orders": None,
}


@pytest.mark.parametrize("path", PATHS)
async def test_refuses_the_path(bodies, path):
    reply = await _raw(bodies.shop, "GET", path)
    if "x-trace-id" not in reply.headers:
        assert reply.status == 400, "what is no request has no trace"
        return
    answer = of_rest(reply)
    field = PATHS[path]
    assert answer.reason in (("INVALID_ARGUMENT",) if field else ("UNIMPLEMENTED", "INVALID_ARGUMENT"))
    assert not field or list(answer.violations) == [field]


@pytest.mark.parametrize("size", [20_000, 32_000])
async def test_refuses_headers_that_are_larger_than_any(bodies, unwritten, size):
    reply = await _raw(bodies.shop, "GET", bodies.path("order"), headers={"x-large": size * "x"})
    assert (reply.status, of_rest(reply).reason) == (431, "INVALID_ARGUMENT")


async def test_takes_headers_of_15_kb(bodies):
    reply = await _raw(bodies.shop, "GET", bodies.path("order"), headers={"x-large": 14_000 * "x"})
    assert of_rest(reply).reason == "OK"


async def test_refuses_to_watch_from_a_sequence_that_cannot_be(bodies):
    order = await bodies.shop.order(until="CONFIRMED")
    for after, reason in {
        "-1": "INVALID_ARGUMENT",
        "x": "INVALID_ARGUMENT",
        str(2**63): "INVALID_ARGUMENT",
        str(2**63 - 1): "ORDER_SEQUENCE_UNKNOWN",
        "4": "ORDER_SEQUENCE_UNKNOWN",
    }.items():
        reply = await bodies.shop.rest("GET", f"/v1/orders/{order}:watch?afterSequence={after}")
        assert of_rest(reply).reason == reason, after


async def _send(bodies, kind, body):
    verb = "PUT" if kind == "stock" else "POST"
    headers = {"content-type": "application/json"}
    return await _raw(bodies.shop, verb, bodies.path(kind), data=body, headers=headers)


async def _raw(shop, verb, path, **more):
    """The path as it stands: the client would tidy it up."""
    url = URL(shop.clients.cluster.gateway_url + path, encoded=True)
    return await shop.rest(verb, url, **more)
