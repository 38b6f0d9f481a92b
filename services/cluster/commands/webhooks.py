"""`commerce webhooks`: providers' messages that could not be applied, through the gateway's gRPC."""

from __future__ import annotations

import uuid

from commerce.payment.v1 import operations_service_pb2 as rpc
from commerce.payment.v1.operations_service_pb2_grpc import PaymentOperationsServiceStub
from rich.console import Console

from services.cluster.commands.gateway import LISTED, check_gateway, gateway
from services.cluster.home import Home
from services.cluster.output import Output, print_json, print_list, time_of


async def parked(home: Home, output: Output, console: Console) -> None:
    """Prints the messages that could not be applied, and what to type about one of them."""
    request = rpc.ListParkedWebhooksRequest(page_size=LISTED)
    async with gateway(home) as (channel, options):
        reply = await PaymentOperationsServiceStub(channel).ListParkedWebhooks(request, **options)
    records = [*map(_webhook_record, reply.webhooks)]
    more = f"and older ones; these are the newest {LISTED}" if reply.next_page_token else ""
    print_list(
        console, output, reply, records, "no webhook is parked", "webhooks replay GATEWAY EVENT", more=more
    )


async def replay(home: Home, code: str, event_id: str, output: Output, console: Console) -> bool:
    """Has a message applied anew. Return whether it was."""
    request = rpc.ReplayWebhookRequest(gateway=code, event_id=event_id, request_id=str(uuid.uuid4()))
    async with gateway(home) as (channel, options):
        await check_gateway(channel, options, code)
        reply = await PaymentOperationsServiceStub(channel).ReplayWebhook(request, **options)
    problem = reply.webhook.problem
    if output is Output.JSON:
        print_json(reply)
    else:
        said = f"still parked: {event_id}  {problem}" if problem else f"applied: {event_id}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    return not problem


def _webhook_record(each: rpc.ParkedWebhook) -> dict[str, str]:
    return {
        "event": f"{each.gateway} {each.event_id}",
        "problem": each.problem,
        "since": time_of(each.receive_time),
    }
