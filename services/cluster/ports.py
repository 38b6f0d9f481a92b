"""Ports for the processes of a cluster, so that two clusters never choose the same.

A port is free when nothing listens on it and no other supervisor holds its lock file. The lock closes
the gap between choosing a port and the child binding it, and lasts while the port's child restarts.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

STEP = 10
TRIES = 400


class Ports:
    """The ports that this cluster has claimed; `release` gives them back, so does the process's end."""

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._directory = Path(tempfile.gettempdir()) / f"commerce-ports-{os.geteuid()}"

    def claim(self, preferred: int) -> int:
        """The preferred port when it is free, else the next free one in steps of ten."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for port in range(preferred, min(preferred + STEP * TRIES, 65536), STEP):
            lock = os.open(self._directory / str(port), os.O_RDWR | os.O_CREAT, 0o600)
            if _try_lock(lock) and is_free(port):
                self._locks.append(lock)
                return port
            os.close(lock)
        raise OSError(f"no free port from {preferred} in steps of {STEP}")

    def release(self) -> None:
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
