import pytest
from commerce.catalog.v1.catalog_service_pb2 import ArchiveProductRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_events_pb2 import OrderCreated
from commerce.order.v1.order_pb2 import Order

from tests.order.asks import create, name
from tests.order.deals import disable, money, new_coupon, preview, set_up, ships, sums, tax, to, used
from tests.shop import new_id, refused


async def test_prices_a_cart_as_create_order_would(shop):
    await set_up(
        shop,
        tax_rates=[tax(190_000, "DE"), tax(70_000, "DE", "food")],
        shipping_rates=[ships(490, "DE", free_from=100_000)],
    )
    await new_coupon(shop, amount=money(777))
    cart = [(await shop.product(price=1999, tax_class="food"), 3), (await shop.product(price=333), 2)]
    customer, given = await shop.customer(), {"delivery_address": to("DE"), "coupon_code": "ten"}

    seen = (await shop.orders.PreviewOrder(preview(shop, customer, *cart, **given))).order

    placed = (await shop.orders.CreateOrder(create(shop, customer, *cart, **given))).order
    for field in (
        "order_id",
        "state",
        "sequence",
        "payment_method",
        "create_time",
        "update_time",
        "expire_time",
    ):
        placed.ClearField(field)
    assert seen == placed
    assert sums(seen)["total"] > 0


async def test_places_nothing_and_uses_no_coupon(shop):
    coupon, product, customer = await new_coupon(shop, limit=1), await shop.product(), await shop.customer()
    for _ in range(3):
        await shop.orders.PreviewOrder(preview(shop, customer, (product, 1), coupon_code="TEN"))
    assert await used(shop, coupon) == 0
    assert await shop.published(OrderCreated) == []


async def test_a_browser_previews_a_cart_with_a_coupon(shop):
    coupon = {"code": "ten", "percentagePpm": 100000, "requestId": new_id()}
    made = await shop.rest("POST", f"/v1/stores/{shop.store_id}/coupons", coupon)
    assert (made.status, made.body["coupon"]["code"]) == (200, "TEN")
    product, customer = await shop.product(price=1000), await shop.customer()
    lines = [{"productId": product, "quantity": 1}]
    cart = {"customerId": customer, "lines": lines, "couponCode": "ten"}
    seen = await shop.rest("POST", f"/v1/stores/{shop.store_id}/orders:preview", cart)
    assert seen.status == 200
    assert seen.body["order"]["total"] == {"currencyCode": "EUR", "minorUnits": "900"}


@pytest.mark.parametrize(
    "pasted", ["SPRING-10 ", "\u00a0spring-10\r\n", "\u200bSpring-10", "SPRING–10", "ＳＰＲＩＮＧ-10"]
)
async def test_finds_a_coupon_as_people_paste_it(shop, pasted):
    await new_coupon(shop, "spring-10")
    cart = (await shop.product(price=1000), 1)
    seen = await shop.orders.PreviewOrder(preview(shop, await shop.customer(), cart, coupon_code=pasted))
    assert (seen.order.coupon_code, seen.order.total) == ("SPRING-10", money(900))


async def test_a_coupon_of_blanks_is_none(shop):
    cart = (await shop.product(price=1000), 1)
    seen = await shop.orders.PreviewOrder(preview(shop, await shop.customer(), cart, coupon_code=" \t"))
    assert (seen.order.coupon_code, seen.order.total) == ("", money(1000))


@pytest.mark.parametrize("country", ["ZZ", "UK", "EU", "de", ""])
async def test_refuses_to_send_it_to_no_country(shop, country):
    cart = (await shop.product(), 1)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.PreviewOrder(
            preview(shop, await shop.customer(), cart, delivery_address=to(country))
        )
    assert said.violations.keys() == {"delivery_address.country_code"}


async def test_names_no_order(shop):
    request = preview(shop, await shop.customer(), (await shop.product(), 1))
    order = (await shop.orders.PreviewOrder(request)).order
    assert (order.order_id, order.sequence, name(order.state)) == ("", 0, "UNSPECIFIED")
    assert order.total == Order(total=order.subtotal).total


async def test_refuses_what_create_order_refuses_of_a_cart(shop):
    customer, product = await shop.customer(), await shop.product()
    dollars, unknown = await shop.product(currency="USD"), new_id()
    await set_up(shop, shipping_rates=[ships(490, "DE")])
    reason = ErrorReason
    for expected, lines, given in (
        (reason.ERROR_REASON_PRODUCT_NOT_FOUND, [(unknown, 1)], {}),
        (reason.ERROR_REASON_ORDER_CURRENCIES_MIXED, [(product, 1), (dollars, 1)], {}),
        (reason.ERROR_REASON_SHIPPING_UNAVAILABLE, [(product, 1)], {"delivery_address": to("FR")}),
        (reason.ERROR_REASON_CUSTOMER_NOT_FOUND, [(product, 1)], {"customer_id": new_id()}),
    ):
        with refused(expected):
            await shop.orders.PreviewOrder(preview(shop, customer, *lines, **given))


async def test_refuses_a_product_that_is_archived_and_was_never_ordered(shop):
    """Not even its copy is known here: the catalog is asked."""
    product, customer = await shop.product(), await shop.customer()
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product, request_id=new_id()))
    await shop.clients.rows('DELETE FROM "order".products WHERE product_id = $1', product)
    with refused(ErrorReason.ERROR_REASON_PRODUCT_ARCHIVED, product_id=product):
        await shop.orders.PreviewOrder(preview(shop, customer, (product, 1)))


async def test_refuses_a_coupon_that_create_order_would_refuse(shop):
    customer, product = await shop.customer(), await shop.product()
    await new_coupon(shop, "ONCE", limit=1, customer_limit=1)
    await new_coupon(shop, "MINE", customer_limit=1)
    gone = await new_coupon(shop, "GONE")
    await shop.coupons.DisableCoupon(disable(gone.coupon_id))
    for code in ("ONCE", "MINE"):
        await shop.order([(product, 1)], customer=customer, coupon_code=code)
    reason = ErrorReason
    for expected, code, about in (
        (reason.ERROR_REASON_COUPON_NOT_FOUND, "NONE", {}),
        (reason.ERROR_REASON_COUPON_USED_UP, "ONCE", {"limit": "1", "of": "everybody"}),
        (reason.ERROR_REASON_COUPON_USED_UP, "MINE", {"limit": "1", "of": "customer"}),
        (reason.ERROR_REASON_COUPON_NOT_APPLICABLE, "GONE", {"cause": "disabled"}),
    ):
        with refused(expected, code=code, **about):
            await shop.orders.PreviewOrder(preview(shop, customer, (product, 1), coupon_code=code))


async def test_a_customer_previews_their_own_cart_only(shop):
    one, other, product = await shop.customer(), await shop.customer(), await shop.product()
    asking = shop.as_("customer", customer_id=one)
    await asking.orders.PreviewOrder(preview(shop, one, (product, 1)))
    with refused(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=other):
        await asking.orders.PreviewOrder(preview(shop, other, (product, 1)))


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("lines", {"lines": []}),
        ("customer_id", {"customer_id": "nobody"}),
        ("coupon_code", {"coupon_code": "A" * 41}),
        ("delivery_address.country_code", {"delivery_address": to("Germany")}),
    ],
)
async def test_names_the_field_that_is_wrong(shop, field, change):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.orders.PreviewOrder(preview(shop, new_id(), (new_id(), 1), **change))
    assert field in said.violations


async def test_refuses_a_courier(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await shop.as_("courier").orders.PreviewOrder(preview(shop, new_id(), (new_id(), 1)))
