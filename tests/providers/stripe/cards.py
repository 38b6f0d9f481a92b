"""Stripe's test payment methods: https://docs.stripe.com/testing."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Decline:
    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Card:
    brand: str = "visa"
    last4: str = "4242"
    decline: Decline | None = None
    # A card that is declined cannot be attached either, but for chargeCustomerFail.
    attaches: bool = True
    challenge: bool = False
    dispute_reason: str | None = None
    # What a refund to this card becomes: succeeded, or pending until the issuer has taken it.
    refund_status: str = "succeeded"


DECLINED = "Your card was declined."
GENERIC = Decline("card_declined", "generic_decline", DECLINED)
POOR = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


def declined(last4: str, code: str, decline_code: str | None, message: str = DECLINED) -> Card:
    return Card(last4=last4, decline=Decline(code, decline_code, message), attaches=False)


CHALLENGED = Card(last4="3184", challenge=True)

CARDS = {
    "visa": Card(),
    "visa_debit": Card(last4="5556"),
    "mastercard": Card("mastercard", "4444"),
    "amex": Card("amex", "8431"),
    "chargeDeclined": Card(last4="0002", decline=GENERIC, attaches=False),
    "chargeDeclinedInsufficientFunds": Card(last4="9995", decline=POOR, attaches=False),
    "chargeDeclinedLostCard": declined("9987", "card_declined", "lost_card"),
    "chargeDeclinedStolenCard": declined("9979", "card_declined", "stolen_card"),
    "chargeDeclinedFraudulent": declined("0019", "card_declined", "fraudulent"),
    "chargeDeclinedExpiredCard": declined("0069", "expired_card", None, "Your card has expired."),
    "chargeDeclinedIncorrectCvc": declined(
        "0127", "incorrect_cvc", None, "Your card's security code is incorrect."
    ),
    "chargeDeclinedProcessingError": declined(
        "0119",
        "processing_error",
        None,
        "An error occurred while processing your card. Try again in a little bit.",
    ),
    "chargeCustomerFail": Card(last4="0341", decline=GENERIC),
    "authenticationRequired": CHALLENGED,
    "threeDSecure2Required": replace(CHALLENGED, last4="3220"),
    "threeDSecureRequired": replace(CHALLENGED, last4="3063"),
    "threeDSecureOptional": Card(last4="3055"),
    "authenticationRequiredChargeDeclinedInsufficientFunds": replace(CHALLENGED, last4="9995", decline=POOR),
    "createDispute": Card(last4="0259", dispute_reason="fraudulent"),
    "createDisputeProductNotReceived": Card(last4="2685", dispute_reason="product_not_received"),
    "pendingRefund": Card(last4="7726", refund_status="pending"),
    "refundFail": Card(last4="5126"),
}


def card_named(name: str) -> Card | None:
    """The card of `pm_card_visa` or `tok_visa`; None when the name is no test card's."""
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix):
            return CARDS.get(name.removeprefix(prefix))
    return None
