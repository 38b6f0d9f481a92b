"""Real ids of a shop, by the names that requests give them: what tests of rights have, and others must not see."""

from commerce.catalog.v1.catalog_service_pb2 import CreateCategoryRequest, ImportProductsRequest, ImportRow
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_method_service_pb2 import SavePaymentMethodRequest
from commerce.payment.v1.payment_service_pb2 import GetPaymentRequest
from commerce.payment.v1.settlement_service_pb2 import (
    ImportSettlementRequest,
    ListDiscrepanciesRequest,
    SettlementLine,
    SettlementLineKind,
)
from google.protobuf.timestamp_pb2 import Timestamp

from tests.order.asks import assign, order_of
from tests.order.deals import new_coupon
from tests.saga.checkouts import ours
from tests.shop import new_id


async def things_of(shop):
    """Real ids of a shop, by the name that requests give them, each of one customer."""
    customer, product, category = await shop.customer(), await shop.product(), await _category(shop)
    order = await shop.order([(product, 1)], customer=customer, state="SHIPPED")
    courier, (parcel,) = new_id(), (await order_of(shop, order)).shipments
    await shop.orders.AssignCourier(assign(order, parcel.shipment_id, courier))
    coupon = await new_coupon(shop, f"C{new_id()[:8]}")
    discrepancy = await _discrepancy(shop)
    return {
        "customer_id": customer,
        "order_id": order,
        "shipment_id": parcel.shipment_id,
        "courier_id": courier,
        "product_id": product,
        "payment_id": str((await ours(shop))[order]["payment_id"]),
        "category_id": category,
        "parent_id": category,
        "coupon_id": coupon.coupon_id,
        "coupon_code": coupon.code,
        "import_id": await _import(shop, product),
        "payment_method_id": await _payment_method(shop, customer),
        "discrepancy_id": discrepancy.discrepancy_id,
        "settlement_id": discrepancy.settlement_id,
        "order_ids": order,
        "product_ids": product,
    }


async def _payment_method(shop, customer):
    request = SavePaymentMethodRequest(
        customer_id=customer, store_id=shop.store_id, token="pm_sandbox_ok", request_id=new_id()
    )
    return (await shop.payment_methods.SavePaymentMethod(request)).payment_method.payment_method_id


async def _discrepancy(shop):
    """A difference between a report and the books of this shop: a line that is none of ours belongs to nobody."""
    order = await shop.order(state="ACCEPTED")
    payment_id = (await ours(shop))[order]["payment_id"]
    payment = (await shop.payments.GetPayment(GetPaymentRequest(payment_id=str(payment_id)))).payment
    line = SettlementLine(
        line_id=new_id(),
        kind=SettlementLineKind.SETTLEMENT_LINE_KIND_REFUND,
        charge_reference=payment.provider_reference,
        gross=Money(currency_code="EUR", minor_units=-1),
        time=payment.create_time,
    )
    batch = ImportSettlementRequest(
        gateway="sandbox",
        begin_time=payment.create_time,
        end_time=Timestamp(seconds=payment.create_time.seconds + 1),
        batch=1,
        lines=[line],
        request_id=new_id(),
    )
    platform = shop.as_service
    await platform.settlement.ImportSettlement(iter([batch]))
    listed = await platform.settlement.ListDiscrepancies(ListDiscrepanciesRequest(store_id=shop.store_id))
    return listed.discrepancies[0]


async def _category(shop):
    request = CreateCategoryRequest(store_id=shop.store_id, name=new_id(), request_id=new_id())
    return (await shop.category.CreateCategory(request)).category.category_id


async def _import(shop, product):
    """An import of one row that is refused, so that it has something to tell."""
    row = ImportRow(sku=new_id(), name="A lamp", price=Money(currency_code="EUR", minor_units=-1))
    batch = ImportProductsRequest(store_id=shop.store_id, request_id=new_id(), batch=1, rows=[row])
    return (await shop.imports.ImportProducts(iter([batch]))).product_import.import_id
