"""The payment service: names the parts and runs them."""

from services.payment.definition import DEFINITION
from services.payment.driver import Driver
from services.payment.handlers import PaymentService
from services.payment.janitor import Janitor
from services.payment.ledger_handlers import LedgerService
from services.payment.reactions import reactions
from services.payment.registry import Gateways
from services.payment.sandbox_gateway import SandboxGateway
from services.payment.settings import PaymentSettings
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""
    settings = PaymentSettings.load()
    gateways = Gateways([SandboxGateway(settings)])
    driver = Driver(runtime, gateways, settings.provider_timeout_seconds)
    return Parts(
        handlers=[PaymentService(driver, gateways), LedgerService()],
        reactions=reactions(driver),
        workers=[Janitor(runtime, driver)],
        on_stop=[gateways.close],
    )


if __name__ == "__main__":
    run(DEFINITION, build)
