"""The catalog's README: its diagram is that of the rules, and its commands run as written."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from services.catalog import rules
from tests.cluster.toys import REPOSITORY
from tools.life import diagram

README = (REPOSITORY / "services/catalog/README.md").read_text()


def test_draws_the_life_of_a_reservation():
    assert diagram(rules.LIFE, rules.STATES) in README


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's calls are made with curl")
async def test_its_commands_run_as_written_one_after_the_other(replicas):
    shop = replicas[0]
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    told = {
        "COMMERCE_HOME": str(shop.clients.cluster.home.path),
        "GATEWAY": shop.clients.cluster.gateway_url,
        "STORE": shop.store_id,
        "TOKEN": shop.token,
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
    assert '"available":8' in said
    assert re.search(r'^data: .*"onHand":8', said, re.M)
    assert '"reason":"broken"' in said
    assert "PRODUCT_STATUS_ARCHIVED" in said
    assert re.search('"updated": ?1,', said) and re.search('"field": ?"name"', said)
    assert "there are no dead letters" in said
