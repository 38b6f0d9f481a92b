"""What `make up` prints can be pasted: into any shell, from anywhere, with a home of any name."""

import asyncio
import os
import shutil
import socket
import urllib.error
import urllib.request

import pytest
from rich.console import Console

from services.cluster.cluster import Cluster
from services.cluster.commands import card
from services.cluster.home import Home

SHELLS = ["sh", "dash", "bash", "zsh", "busybox"]


@pytest.fixture(scope="module")
async def shown(tmp_path_factory):
    """A cluster in a home whose name wants quotes, and its card as a narrow pipe gets it."""
    home = tmp_path_factory.mktemp("card") / 'my shop\'s "home" $HOME'
    async with Cluster(home) as cluster:
        console = Console(width=40, force_terminal=False)
        with console.capture() as capture:
            card.show(console, Home(home), cluster.status())
        yield capture.get()


def paste_of(shown):
    begin = shown.index("export PATH")
    return shown[begin : shown.index("\n", shown.index('commerce trace "$ORDER"'))]


@pytest.mark.parametrize("shell", SHELLS)
async def test_is_pasted_into_any_shell(shown, shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    words = [shell, "sh"] if shell == "busybox" else [shell]
    child = await asyncio.create_subprocess_exec(
        *words,
        # A fresh terminal: none of the clone's programs on the path.
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8", "COLUMNS": "100"},
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaint = await asyncio.wait_for(child.communicate(paste_of(shown).encode() + b"\n"), 60)
    said = out.decode()
    assert child.returncode == 0, complaint.decode()
    assert complaint.decode().strip() == ""
    assert '"onHand"' in said
    assert '"minorUnits":"3998"' in said.replace(" ", "")
    assert "ORDER_STATE_CONFIRMED" in said
    assert "CreateOrder" in said


async def test_every_address_opens_or_is_told_what_speaks_there(shown):
    rows = [line.split(maxsplit=2) for line in shown.splitlines() if line.startswith("  ") and "://" in line]
    spoken = {row[0]: row[1:] for row in rows}
    for name in ("gateway", "sandbox"):
        with pytest.raises(urllib.error.HTTPError):
            await asyncio.to_thread(urllib.request.urlopen, spoken[name][0], timeout=5)
    for line in shown.splitlines():
        for code in ("customer", "catalog", "order", "payment"):
            if line.startswith(f"  {code} "):
                address, speaks = line.split()[1:3]
                assert speaks == "gRPC"
                host, _, port = address.rpartition(":")
                await asyncio.to_thread(lambda at: socket.create_connection(at, 5).close(), (host, int(port)))
    assert "OTLP" in shown and "PostgreSQL" in shown and "NATS" in shown
    assert os.linesep in shown
