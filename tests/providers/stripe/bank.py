"""The page of the customer's bank, where a 3-D Secure challenge is passed or failed."""

import html
import urllib.parse

from aiohttp import web

from . import charging, payment_intents
from .book import Book
from .errors import Json, StripeError

PAGE = """<!doctype html><title>3D Secure 2 Test Page</title><h1>{amount} {currency}</h1>
<form method="post"><button name="outcome" value="pass">Complete</button>
<button name="outcome" value="fail">Fail</button></form>"""


def _intent(book: Book, request: web.Request) -> Json:
    try:
        return payment_intents.by_secret(book, request.match_info["id"], request.query.get("client_secret"))
    except StripeError as error:
        raise web.HTTPNotFound(text=str(error)) from error


def bank_page(book: Book, request: web.Request) -> web.Response:
    intent = _intent(book, request)
    if intent["status"] != "requires_action":
        return web.Response(text="This challenge is over.", status=410)
    page = PAGE.format(amount=intent["amount"], currency=html.escape(intent["currency"].upper()))
    return web.Response(text=page, content_type="text/html")


async def bank_told(book: Book, request: web.Request) -> web.Response:
    """POST outcome=pass or outcome=fail, and the customer is sent back to the merchant's page."""
    intent = _intent(book, request)
    outcome = (await request.post()).get("outcome")
    if outcome not in ("pass", "fail"):
        raise web.HTTPBadRequest(text="outcome is pass or fail")
    if intent["status"] != "requires_action":
        return web.Response(text="This challenge is over.", status=410)
    action = intent["next_action"]
    charging.answered(book, intent, passed=outcome == "pass")
    book.catch_up()
    if action["type"] != "redirect_to_url":
        return web.Response(text=intent["status"])
    good = intent["status"] in ("succeeded", "requires_capture")
    told = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if good else "failed",
    }
    target = action["redirect_to_url"]["return_url"]
    joint = "&" if "?" in target else "?"
    return web.Response(status=302, headers={"Location": f"{target}{joint}{urllib.parse.urlencode(told)}"})
