"""A stand-in for a service: health only, and what it was told, as JSON on its log's first line."""

import asyncio
import json
import os
import signal
import sys

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


async def main() -> None:
    told = {name: value for name, value in os.environ.items() if name.startswith(("COMMERCE_", "OTEL_"))}
    print(json.dumps(told), file=sys.stderr, flush=True)
    if "COMMERCE_TOY_FAILS" in os.environ:
        sys.exit("COMMERCE_TOY_SETTING is missing")
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["COMMERCE_LISTEN"])
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(1)


asyncio.run(main())
