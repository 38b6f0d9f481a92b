"""Load from h2load (nghttp2): HTTP/2 and HTTP/1.1 clients that are not Python."""

import asyncio
import re
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import Message

MISSING = """h2load is missing. It is a part of nghttp2:
  Debian, Ubuntu   apt-get install nghttp2-client
  Fedora           dnf install nghttp2
  macOS            brew install nghttp2"""


WARM_UP_SECONDS = 0.2


class LoadFailed(RuntimeError):
    """The load did not run as it should; the text is h2load's."""


@dataclass(frozen=True)
class Load:
    """What to send, over and over: `clients` connections, each with so many streams at once."""

    url: str
    headers: Mapping[str, str]
    body: Path | None = None
    clients: int = 4
    streams: int = 8
    http1: bool = False


def is_there() -> bool:
    """Whether h2load is on the path."""
    return shutil.which("h2load") is not None


def grpc_load(address: str, method: str, request: Message, token: str, body: Path, streams: int = 8) -> Load:
    """A unary gRPC call; the request is written to `body` as gRPC frames it."""
    data = request.SerializeToString()
    body.write_bytes(struct.pack(">BI", 0, len(data)) + data)
    headers = {
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": f"Bearer {token}",
    }
    return Load(f"http://{address}/{method}", headers, body, streams=streams)


async def per_second(load: Load, seconds: float) -> float:
    """Run a load for so long and return the calls a second. Raises LoadFailed when one of them failed."""
    command = [
        "h2load",
        "--duration",
        f"{seconds * 1000:.0f}ms",
        "--warm-up-time",
        f"{WARM_UP_SECONDS * 1000:.0f}ms",
        "--threads",
        "1",
    ]
    command += ["--clients", str(load.clients), "--max-concurrent-streams", str(load.streams)]
    command += ["--h1"] if load.http1 else []
    command += ["--data", str(load.body)] if load.body else []
    for name, value in load.headers.items():
        command += ["--header", f"{name}: {value}"]
    process = await asyncio.create_subprocess_exec(
        *command, load.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    rate = re.search(r"finished in \S+, ([\d.]+) req/s", output)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if rate is None or counts is None or not int(counts[1]) or int(counts[2]) or int(counts[3]):
        raise LoadFailed(output)
    return float(rate[1])
