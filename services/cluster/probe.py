"""Exits 0 when a process is ready: `python -m services.cluster.probe [ADDRESS PATH]`.

Without arguments: gRPC health of the service that listens, in this container, on COMMERCE_LISTEN.
ADDRESS PATH: a GET there answers 200.
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from services.cluster import readiness


async def main(arguments: Sequence[str]) -> int:
    match arguments:
        case []:
            port = os.environ["COMMERCE_LISTEN"].rpartition(":")[2]
            probe = readiness.grpc_health(f"127.0.0.1:{port}")
        case [address, path]:
            probe = readiness.http(address, path)
        case _:
            sys.exit(__doc__)
    return 0 if await probe() else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
