"""A gRPC client that costs next to nothing: it speaks just enough HTTP/2 (RFC 9113) to send calls and count replies.

h2load repeats one body; where each call must differ (a request_id is one order) this takes its place. Headers are
encoded once, replies are told apart by their frames; a call costs its process about a tenth of what grpc.aio takes.
"""

import asyncio
import struct
import time
from collections.abc import Callable

from google.protobuf.message import Message

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS, _CANCEL = 0x1, 0x1, 0x4, 8
_WINDOW_BYTES = 2**31 - 1
_FIRST_WINDOW_BYTES = 65_535
_OK = b"grpc-status\x010"
_COME_BACK = b"grpc-status\x018"

Answer = Callable[[bytes | None], None]  # Takes a message, and None at the end of the stream.


class CallFailed(RuntimeError):
    """A call ended with another status than OK, or its connection broke."""


class Connection(asyncio.Protocol):
    """One HTTP/2 connection to a gRPC server. A failed call is kept in `failures` and raised by `check`.

    Where `patient`, being told to come back (RESOURCE_EXHAUSTED) is no failure: such a call ends without a message.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.patient = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answers: dict[int, Answer] = {}
        self._partial: dict[int, bytes] = {}
        self._next = 1
        self._window = _FIRST_WINDOW_BYTES
        self._waiting: list[tuple[bytes, bytes, Answer]] = []

    @classmethod
    async def to(cls, address: str) -> "Connection":
        """Connect to host:port."""
        host, _, port = address.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    def call(self, headers: bytes, request: bytes, answer: Answer) -> int:
        """Send a call: headers of `head`, a request as bytes. Returns its stream.

        When the server's window is full the call waits, and 0 is returned.
        """
        if self._waiting or self._window < len(request) + 5:
            self._waiting.append((headers, request, answer))
            return 0
        return self._send(headers, request, answer)

    def cancel(self, stream: int) -> None:
        """Want no more of a call; its answer is not told of an end."""
        if self._answers.pop(stream, None) is not None and self._transport is not None:
            self._transport.write(_frame(_RESET, 0, stream, _CANCEL.to_bytes(4, "big")))

    def check(self) -> None:
        """Raise CallFailed when a call has failed."""
        if self.failures:
            raise CallFailed(f"{len(self.failures)} calls failed, the first with {self.failures[0]}")

    def close(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self, headers: bytes, request: bytes, answer: Answer) -> int:
        assert self._transport is not None
        stream, self._next = self._next, self._next + 2
        self._answers[stream] = answer
        self._window -= len(request) + 5
        head = _frame(_HEADERS, _END_HEADERS, stream, headers)
        body = _frame(_DATA, _END_STREAM, stream, struct.pack(">BI", 0, len(request)) + request)
        self._transport.write(head + body)
        return stream

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # No table of headers, so that a status can be read as it is; a window that never fills; no push.
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WINDOW_BYTES)
        window = struct.pack(">I", _WINDOW_BYTES - _FIRST_WINDOW_BYTES)
        transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, window))

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at, size = 0, len(received)
        while size - at >= 9:
            length = int.from_bytes(received[at : at + 3], "big")
            if size - at < 9 + length:
                break
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            self._frame(received[at + 3], received[at + 4], stream, bytes(received[at + 9 : at + 9 + length]))
            at += 9 + length
        del received[:at]

    def connection_lost(self, error: Exception | None) -> None:
        for answer in list(self._answers.values()):
            self.failures.append(f"a broken connection ({error})")
            answer(None)
        self._answers.clear()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._data(stream, self._partial.pop(stream, b"") + payload)
        elif kind == _HEADERS:
            if flags & _END_STREAM:
                well = _OK in payload or (self.patient and _COME_BACK in payload)
                self._ended(stream, "" if well else repr(payload))
        elif kind == _WINDOW and not stream:
            self._window += int.from_bytes(payload, "big")
            while self._waiting and self._window >= len(self._waiting[0][1]) + 5:
                self._send(*self._waiting.pop(0))
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            assert self._transport is not None
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _RESET:
            self._ended(stream, f"RST_STREAM {payload.hex()}")
        elif kind == _GO_AWAY:
            self.failures.append(f"GOAWAY {payload!r}")

    def _data(self, stream: int, data: bytes) -> None:
        """Hand over whole messages, and keep what has come of the next."""
        at, size = 0, len(data)
        while size - at >= 5:
            end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
            if end > size:
                break
            if answer := self._answers.get(stream):
                answer(data[at + 5 : end])
            at = end
        if at < size:
            self._partial[stream] = data[at:]

    def _ended(self, stream: int, failure: str) -> None:
        answer = self._answers.pop(stream, None)
        if answer is None:
            return
        if failure:
            self.failures.append(failure)
        answer(None)


def head(address: str, method: str, token: str, *more: tuple[str, str]) -> bytes:
    """Encode the headers of a call (HPACK, every field a literal that is not indexed)."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/{method}"),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", f"Bearer {token}"),
        *more,
    ]
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def _string(text: str) -> bytes:
    data = text.encode()
    size, prefix = len(data), b""
    if size < 127:
        return bytes([size]) + data
    size, prefix = size - 127, b"\x7f"
    while size >= 128:
        prefix += bytes([size % 128 | 128])
        size //= 128
    return prefix + bytes([size]) + data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


async def once(connection: Connection, headers: bytes, request: Message) -> bytes:
    """Make one call and return its reply. Raises CallFailed."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reply = bytearray()

    def answer(message: bytes | None) -> None:
        if message is not None:
            reply.extend(message)
        elif not done.done():
            done.set_result(None)

    connection.call(headers, request.SerializeToString(), answer)
    await done
    connection.check()
    return bytes(reply)


async def keep_calling(
    connection: Connection, headers: bytes, request: Callable[[], bytes], at_once: int, seconds: float
) -> float:
    """Keep so many calls on their way; how many a second were answered. Raises CallFailed."""
    answered, on_the_way = 0, 0
    end = time.monotonic() + seconds
    over = asyncio.Event()

    def go() -> None:
        nonlocal on_the_way
        on_the_way += 1
        connection.call(headers, request(), answer)

    def answer(message: bytes | None) -> None:
        nonlocal answered, on_the_way
        if message is not None:
            return
        on_the_way -= 1
        if time.monotonic() < end and not connection.failures:
            answered += 1
            go()
        elif not on_the_way:
            over.set()

    for _ in range(at_once):
        go()
    await over.wait()
    connection.check()
    return answered / seconds
