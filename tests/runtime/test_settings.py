"""A process that was not told enough stops at once and says what is missing."""

import asyncio
import os
import sys

import pytest

from tests.cluster.toys import REPOSITORY

GOOD = {
    "COMMERCE_LISTEN": "127.0.0.1:0",
    "COMMERCE_DATABASE_URL": "postgresql://nobody@/commerce?host=/nowhere",
    "COMMERCE_NATS_URL": "nats://127.0.0.1:1",
    "COMMERCE_JWKS_FILE": "/nowhere/jwks.json",
    "COMMERCE_SERVICE_TOKEN": "x",
    "COMMERCE_PAGE_KEY": "x",
}


async def started(module, settings):
    """The exit code of a service process and what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COMMERCE_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env=inherited | settings,
        cwd=REPOSITORY,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await child.communicate()
    return child.returncode, said.decode()


@pytest.mark.parametrize("missing", GOOD)
async def test_each_setting_that_is_missing_is_named(missing):
    told = {name: value for name, value in GOOD.items() if name != missing}

    assert await started("services.customer", told) == (2, f"{missing}: Field required\n")


async def test_a_setting_that_makes_no_sense_is_named(tmp_path):
    code, said = await started("services.customer", GOOD | {"COMMERCE_CALLS_IN_FLIGHT": "none"})

    assert code == 2
    assert said.startswith("COMMERCE_CALLS_IN_FLIGHT:")
