"""CustomerService: one method per RPC, in the order of the contract."""

from commerce.customer.v1 import customer_service_pb2 as rpc
from commerce.customer.v1.customer_events_pb2 import CustomerCreated, CustomerUpdated
from commerce.customer.v1.customer_pb2 import Customer
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceServicer

from services.customer import queries, rules
from services.runtime import times
from services.runtime.callers import customer_not_found
from services.runtime.ids import LAST_ID, new_id
from services.runtime.pages import Pages
from services.runtime.work import Call


class CustomerService(CustomerServiceServicer):
    """The customers of a store: who they are and how to reach them."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def CreateCustomer(
        self, request: rpc.CreateCustomerRequest, call: Call
    ) -> rpc.CreateCustomerResponse:
        customer = Customer(
            customer_id=str(new_id()),
            store_id=request.store_id.lower(),
            full_name=request.full_name,
            email=request.email,
            phone=request.phone,
            version=1,
        )
        customer.create_time.FromDatetime(times.now())
        customer.update_time.CopyFrom(customer.create_time)
        reply = rpc.CreateCustomerResponse(customer=customer)

        call.publish(CustomerCreated(customer=customer))
        await call.commit(queries.CUSTOMER_CREATED, reply, **queries.values(customer))
        return reply

    async def GetCustomer(self, request: rpc.GetCustomerRequest, call: Call) -> rpc.GetCustomerResponse:
        (row,) = await call.visible(queries.CUSTOMER, customer_not_found, customer_id=request.customer_id)
        return rpc.GetCustomerResponse(customer=queries.customer_of(row))

    async def ListCustomers(self, request: rpc.ListCustomersRequest, call: Call) -> rpc.ListCustomersResponse:
        (before,) = self._pages.position(request) or [LAST_ID]
        rows = await call.db.rows(
            queries.CUSTOMERS_FOUND if request.query else queries.CUSTOMERS,
            store_id=request.store_id,
            pattern=rules.pattern(request.query),
            before=before,
            size=self._pages.size(request) + 1,
        )
        page, more = self._pages.cut(request, rows, lambda last: [str(last["customer_id"])])
        return rpc.ListCustomersResponse(customers=map(queries.customer_of, page), next_page_token=more)

    async def UpdateCustomer(
        self, request: rpc.UpdateCustomerRequest, call: Call
    ) -> rpc.UpdateCustomerResponse:
        (row,) = await call.visible(
            queries.CUSTOMER_LOCKED, customer_not_found, customer_id=request.customer_id
        )
        customer = queries.customer_of(row)

        changed = rules.changed(customer, request)

        if changed.version == customer.version:
            return rpc.UpdateCustomerResponse(customer=customer)
        changed.update_time.FromDatetime(times.now())
        reply = rpc.UpdateCustomerResponse(customer=changed)
        call.publish(CustomerUpdated(customer=changed))
        await call.commit(queries.CUSTOMER_CHANGED, reply, id=changed.customer_id, **queries.values(changed))
        return reply
