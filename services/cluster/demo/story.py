"""`commerce demo`: the whole cluster on a home of its own, the story of some orders, the end of it all."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from services.cluster.cluster import Cluster
from services.cluster.commands.progress import Progress
from services.cluster.commands.up import on_signals
from services.cluster.demo import (
    books,
    bulk,
    checkout,
    endings,
    feed,
    money,
    parcels,
    payments,
    pricing,
    screen,
    traces,
)
from services.cluster.demo.clients import Gateway
from services.cluster.demo.provider import Provider
from services.cluster.demo.shop import Shop
from services.cluster.demo.teller import StepFailed, Teller
from services.cluster.home import Home, HomeError
from services.cluster.output import counted
from services.cluster.processes import Process, StartFailed, State

# The demo brings its own servers, and needs every span where it can read it.
NOT_OURS = (
    "COMMERCE_DATABASE_URL",
    "COMMERCE_NATS_URL",
    "COMMERCE_ENVIRONMENT",
    "COMMERCE_PAYMENT_SANDBOX",
    "OTEL_",
)
INTERRUPTED = 130


def main(home: Path | None = None) -> int:
    """Tells the story; the process's exit code is 0 only when every step held.

    The home defaults to `demo` within the usual one: what a running `commerce up` has is left alone, and data
    directories once made serve the next time.
    """
    for name in [name for name in os.environ if name.startswith(NOT_OURS)]:
        del os.environ[name]
    return asyncio.run(_run(Home(home or Home().path / "demo"), Console()))


async def _run(home: Home, console: Console) -> int:
    demo = Demo(home, console)
    on_signals(demo.interrupt)
    return await demo.run()


class Demo:
    """The cluster of one telling, and its end: also when it is interrupted, at whatever moment."""

    def __init__(self, home: Home, console: Console) -> None:
        self._console = console
        self._progress = Progress(console)
        self._cluster = Cluster(home.path, changed=self._changed)
        self._telling: asyncio.Task[int] | None = None
        self._interrupted = self._ending = False

    async def run(self) -> int:
        """Starts the cluster, tells, stops the cluster. The exit code."""
        self._telling = asyncio.create_task(self._tell())
        try:
            code = await self._telling
        except asyncio.CancelledError:
            self._console.print("interrupted; everything is stopped")
            return INTERRUPTED
        return INTERRUPTED if self._interrupted else code

    def interrupt(self) -> None:
        """Ends the telling; asked twice, ends the process, and the kernel ends the children with it."""
        if self._interrupted:
            os._exit(INTERRUPTED)
        self._interrupted = True
        if self._telling is not None and not self._ending:
            self._telling.cancel()

    async def _tell(self) -> int:
        console, began = self._console, time.monotonic()
        console.print(f"[bold]Starting the cluster[/] in {_near(self._cluster.home.path)}", soft_wrap=True)
        try:
            with self._progress:
                await self._cluster.start()
        except (StartFailed, HomeError) as error:
            console.print(f"[red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            return 1
        teller = Teller(console, lambda: not self._interrupted)
        try:
            console.print("\n[bold]The story[/]")
            held = await _story(self._cluster, teller)
        finally:
            self._ending = True
            await self._cluster.stop()
        if not held:
            console.print("everything is stopped; the data is still there")
            return 1
        text = f"{teller.held} steps held, {time.monotonic() - began:.1f} s in all; everything is stopped."
        console.print(f"\n[green]✓[/] {text} [bold]make up[/] starts a cluster that stays.", highlight=False)
        return 0

    def _changed(self) -> None:
        self._progress.update(self._cluster.processes.values())


async def _story(cluster: Cluster, teller: Teller) -> bool:
    """All chapters in order and the last screen; False, and what to look at, at the first step that does not hold."""
    sandbox = Provider(cluster.address("sandbox"), cluster.home.secret("sandbox_api_key"))
    shop = Shop(cluster, teller, Gateway(cluster.gateway_url), sandbox)
    try:
        await checkout.open_store(shop)
        await checkout.greet_customers(shop)
        order_id, *watches = await checkout.confirm(shop)
        await checkout.deliver(shop, order_id, *watches)
        await money.try_cards(shop)
        unpaid = await endings.never_pay(shop)
        await checkout.decline(shop)
        await checkout.last_unit(shop)
        await checkout.retry(shop)
        await money.refund(shop)
        await payments.secure(shop)
        await payments.save_method(shop)
        await payments.set_up(shop)
        await pricing.set_up(shop)
        await parcels.send(shop, await pricing.buy(shop))
        await parcels.take_back(shop)
        await bulk.bring(shop)
        await endings.cancel_in_flight(shop)
        await payments.lose_dispute(shop, order_id)
        await endings.expire(shop, unpaid)
        await payments.hear_silence(shop)
        await money.settle_cards(shop)
        await money.bought(shop)
        await books.reconcile(shop)
        await books.balance(shop)
        await feed.compare(shop)
        await traces.show(shop)
        await screen.show(shop, teller.console)
    except StepFailed as failed:
        await _explain(failed, cluster, teller.console)
        return False
    finally:
        await shop.close()
    return True


async def _explain(failed: StepFailed, cluster: Cluster, console: Console) -> None:
    """Says which step failed and why, whom to suspect, and where the logs are."""
    console.print(
        f"\n[red]✗ {escape(failed.title)}[/]: {escape(str(failed))}", highlight=False, soft_wrap=True
    )
    processes = list(cluster.processes.values())
    for process, well in zip(processes, await asyncio.gather(*map(_is_well, processes)), strict=True):
        if not well or process.restarts:
            what = f"was restarted {counted(process.restarts, 'time')}" if well else "does not answer"
            console.print(
                f"  {process.name} {what}: {_near(process.spec.log)}", highlight=False, soft_wrap=True
            )
    console.print(f"  the logs are in {_near(cluster.home.logs)}", highlight=False, soft_wrap=True)


async def _is_well(process: Process) -> bool:
    return process.state is State.READY and await process.spec.ready()


def _near(path: Path) -> str:
    """A path as seen from where the command was typed, when that is shorter."""
    return escape(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
