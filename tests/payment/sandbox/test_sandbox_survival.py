import asyncio
import os
import random
import subprocess
import sys
from typing import Any

import aiohttp


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


async def repeat(merchant, key, path, body):
    if path == "/v1/charges":
        return await merchant.charge(key=key, **body)
    return await merchant.post(path, body, key=key)


async def test_a_kill_loses_no_answer_and_repeats_no_effect(open_sandbox):
    merchant = open_sandbox()
    sent: dict[str, Any] = {}
    answered: dict[str, Any] = {}
    for _ in range(3):
        clients = [asyncio.create_task(post_until_killed(merchant, sent, answered)) for _ in range(16)]
        await asyncio.sleep(random.uniform(0.2, 0.5))
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
    assert len(answered) > 50


async def test_a_silent_request_is_not_silent_again_after_a_restart(open_sandbox):
    merchant = open_sandbox()
    with_key = asyncio.create_task(merchant.charge("silent_before", key="silent"))
    await asyncio.sleep(0.3)
    merchant.sandbox.kill()
    await asyncio.gather(with_key, return_exceptions=True)
    await asyncio.to_thread(merchant.sandbox.start)

    assert (await merchant.operation("silent")).status == 404
    assert (await merchant.charge("silent_before", key="silent")).body["status"] == "authorized"


def test_a_missing_setting_stops_the_process_and_is_named():
    environment = {name: value for name, value in os.environ.items() if "SANDBOX" not in name}
    command = [sys.executable, "-m", "services.payment.sandbox"]
    ended = subprocess.run(command, check=False, env=environment, stderr=subprocess.PIPE, timeout=20)

    assert ended.returncode == 2
    for name in ("LISTEN", "BOOK", "API_KEY", "WEBHOOK_URL", "WEBHOOK_SECRET"):
        assert f"COMMERCE_SANDBOX_{name}".encode() in ended.stderr
