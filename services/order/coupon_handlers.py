"""CouponService: one method per RPC, in the order of the contract."""

from commerce.order.v1 import coupon_service_pb2 as rpc
from commerce.order.v1.coupon_service_pb2_grpc import CouponServiceServicer

from services.order import coupons
from services.runtime.ids import LAST_ID, new_id
from services.runtime.pages import Pages
from services.runtime.work import Call


class CouponService(CouponServiceServicer):
    """The coupons of a store."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def CreateCoupon(self, request: rpc.CreateCouponRequest, call: Call) -> rpc.CreateCouponResponse:
        values = coupons.created(request, str(new_id()))
        row = await call.db.row(coupons.COUPON_CREATED, **values)
        if row is None:
            raise await coupons.taken(call.db, values["store_id"], values["code"])
        return rpc.CreateCouponResponse(coupon=coupons.coupon_of(row))

    async def GetCoupon(self, request: rpc.GetCouponRequest, call: Call) -> rpc.GetCouponResponse:
        (row,) = await call.visible(coupons.COUPON, coupons.not_found, coupon_id=request.coupon_id)
        return rpc.GetCouponResponse(coupon=coupons.coupon_of(row))

    async def ListCoupons(self, request: rpc.ListCouponsRequest, call: Call) -> rpc.ListCouponsResponse:
        (before,) = self._pages.position(request) or [LAST_ID]
        rows = await call.db.rows(
            coupons.COUPONS,
            store_id=request.store_id,
            before=before,
            size=self._pages.size(request) + 1,
        )
        page, more = self._pages.cut(request, rows, lambda last: [str(last["coupon_id"])])
        return rpc.ListCouponsResponse(coupons=map(coupons.coupon_of, page), next_page_token=more)

    async def DisableCoupon(self, request: rpc.DisableCouponRequest, call: Call) -> rpc.DisableCouponResponse:
        await call.visible(coupons.COUPON, coupons.not_found, coupon_id=request.coupon_id)
        (row,) = await call.db.rows(coupons.COUPON_DISABLED, coupon_id=request.coupon_id)
        return rpc.DisableCouponResponse(coupon=coupons.coupon_of(row))
