"""The order service's README: its diagram is that of the rules, it names everything, its commands run as written."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from services.order import life
from services.order.definition import DEFINITION
from services.runtime.contract import files
from tests.cluster.toys import REPOSITORY
from tools.life import diagram

README = (REPOSITORY / "services/order/README.md").read_text()


def test_draws_the_life_of_an_order():
    assert diagram(life.LIFE, life.STATES, life.START) in README


def test_names_every_rpc_event_and_file():
    named = set(re.findall(r"\w+", README))
    for file in files().file:
        if file.name == "commerce/order/v1/order_events.proto":
            assert {message.name for message in file.message_type} - {"OrderReference"} <= named
        for service in file.service:
            if f"{file.package}.{service.name}" in DEFINITION.proto_services:
                assert {service.name, *(method.name for method in service.method)} <= named
    told = {path.name for path in (REPOSITORY / "services/order").glob("[a-z]*.py")}
    assert told - {"definition.py", "tables.py"} <= set(re.findall(r"\w+\.py", README))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's calls are made with curl")
async def test_its_commands_run_as_written_one_after_the_other(shop):
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    told = {
        "COMMERCE_HOME": str(shop.clients.cluster.home.path),
        "GATEWAY": shop.clients.cluster.gateway_url,
        "STORE": shop.store_id,
        "TOKEN": shop.token,
        "PRODUCT": await shop.product(price=1999, stock=10),
        "CUSTOMER": await shop.customer(),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "NO_COLOR": "1",
    }
    uuid = "uuid() { python3 -c 'import uuid; print(uuid.uuid4())'; }\n"
    child = await asyncio.create_subprocess_exec(
        *["bash", "-e", "-o", "pipefail", "-c", uuid + "".join(blocks)],
        env=os.environ | told,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(child.communicate(), 90)

    said = out.decode()
    assert child.returncode == 0, said
    assert re.search(r'^data: .*"state":"ORDER_STATE_CONFIRMED".*"resumeToken":"[^"]+"', said, re.M)
    assert re.search('"step":"return_part","state":"ORDER_STATE_DELIVERED"', said)
    # 59.97 less 10 % and with shipping, less a third of the goods.
    assert '"totalSpent":{"currencyCode":"EUR","minorUnits":"4088"}' in said
    assert re.search("waits +for its", said)
    assert "tried again: " in said
    assert re.search(" CANCELLED .* trace .* Changed my mind", said)
    assert "react OrderCancelled" in said


async def test_its_queries_run_as_written(shop):
    order_id = await shop.order(state="CONFIRMED")
    (row,) = await shop.clients.rows('SELECT customer_id FROM "order".orders WHERE order_id = $1', order_id)
    queries = re.findall("psql -c '(SELECT .*?)'", README)
    assert len(queries) == 4
    for query in queries:
        found = await shop.clients.rows(query)
        assert row["customer_id"] not in [each.get("customer_id") for each in found]
    (epoch,) = [query for query in queries if "max(feed)" in query]
    assert [tuple(found) for found in await shop.clients.rows(epoch)] == [(1,)]
