"""The books: ours, line by line beside the provider's report, and in sum beside its book."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

from services.cluster.demo.clients import Person, new_id
from services.cluster.demo.shop import Shop, cents, euros, money, sum_of
from services.cluster.demo.teller import expect


async def reconcile(shop: Shop) -> None:
    """Take the provider's report in, of which a line was made wrong."""
    async with shop.teller.step("The day's settlement") as step:
        begin, end = shop.began, math.ceil(time.time()) + 1
        captures = [line for line in await shop.provider.report(begin, end) if line["type"] == "capture"]
        planted = await shop.provider.plant("amount", captures[-1]["idempotency_key"])
        report = await shop.provider.report(begin, end)
        platform = Person(shop.gateway, shop.cluster.token("platform_admin"))
        fetch = {"beginTime": _time(begin), "endTime": _time(end), "requestId": new_id()}
        fetched = await platform.rest("POST", "/v1/gateways/sandbox/settlements:fetch", fetch)
        shop.settlement = settlement = fetched.body["settlement"]
        counts = tuple(int(settlement[each]) for each in ("lines", "matched", "discrepancies"))
        expect("lines, matched, different", counts, (len(report), len(report) - 1, 1))
        sums = [money(sum(line[f"{each}_minor_units"] for line in report)) for each in ("net", "fee")]
        expect("net and fees", [settlement["net"], settlement["fees"]], [[each] for each in sums])
        listed = await shop.admin.rest("GET", shop.path("discrepancies"))
        shop.discrepancies = listed.body["discrepancies"]
        expect("differences", [_planted(each) for each in shop.discrepancies], [_wrong(planted)])
        step.says(
            f"{len(report)} lines fetched, {counts[1]} agree, {euros(cents(sums[1]))} of fees posted;",
            f"the one made wrong is found: {euros(_gross(planted, 'line'))}, "
            f"not {euros(_gross(planted, 'true_line'))}",
        )


async def balance(shop: Shop) -> None:
    async with shop.teller.step("The trial balance") as step:
        charges = await shop.provider.charges(shop.orders)
        captured, refunded, disputed = (
            sum_of(charges, each) for each in ("captured", "refunded", "disputed")
        )
        report = await shop.provider.report(shop.began, math.ceil(time.time()) + 1)
        fees = sum(line["fee_minor_units"] for line in report if line["reference"] in shop.orders)
        reply = await shop.admin.rest("GET", shop.path("ledger:trialBalance"))
        shop.balance = reply.body
        expect("debits less credits", [cents(each) for each in reply.body["differences"]], [0])
        held = {
            each["account"]: cents(each["debits"]) - cents(each["credits"])
            for each in shop.balance["accounts"]
        }
        theirs = captured - refunded - disputed - fees
        expect("cents that the provider owes, ours and its own", held["provider_clearing"], theirs)
        promised = sum_of(charges, "authorized") - sum_of(charges, "voided") - captured
        expect("cents promised, ours and the provider's", held["customer_receivable"], promised)
        chain = (await shop.admin.rest("GET", shop.path("ledger:verify"))).body
        expect("the journal's chain of hashes is intact", chain["intact"], True)
        step.says(
            f"zero; the provider owes {euros(theirs)}, as in its own book:",
            f"{euros(captured)} captured − {euros(refunded)} refunded − {euros(disputed)} disputed "
            f"− {euros(fees)} fees; {chain['number']} transactions in an unbroken chain",
        )


def _planted(found: dict[str, Any]) -> dict[str, Any]:
    """What of a discrepancy was planted."""
    return {each: found[each] for each in ("reason", "lineId", "chargeReference", "ours", "theirs")}


def _wrong(planted: dict[str, Any]) -> dict[str, Any]:
    """The discrepancy that this must be found as."""
    return {
        "reason": "DISCREPANCY_REASON_AMOUNT",
        "lineId": planted["line"]["id"],
        "chargeReference": planted["line"]["charge_id"],
        "ours": money(_gross(planted, "true_line")),
        "theirs": money(_gross(planted, "line")),
    }


def _gross(planted: dict[str, Any], which: str) -> int:
    return int(planted[which]["gross_minor_units"])


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
