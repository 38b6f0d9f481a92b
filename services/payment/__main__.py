"""The payment service: names the parts and runs them."""

from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub

from services.payment.customers import Customers
from services.payment.definition import DEFINITION
from services.payment.driver import Driver
from services.payment.handlers import PaymentService
from services.payment.janitor import Janitor
from services.payment.ledger_handlers import LedgerService
from services.payment.method_handlers import PaymentMethodService
from services.payment.operation_handlers import PaymentOperationsService
from services.payment.providers import gateways as connected
from services.payment.reactions import reactions
from services.payment.sealer import Sealer
from services.payment.settings import PaymentSettings
from services.payment.settings_handlers import PaymentSettingsService
from services.payment.settlement_handlers import SettlementService
from services.payment.settlements import Settlements
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""
    settings = PaymentSettings.load()
    gateways = connected(settings)
    customers = Customers(CustomerServiceStub(runtime.channel("customer")))
    driver = Driver(runtime, gateways, settings.provider_timeout_seconds)
    return Parts(
        handlers=[
            PaymentService(driver, gateways, runtime.database, runtime.pages),
            PaymentMethodService(gateways, customers, runtime.database),
            PaymentSettingsService(gateways),
            PaymentOperationsService(driver, gateways, runtime.pages),
            LedgerService(runtime.pages),
            SettlementService(Settlements(runtime, gateways), runtime.pages),
        ],
        reactions=reactions(driver),
        workers=[Janitor(runtime, driver, gateways), Sealer(runtime)],
        on_stop=[gateways.close],
    )


if __name__ == "__main__":
    run(DEFINITION, build)
