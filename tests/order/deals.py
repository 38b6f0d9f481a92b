"""Requests about what orders cost, short to write: coupons, settings, carts; and a store whose catalog holds still."""

from contextlib import asynccontextmanager

import asyncpg
from commerce.catalog.v1.catalog_service_pb2 import UpdateProductRequest
from commerce.common.v1.money_pb2 import Money
from commerce.common.v1.postal_address_pb2 import PostalAddress
from commerce.order.v1 import coupon_service_pb2 as coupon_rpc
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1 import settings_service_pb2 as settings_rpc
from commerce.order.v1.settings_service_pb2 import OrderSettings, ShippingRate, TaxRate
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest

from tests.order.asks import order_of
from tests.shop import eventually, new_id


def money(amount, currency="EUR"):
    return Money(currency_code=currency, minor_units=amount)


def to(country="DE"):
    return PostalAddress(recipient="Ada Lovelace", lines=["Main Street 1"], city="X", country_code=country)


def sums(order):
    """What an order costs, in minor units."""
    names = ("subtotal", "discount", "tax", "shipping", "total")
    return {name: getattr(order, name).minor_units for name in names}


async def paid(shop, order_id):
    """What was authorized for an order, in minor units."""
    order = await order_of(shop, order_id)
    reply = await shop.payments.GetPayment(GetPaymentRequest(payment_id=order.payment_id))
    return reply.payment.amount.minor_units


# Coupons.


def coupon(shop, code="TEN", **given):
    """A coupon to create: 10 % off, unless something else is given."""
    if "amount" not in given:
        given.setdefault("percentage_ppm", 100_000)
    values = {"store_id": shop.store_id, "code": code, "request_id": new_id()}
    return coupon_rpc.CreateCouponRequest(**(values | given))


async def new_coupon(shop, code="TEN", **given):
    return (await shop.coupons.CreateCoupon(coupon(shop, code, **given))).coupon


def get_coupon(coupon_id):
    return coupon_rpc.GetCouponRequest(coupon_id=coupon_id)


def disable(coupon_id, request_id=""):
    return coupon_rpc.DisableCouponRequest(coupon_id=coupon_id, request_id=request_id or new_id())


async def used(shop, coupon):
    """How many orders use a coupon."""
    return (await shop.coupons.GetCoupon(get_coupon(coupon.coupon_id))).coupon.used


def apply(order_id, code="TEN", request_id=""):
    return rpc.ApplyCouponRequest(order_id=order_id, coupon_code=code, request_id=request_id or new_id())


# Settings.


def tax(rate_ppm, country="", tax_class=""):
    return TaxRate(country_code=country, tax_class=tax_class, rate_ppm=rate_ppm)


def ships(fee, country="", free_from=0, currency="EUR"):
    return ShippingRate(country_code=country, fee=money(fee, currency), free_from=free_from)


def settings(shop, request_id="", **given):
    return settings_rpc.SetOrderSettingsRequest(
        store_id=shop.store_id, settings=OrderSettings(**given), request_id=request_id or new_id()
    )


async def set_up(shop, **given):
    return (await shop.settings.SetOrderSettings(settings(shop, **given))).settings


def get_settings(shop):
    return settings_rpc.GetOrderSettingsRequest(store_id=shop.store_id)


# Carts.


def preview(shop, customer, *lines, **given):
    wanted = [rpc.CreateOrderLine(product_id=product, quantity=quantity) for product, quantity in lines]
    values = {"store_id": shop.store_id, "customer_id": customer, "lines": wanted}
    return rpc.PreviewOrderRequest(**(values | given))


async def costs(shop, product, minor_units):
    """The product's price from now on, once the order service knows it."""
    request = UpdateProductRequest(product_id=product, price=money(minor_units), request_id=new_id())
    await shop.catalog.UpdateProduct(request)
    known = 'SELECT FROM "order".products WHERE product_id = $1 AND price_minor_units = $2'
    await eventually(lambda: shop.clients.rows(known, product, minor_units))


@asynccontextmanager
async def held_back(shop, product):
    """While somebody holds this product's stock, orders for it stay PENDING."""
    keeper = await asyncpg.connect(shop.clients.cluster.admin_dsn)
    try:
        async with keeper.transaction():
            await keeper.execute("SELECT 1 FROM catalog.stock WHERE product_id = $1 FOR UPDATE", product)
            yield
    finally:
        await keeper.close()
