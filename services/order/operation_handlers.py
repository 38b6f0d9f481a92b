"""OperationsService: one method per RPC, in the order of the contract."""

from commerce.order.v1 import operations_service_pb2 as rpc
from commerce.order.v1.operations_service_pb2_grpc import OperationsServiceServicer

from services.order import driving_rules, life, rules, situations
from services.order.driver import Driver
from services.runtime.pages import DEFAULT_SIZE
from services.runtime.times import now
from services.runtime.work import Call


class OperationsService(OperationsServiceServicer):
    """What operators see and do about orders that do not move."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def ListStuckOrders(
        self, request: rpc.ListStuckOrdersRequest, call: Call
    ) -> rpc.ListStuckOrdersResponse:
        size = request.page_size or DEFAULT_SIZE
        rows = await call.db.rows(situations.ORDERS_STUCK, size=size)
        return rpc.ListStuckOrdersResponse(orders=[situations.situation_of(row, now()) for row in rows])

    async def ExplainOrder(self, request: rpc.ExplainOrderRequest, call: Call) -> rpc.ExplainOrderResponse:
        (row,) = await call.visible(situations.SITUATION, rules.not_found, order_id=request.order_id)
        return rpc.ExplainOrderResponse(situation=situations.situation_of(row, now()))

    async def RetryOrder(self, request: rpc.RetryOrderRequest, call: Call) -> rpc.RetryOrderResponse:
        (row,) = await call.visible(situations.SITUATION_LOCKED, rules.not_found, order_id=request.order_id)
        state = row["state"]
        if state not in driving_rules.DRIVEN:
            message = f"The driver has nothing to do for an order that is {life.name_of(state)}"
            raise life.not_allowed("retry", state, message)

        await call.db.rows(situations.ORDER_RETRIED, order_id=request.order_id)

        call.after_commit(self._driver.wake)
        (row,) = await call.visible(situations.SITUATION, rules.not_found, order_id=request.order_id)
        return rpc.RetryOrderResponse(situation=situations.situation_of(row, now()))
