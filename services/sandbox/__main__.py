"""`python -m services.sandbox`: one process, one book."""

import asyncio
import json
import logging
import signal
import sys
import time

from aiohttp import web
from pydantic import ValidationError

from .alarm import Alarm
from .book import Book
from .disputes import Disputes
from .events import Events
from .provider import Provider
from .server import Server
from .settings import Settings
from .settlement import Settlement
from .webhooks import Sender

DRAIN_SECONDS = 5.0

log = logging.getLogger("sandbox")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


async def keep_time(book: Book, alarm: Alarm, provider: Provider, disputes: Disputes) -> None:
    """Moves each charge and dispute on when its time has come; runs until cancelled."""
    while True:
        now = time.time()
        provider.move_due(now)
        disputes.move_due(now)
        await alarm.wait(book.next_decision())


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then answers what is under way and closes the book."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    book = Book(settings.book)
    alarm, events, settlement = Alarm(), Events(book, settings), Settlement(book)
    disputes = Disputes(book, settings, events, settlement, alarm)
    provider = Provider(book, settings, events, settlement, disputes, alarm)
    runner = web.AppRunner(
        Server(settings, provider, disputes, settlement, events).app(),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=DRAIN_SECONDS,
    )
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
    log.info("sandbox listens on %s", settings.listen)
    work = [
        asyncio.create_task(keep_time(book, alarm, provider, disputes)),
        asyncio.create_task(Sender(book, settings, events.bell).run()),
    ]
    stopped = asyncio.create_task(stop.wait())
    # Background work never ends by itself: if it does, the process must end too, loudly.
    await asyncio.wait([stopped, *work], return_when=asyncio.FIRST_COMPLETED)
    await runner.cleanup()
    for task in work:
        task.cancel()
    ended = await asyncio.gather(*work, return_exceptions=True)
    book.close()
    for error in ended:
        if isinstance(error, Exception):
            raise error


def main() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        settings = Settings.model_validate({})
    except ValidationError as error:
        for problem in error.errors():
            name = "COMMERCE_SANDBOX_" + "_".join(map(str, problem["loc"])).upper()
            log.critical("%s: %s", name, problem["msg"])
        sys.exit(2)
    asyncio.run(serve(settings))


main()
