"""The payment service, and the sandbox provider that stands in for a real one."""

from services.runtime.definition import Companion, Definition, Tier

SANDBOX = Companion(
    code="sandbox",
    module="services.sandbox",
    port=7105,
    environment={
        "COMMERCE_SANDBOX_LISTEN": "{listen}",
        "COMMERCE_SANDBOX_BOOK": "{home}/sandbox/book.db",
        "COMMERCE_SANDBOX_API_KEY": "{secret:sandbox_api_key}",
        "COMMERCE_SANDBOX_WEBHOOK_URL": "{gateway}/v1/webhooks/sandbox",
        "COMMERCE_SANDBOX_WEBHOOK_SECRET": "{secret:sandbox_webhook_secret}",
    },
    owner_environment={
        "COMMERCE_SANDBOX_URL": "http://{listen}",
        "COMMERCE_SANDBOX_API_KEY": "{secret:sandbox_api_key}",
        "COMMERCE_SANDBOX_WEBHOOK_SECRET": "{secret:sandbox_webhook_secret}",
    },
    ready_path="/healthz",
    asked_by="COMMERCE_PAYMENT_SANDBOX",
)

DEFINITION = Definition(
    code="payment",
    tier=Tier.OPTIONAL,
    port=7005,
    proto_services=(
        "commerce.payment.v1.PaymentService",
        "commerce.payment.v1.PaymentMethodService",
        "commerce.payment.v1.PaymentSettingsService",
        "commerce.payment.v1.PaymentOperationsService",
        "commerce.payment.v1.LedgerService",
        "commerce.payment.v1.SettlementService",
    ),
    requires=("customer",),
    companions=(SANDBOX,),
    asks_providers=True,
)
