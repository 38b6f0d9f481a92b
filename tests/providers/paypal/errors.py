"""PayPal's errors: {name, message, debug_id, details: [{issue, description, field}], links}."""

import secrets
from collections.abc import Sequence
from typing import Any

NAMES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The server does not support the request payload's media type."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
}

DESCRIPTIONS = {
    "ACTION_DOES_NOT_MATCH_INTENT": "The order was created with the other intent.",
    "AMOUNT_MISMATCH": "The amount is not the sum of its breakdown.",
    "AUTHORIZATION_ALREADY_CAPTURED": "Authorization has previously been captured.",
    "AUTHORIZATION_AMOUNT_EXCEEDED": "The amount exceeds what may be reauthorized.",
    "AUTHORIZATION_DENIED": "A denied authorization cannot be captured.",
    "AUTHORIZATION_EXPIRED": "An expired authorization cannot be captured.",
    "AUTHORIZATION_VOIDED": "A voided authorization cannot be captured or reauthorized.",
    "AUTH_CAPTURE_CURRENCY_MISMATCH": "Currency of capture must be the currency of the authorization.",
    "AUTH_CURRENCY_MISMATCH": "Currency of reauthorization must be the currency of the authorization.",
    "CANNOT_BE_VOIDED": "A reauthorization cannot be voided; void the original authorization.",
    "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded.",
    "DUPLICATE_INVOICE_ID": "The invoice_id was used before. Possible duplicate transaction.",
    "DUPLICATE_REQUEST_ID": "The value of PayPal-Request-Id has already been used for another request.",
    "INSTRUMENT_DECLINED": "The instrument was declined by the processor or bank.",
    "INVALID_RESOURCE_ID": "Specified resource ID does not exist.",
    "MAX_CAPTURE_AMOUNT_EXCEEDED": "Capture amount exceeds allowable limit.",
    "MAX_CAPTURE_COUNT_EXCEEDED": "No additional captures are possible for this authorization.",
    "ORDER_ALREADY_AUTHORIZED": "Order already authorized.",
    "ORDER_ALREADY_CAPTURED": "Order already captured.",
    "ORDER_NOT_APPROVED": "Payer has not yet approved the order for payment.",
    "PAYPAL_REQUEST_ID_REQUIRED": "A PayPal-Request-Id is required to process payment for an order.",
    "PENDING_CAPTURE": "Cannot refund a capture that is pending.",
    "PREVIOUSLY_CAPTURED": "Authorization has been captured and cannot be voided.",
    "PREVIOUSLY_VOIDED": "Authorization has been voided and cannot be voided again.",
    "PREVIOUS_REQUEST_IN_PROGRESS": "A previous request on this resource is in progress.",
    "REFUND_AMOUNT_EXCEEDED": "The refund exceeds what is left of the capture.",
    "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the currency of the capture.",
    "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "The capture was charged back.",
    "TOKEN_ID_NOT_FOUND": "Specified token was not found.",
    "TRANSACTION_DISPUTED": "No partial refund while a case on this transaction is open.",
}

# These are spoken of as kinds of refusal by the payer's side; each is an issue with status 422.
DECLINES = frozenset(
    {
        "COMPLIANCE_VIOLATION",
        "INSTRUMENT_DECLINED",
        "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
        "PAYER_ACCOUNT_RESTRICTED",
        "PAYER_CANNOT_PAY",
        "REFUND_FAILED_INSUFFICIENT_FUNDS",
        "TRANSACTION_BLOCKED_BY_PAYEE",
        "TRANSACTION_LIMIT_EXCEEDED",
        "TRANSACTION_REFUSED",
    }
)

Link = dict[str, str]


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self, status: int, issue: str = "", field: str = "", *, name: str = "", links: Sequence[Link] = ()
    ) -> None:
        super().__init__(f"{status} {name or NAMES[status][0]} {issue} {field}".strip())
        self.status, self.issue, self.field, self.links = status, issue, field, list(links)
        self.name = name or NAMES[status][0]

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "name": self.name,
            "message": NAMES[self.status][1],
            "debug_id": secrets.token_hex(7)[:13],
            "links": self.links
            or [{"href": f"https://developer.paypal.com/api/rest/#{self.name}", "rel": "information_link"}],
        }
        if self.issue:
            detail = {"issue": self.issue, "description": DESCRIPTIONS.get(self.issue, self.issue)}
            if self.field:
                detail |= {"field": self.field, "location": "body"}
            body["details"] = [detail]
        return body


def invalid(issue: str, field: str = "") -> Problem:
    return Problem(400, issue, field)


def unprocessable(issue: str, field: str = "", links: Sequence[Link] = ()) -> Problem:
    return Problem(422, issue, field, links=links)


def not_found(field: str = "id") -> Problem:
    return Problem(404, "INVALID_RESOURCE_ID", field)
