"""PayPal: Orders v2 and Payments v2, vault, disputes, transaction reports, webhooks."""
