"""A supervisor of the toy cluster: says "up", stays until SIGTERM. Its death is what some tests are about."""

import asyncio
import signal
import sys

from services.cluster.cluster import Cluster
from tests.cluster.toys import TOYS, configure


async def main(home: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Cluster(home, definitions=TOYS, configure=configure):
        print("up", flush=True)
        await stop.wait()


asyncio.run(main(sys.argv[1]))
