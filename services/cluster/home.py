"""The cluster's home: the one directory that holds its data, keys, logs and state.

lock                 held by the running supervisor
keys/ secrets/       the development key, random passwords; 0600
postgres/ nats/      data
run/                 made anew at every start: state.json, envoy.json, nats.conf
logs/                one file per process
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

# What may be there before the first start: keys that were brought, the demo's own home, what every disk has.
_EXPECTED = {"lock", "keys", "secrets", "run", "logs", "demo", "lost+found"}
SECRET_NAME = re.compile(r"[a-z][a-z0-9_]*")


class HomeError(RuntimeError):
    """The home cannot be used; the text says why."""


class Home:
    """Paths and small files of one cluster. Nothing is created before `prepare`."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path or os.environ.get("COMMERCE_HOME") or ".commerce").expanduser().absolute()
        self.run = self.path / "run"
        self.logs = self.path / "logs"
        self.keys = self.path / "keys"
        self.state_file = self.run / "state.json"
        # Touched by the supervisor as long as it looks after its processes.
        self.beat = self.run / "beat"
        self._lock: int | None = None

    def prepare(self) -> None:
        """Creates the directories, closed to others. Raises HomeError where something else is: reset deletes it all."""
        if not self._is_one() and (others := self._others()):
            raise HomeError(
                f"{self.path} is no home of a cluster, and holds {others[0]}: name a directory of its own"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for directory in (self.run, self.logs, self.keys, self.path / "secrets"):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o700)

    def lock(self) -> None:
        """Takes the home for this process until it ends. Raises HomeError when another cluster has it."""
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise HomeError(f"a cluster already runs in {self.path} (process {self.supervisor()})") from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        self._lock = handle

    def unlock(self) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def supervisor(self) -> int | None:
        """The process id of the cluster that runs here, None when there is none."""
        try:
            handle = os.open(self.path / "lock", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(os.read(handle, 20) or b"0") or None
        finally:
            os.close(handle)
        return None

    def _is_one(self) -> bool:
        return (self.path / "lock").is_file() and (self.path / "secrets").is_dir()

    def _others(self) -> list[str]:
        if not self.path.exists():
            return []
        return sorted(each.name for each in self.path.iterdir() if each.name not in _EXPECTED)

    def delete(self) -> None:
        """Deletes the home's directory and all in it. Raises HomeError while a cluster runs there."""
        if not self.path.exists():
            return
        if not self._is_one():
            raise HomeError(f"{self.path} is no home of a cluster: nothing was deleted")
        self.lock()
        shutil.rmtree(self.path)
        self.unlock()

    def secret(self, name: str) -> str:
        """A random secret by name, made when it is first asked for: 32 hexadecimal digits, kept 0600."""
        if not SECRET_NAME.fullmatch(name):
            raise ValueError(f"not a name of a secret: {name!r}")
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, secrets.token_hex(16))
        return path.read_text()

    def write_state(self, state: dict[str, Any]) -> None:
        write_private(self.state_file, json.dumps(state, indent=2) + "\n")

    def state(self) -> dict[str, Any]:
        """What the running cluster last said of itself. Raises HomeError when none runs."""
        if self.supervisor() is None or not self.state_file.exists():
            raise HomeError(f"no cluster runs in {self.path}; start one with: commerce up")
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def write_private(path: Path, text: str) -> None:
    """Replaces a file whole, readable by its owner only."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    fresh.replace(path)
