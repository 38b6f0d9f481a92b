"""What the tests ask of the local Stripe."""

KEY, SECRET = "sk_test_contract", "whsec_contract"
VISA = "pm_card_visa"
MANUAL = {"payment_method_types": ["card"], "capture_method": "manual", "confirm": True}
SEVERAL = {"payment_method_options": {"card": {"request_multicapture": "if_available"}}}


async def authorized(client, amount=1000, **more):
    wanted = {"amount": amount, "currency": "eur", "payment_method": VISA, **MANUAL, **more}
    return await client.v1.payment_intents.create_async(wanted)


def told(error):
    return error.json_body["error"]
