"""PaymentMethodService: one method an RPC, in the order of the contract."""

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import payment_method_service_pb2 as rpc
from commerce.payment.v1.payment_method_service_pb2_grpc import PaymentMethodServiceServicer

from services.payment.gateways.registry import Gateways
from services.payment.methods import queries
from services.payment.methods.customers import Customers
from services.payment.rules.outcomes import Method, NotSent, Refused, Unknown
from services.runtime import logs
from services.runtime.database import Row, Runs
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from services.runtime.times import now
from services.runtime.work import Call

AGAIN_SECONDS = 1.0


class PaymentMethodService(PaymentMethodServiceServicer):
    """How customers pay. Providers are asked before the transaction begins."""

    def __init__(self, gateways: Gateways, customers: Customers, db: Runs) -> None:
        """`db` reads outside of any transaction."""
        self._gateways, self._customers, self._db = gateways, customers, db

    async def SavePaymentMethod(
        self, request: rpc.SavePaymentMethodRequest, call: Call
    ) -> rpc.SavePaymentMethodResponse:
        customer_id = call.caller.own_customer(request.customer_id)
        whose = {"customer_id": customer_id, "store_id": request.store_id.lower()}
        code = self._gateways.of_token(request.token).code
        await self._customers.check(call.caller, **whose)
        shown = await self._shown(code, request.token, request.store_id)
        kept = await _kept(call, whose)
        if len(kept) >= queries.MOST and request.token not in {row["token"] for row in kept}:
            raise _too_many()
        row = await call.db.row(
            queries.METHOD_SAVED,
            **whose,
            payment_method_id=new_id(),
            gateway=code,
            token=request.token,
            create_time=now(),
            **{name: getattr(shown, name) for name in queries.SHOWN},
        )
        assert row is not None
        if request.make_default or not kept:
            row = await _prefer(call, row)
        return rpc.SavePaymentMethodResponse(payment_method=queries.method_of(row))

    async def ListPaymentMethods(
        self, request: rpc.ListPaymentMethodsRequest, call: Call
    ) -> rpc.ListPaymentMethodsResponse:
        customer_id, store_id = call.caller.own_customer(request.customer_id), call.caller.store_id
        rows = await (
            call.db.rows(queries.METHODS_IN_STORE, customer_id=customer_id, store_id=store_id)
            if store_id
            else call.db.rows(queries.METHODS, customer_id=customer_id)
        )
        return rpc.ListPaymentMethodsResponse(payment_methods=map(queries.method_of, rows))

    async def SetDefaultPaymentMethod(
        self, request: rpc.SetDefaultPaymentMethodRequest, call: Call
    ) -> rpc.SetDefaultPaymentMethodResponse:
        customer_id = call.caller.own_customer(request.customer_id)
        await call.db.rows(queries.CUSTOMER_LOCKED, customer_id=customer_id)
        (row,) = await call.visible(
            queries.METHOD,
            queries.not_found,
            customer_id=customer_id,
            payment_method_id=request.payment_method_id,
        )
        row = await _prefer(call, row)
        return rpc.SetDefaultPaymentMethodResponse(payment_method=queries.method_of(row))

    async def RemovePaymentMethod(
        self, request: rpc.RemovePaymentMethodRequest, call: Call
    ) -> rpc.RemovePaymentMethodResponse:
        customer_id, method_id = call.caller.own_customer(request.customer_id), request.payment_method_id
        (row,) = await call.visible(
            queries.METHOD,
            queries.not_found,
            db=self._db,
            customer_id=customer_id,
            payment_method_id=method_id,
        )
        await self._forget(row)
        await call.db.rows(queries.CUSTOMER_LOCKED, customer_id=customer_id)
        if not await call.db.rows(queries.METHOD_REMOVED, payment_method_id=method_id):
            raise queries.not_found(method_id)
        kept = await _kept(call, {"customer_id": customer_id, "store_id": row["store_id"]})
        if kept and not kept[0]["preferred"]:
            await _prefer(call, kept[0])
        return rpc.RemovePaymentMethodResponse()

    async def _shown(self, code: str, token: str, store_id: str) -> Method:
        """Ask what customers know a payment method by. Refused with PAYMENT_METHOD_REFUSED or GATEWAY_UNAVAILABLE."""
        gateway = self._gateways.named(code)
        shown = (
            await gateway.method(token, store_id) if gateway.abilities.saved_methods else Refused("unable")
        )
        if isinstance(shown, Unknown | NotSent):
            raise _unavailable(code, shown.cause)
        if isinstance(shown, Refused):
            raise Refusal(
                ErrorReason.ERROR_REASON_PAYMENT_METHOD_REFUSED,
                "The provider knows no such payment method, or does not keep it",
                gateway=code,
            )
        return shown

    async def _forget(self, row: Row) -> None:
        """Have the provider forget a payment method that nobody else keeps. Refused with GATEWAY_UNAVAILABLE."""
        code, token = row["gateway"], row["token"]
        (used,) = await self._db.rows(queries.METHOD_USED, payment_method_id=row["payment_method_id"])
        if used["now"]:
            raise _unavailable(code, "a payment with it is under way")
        if used["elsewhere"]:
            return
        forgotten = await self._gateways.named(code).forget(token, str(row["store_id"]))
        if isinstance(forgotten, Unknown | NotSent):
            raise _unavailable(code, forgotten.cause)
        if forgotten is not None:
            # The customer's word counts here; what stays there a person must see to.
            logs.log.error("the provider keeps a method", gateway=code, code=forgotten.code)


async def _kept(call: Call, whose: dict[str, str]) -> list[Row]:
    """Lock a customer's payment methods, and return those of a store: the preferred one, then the newest first."""
    await call.db.rows(queries.CUSTOMER_LOCKED, customer_id=whose["customer_id"])
    return await call.db.rows(queries.METHODS_IN_STORE, **whose)


async def _prefer(call: Call, row: Row) -> Row:
    whose = {"customer_id": row["customer_id"], "store_id": row["store_id"]}
    await call.db.rows(queries.NONE_PREFERRED, **whose)
    (preferred,) = await call.db.rows(queries.METHOD_PREFERRED, payment_method_id=row["payment_method_id"])
    return preferred


def _too_many() -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_PAYMENT_METHODS_TOO_MANY,
        f"A customer keeps at most {queries.MOST} payment methods",
        limit=queries.MOST,
    )


def _unavailable(code: str, cause: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE,
        "The provider cannot be asked now",
        retry_seconds=AGAIN_SECONDS,
        gateway=code,
        cause=cause,
    )
