"""The README: its commands run as written, and its table of services is whole."""

import asyncio
import json
import os
import re
import shutil
import sys

import pytest

from services.runtime.contract import files
from tests.cluster.toys import REPOSITORY, command

README = (REPOSITORY / "README.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's calls are made with curl")
async def test_its_commands_run_as_written_one_after_the_other(tmp_path):
    # The first block starts clusters; the others are for one that runs.
    _, *blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    up = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "services.cluster", "up", "--home", str(tmp_path)],
        env=os.environ | {"NO_COLOR": "1"},
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert up.stdout is not None
    try:
        while b"Ctrl-C stops everything" not in await asyncio.wait_for(up.stdout.readline(), 60):
            pass
        _, status, _ = await command("status", "-o", "json", "--home", str(tmp_path))
        script = "".join(blocks).replace("http://127.0.0.1:8080", json.loads(status)["gateway"])
        python = script.partition("python <<'END'\n")[2].partition("END\n")[0]
        said = await run(script + AGAIN.format(python=python), str(tmp_path))
    finally:
        up.terminate()
        await asyncio.wait_for(up.communicate(), 60)
    assert '"state": "ORDER_STATE_CONFIRMED"' in said  # buf curl
    said, _, again = said.partition("and again\n")
    assert "DELIVERED" in again
    assert "first make an order, with the calls above" in again
    assert "accepted" not in again
    error = json.loads(again[again.index('{"code"') : again.rindex("}") + 1])
    example = json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0])
    assert shape(error) == shape(example)
    assert "accepted 39.98 EUR" in said
    assert "2 rows: 2 created" in said
    assert [int(number) for number in re.findall(r'^data: .*?"sequence":"(\d)"', said, re.M)] == [
        2,
        3,
        4,
        5,
        6,
    ]
    assert "react OrderAccepted" in said
    assert "no order is stuck" in said
    assert "for nothing: it is at the door" in said
    assert "there are no dead letters" in said


# The same example once more: when the order has ended, and when there is none; then the call that the error is of.
AGAIN = """
echo and again
cat > "$COMMERCE_HOME/example.py" <<'END'
{python}END
python "$COMMERCE_HOME/example.py"
env -u ORDER python "$COMMERCE_HOME/example.py" 2>&1 || true
curl -sS "$GATEWAY/v1/orders/$(uuid)" -H "Authorization: Bearer $TOKEN"
"""


def shape(content):
    """The keys of an error, and the values that programs decide by."""
    if isinstance(content, dict):
        return {
            key: value if key in ("code", "@type", "reason", "domain") else shape(value)
            for key, value in content.items()
        }
    return [shape(each) for each in content] if isinstance(content, list) else type(content)


async def run(script, home):
    child = await asyncio.create_subprocess_exec(
        *["bash", "-e", "-o", "pipefail", "-c", script],
        env=os.environ | {"COMMERCE_HOME": home, "NO_COLOR": "1"},
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(child.communicate(), 90)
    assert child.returncode == 0, out.decode()
    return out.decode()


def test_names_every_service():
    named = set(re.findall(r"\w+", README))
    assert {service.name for file in files().file for service in file.service} <= named
