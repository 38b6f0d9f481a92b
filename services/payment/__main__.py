"""The payment service: names the parts and runs them."""

from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub

from services.payment.definition import DEFINITION
from services.payment.gateways.configured import gateways as connected
from services.payment.ledger.handlers import LedgerService
from services.payment.ledger.sealer import Sealer
from services.payment.methods.customers import Customers
from services.payment.methods.handlers import PaymentMethodService
from services.payment.operations.handlers import PaymentOperationsService
from services.payment.payments.driver import Driver
from services.payment.payments.handlers import PaymentService
from services.payment.payments.janitor import Janitor
from services.payment.payments.reactions import reactions
from services.payment.settings import PaymentSettings
from services.payment.settlement.handlers import SettlementService
from services.payment.settlement.intake import Settlements
from services.payment.store_settings.handlers import PaymentSettingsService
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
