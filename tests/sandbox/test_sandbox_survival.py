import asyncio
import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from typing import Any

import aiohttp

from tests.shop import WAIT_SECONDS, eventually


async def post_until_killed(merchant, sent, answered):
    """Charges, and captures of half of them, until the provider is gone."""
    while True:
        key = f"charge-{len(sent)}"
        sent[key] = ("/v1/charges", {"reference": key})
        try:
            reply = answered[key] = await merchant.charge(key=key, reference=key)
            if random.random() < 0.5:
                capture = f"capture-{key}"
                sent[capture] = (f"/v1/charges/{reply.body['id']}/capture", {"amount_minor_units": 700})
                answered[capture] = await merchant.post(*sent[capture], key=capture)
        except aiohttp.ClientError:
            return


async def _has(answered, number):
    return len(answered) >= number


async def repeat(merchant, key, path, body):
    if path == "/v1/charges":
        return await merchant.charge(key=key, **body)
    return await merchant.post(path, body, key=key)


async def test_a_kill_loses_no_answer_and_repeats_no_effect(open_sandbox):
    merchant = open_sandbox()
    sent: dict[str, Any] = {}
    answered: dict[str, Any] = {}
    for _ in range(3):
        known = len(answered)
        clients = [asyncio.create_task(post_until_killed(merchant, sent, answered)) for _ in range(16)]
        await eventually(partial(_has, answered, known + 50))
        await asyncio.sleep(random.uniform(0, 0.1))
        merchant.sandbox.kill()
        await asyncio.gather(*clients)
        await asyncio.to_thread(merchant.sandbox.start)

        for key in random.sample(sorted(answered), 50):
            assert (await merchant.operation(key)).status == 200

    for key, (path, body) in sent.items():
        again = await repeat(merchant, key, path, body)
        assert again.status == 200
        if key in answered:
            assert again.headers["Idempotent-Replayed"] == "true"
            assert again.raw == answered[key].raw

    book = {charge["idempotency_key"]: charge for charge in await merchant.book()}
    charges = {key for key in sent if not key.startswith("capture-")}
    assert len(await merchant.book()) == len(charges)
    assert book.keys() == charges
    for key, charge in book.items():
        assert charge["captured_minor_units"] == (700 if f"capture-{key}" in sent else 0)


async def test_a_silent_request_is_not_silent_again_after_a_restart(open_sandbox):
    merchant = open_sandbox()
    with_key = await merchant.silence("silent_before", "silent")
    merchant.sandbox.kill()
    await asyncio.gather(with_key, return_exceptions=True)
    await asyncio.to_thread(merchant.sandbox.start)

    assert (await merchant.operation("silent")).status == 404
    assert (await merchant.charge("silent_before", key="silent")).body["status"] == "authorized"


def test_a_missing_setting_stops_the_process_and_is_named():
    environment = {name: value for name, value in os.environ.items() if "SANDBOX" not in name}
    command = [sys.executable, "-m", "services.sandbox"]
    ended = subprocess.run(
        command, check=False, env=environment, stderr=subprocess.PIPE, timeout=WAIT_SECONDS
    )

    assert ended.returncode == 2
    for name in ("LISTEN", "BOOK", "API_KEY", "WEBHOOK_URL", "WEBHOOK_SECRET"):
        assert f"COMMERCE_SANDBOX_{name}".encode() in ended.stderr


# The first book there was, with a charge that is authorized and its operation.
OLD_BOOK = """
CREATE TABLE charges (row INTEGER PRIMARY KEY, id, idempotency_key, reference, payment_method, currency_code,
    amount_minor_units, status, decline_code, authorized_minor_units, captured_minor_units,
    refunded_minor_units, voided_minor_units, created, decide_at REAL);
CREATE TABLE operations (
    idempotency_key TEXT PRIMARY KEY, operation TEXT, charge_id TEXT, request TEXT,
    outcome TEXT, http_status INTEGER, answer BLOB
) WITHOUT ROWID;
CREATE TABLE webhooks (
    row INTEGER PRIMARY KEY, event_id TEXT, body BLOB, attempts INTEGER NOT NULL DEFAULT 0, due REAL
);
INSERT INTO charges VALUES (1, 'ch_old', 'old', 'order-old', 'pm_sandbox_ok', 'EUR', 1999, 'authorized',
    NULL, 1999, 0, 0, 0, 1700000000, NULL);
INSERT INTO operations VALUES ('old', 'authorize', 'ch_old', 'the request', 'authorized', 200,
    CAST('{}' AS BLOB));
INSERT INTO webhooks (event_id, body, due) VALUES ('evt_old', CAST('{"type": "charge.authorized"}' AS BLOB), 0);
"""


async def test_an_old_book_is_brought_up_to_date_and_goes_on(open_sandbox, receiver, tmp_path):
    with closing(sqlite3.connect(tmp_path / "book.db")) as book:
        book.executescript(OLD_BOOK)
    merchant = open_sandbox(receiver.url)

    [charge] = await merchant.book()
    assert (charge["id"], charge["disputed_minor_units"], charge["expires"]) == ("ch_old", 0, None)
    found = (await merchant.operation("old")).body
    assert (found["status"], found["operation_reference"]) == ("authorized", None)
    await receiver.has("charge.authorized")
    captured = await merchant.post("/v1/charges/ch_old/capture", {"amount_minor_units": 1999})
    assert captured.body["operation_reference"].startswith("cap_")
    merchant.sandbox.kill()
    await asyncio.to_thread(merchant.sandbox.start)
    [line] = (await merchant.get("/v1/settlement")).body["lines"]
    assert line["charge_id"] == "ch_old"


def test_shares_of_more_than_one_whole_stop_the_process(tmp_path):
    settings = {
        "LISTEN": "127.0.0.1:9",
        "BOOK": str(tmp_path / "book.db"),
        "API_KEY": "key",
        "WEBHOOK_URL": "",
        "WEBHOOK_SECRET": "secret",
        "UNKNOWN_SHARE": "0.5",
        "LATE_SHARE": "0.6",
    }
    environment = {
        **os.environ,
        **{f"COMMERCE_SANDBOX_{name}": value for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "services.sandbox"]
    ended = subprocess.run(
        command, check=False, env=environment, stderr=subprocess.PIPE, timeout=WAIT_SECONDS
    )
    assert ended.returncode == 2
    assert b"COMMERCE_SANDBOX_LATE_SHARE" in ended.stderr
