"""Stripe, through its own SDK: payment intents, refunds, disputes, balance transactions, webhooks."""
