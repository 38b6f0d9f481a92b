"""One supervised process: started, watched until ready, restarted when it dies, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from services.cluster.readiness import Probe

LAUNCH = Path(__file__).with_name("launch.py")
PROBE_INTERVAL_SECONDS = 0.03
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LAST_SECONDS = 5.0
# A process that was ready for this long starts again at the first back-off.
SETTLED_SECONDS = 10.0
# What is silent is asked this often whether it lives. Silent this many times in a row, half a minute, it hangs and is
# restarted: longer than any pause of a process that works, a checkpoint of the disk or somebody's short SIGSTOP, and as
# long as a customer's call may take at most.
ALIVE_EVERY_SECONDS = 5.0
SILENT_PROBES = 6
# What answers is asked so much less often: most processes always do, and each question wakes both.
CALM = 3
LOG_BYTES = 8 * 1024 * 1024
DEADLY = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV}


class State(enum.StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """How to run a process. The command's first word is a full path."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log: Path
    ready: Probe
    # Whether it still answers; None: nobody asks, and only its end restarts it.
    alive: Probe | None = None
    address: str = ""
    user: str = "-"
    stop_signal: signal.Signals = signal.SIGTERM
    # What the kernel sends when the supervisor is gone.
    orphan_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 15.0
    # A machine that starts several clusters takes its time; one that dies is heard of at once.
    start_seconds: float = 60.0
    # How many times it may die before it was ever ready.
    attempts: int = 2


class StartFailed(RuntimeError):
    """A process did not become ready; the text has its last words and names its log."""


@dataclass
class Process:
    """A spec and its life. `changed` is called after every change of state."""

    spec: Spec
    changed: Callable[[], None] = lambda: None
    state: State = State.WAITING
    restarts: int = 0
    # How often of these because it did not answer.
    hangs: int = 0
    pid: int | None = None
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _ever_ready: bool = False
    _life: asyncio.Task[None] | None = None
    _child: asyncio.subprocess.Process | None = None
    _log_start: int = 0
    _hung: bool = False

    @property
    def name(self) -> str:
        return self.spec.name

    async def start(self) -> None:
        """Returns when it is ready. Raises StartFailed. The calling thread must live as long as the process."""
        self._life = asyncio.create_task(self._live(), name=f"process {self.name}")
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait({self._life, ready}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if self._life.done():
            self._life.result()

    async def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Returns when it is (again) ready. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            await self._ready.wait()

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to the process. After a deadly one it is not ready until it was restarted."""
        if self.pid is None:
            raise ProcessLookupError(f"{self.name} is not running")
        if number in DEADLY:
            self._ready.clear()
        os.kill(self.pid, number)

    async def stop(self) -> None:
        """Ends it: the stop signal, then after the grace SIGKILL to all of its group."""
        if self._life is None or self._life.done():
            self._set(State.STOPPED if self.state is not State.FAILED else self.state)
            return
        self._set(State.STOPPING)
        if self._child is None or self._child.returncode is not None:
            self._life.cancel()
        else:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(self.spec.stop_signal)
        try:
            await asyncio.wait({self._life}, timeout=self.spec.grace_seconds)
        finally:
            self._end()
        with contextlib.suppress(StartFailed, asyncio.CancelledError):
            await self._life
        self._set(State.STOPPED)

    def _end(self) -> None:
        if self._child is not None and self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)

    async def _live(self) -> None:
        failures = 0
        while True:
            self._set(State.STARTING if not self._ever_ready else State.RESTARTING)
            child = await self._spawn()
            exit_code, lasted_seconds = await self._watch(child)
            self._ready.clear()
            self.pid = None
            if self.state is State.STOPPING:
                return
            failures = 1 if lasted_seconds > SETTLED_SECONDS and not self._hung else failures + 1
            if not self._ever_ready and failures >= self.spec.attempts:
                self._set(State.FAILED)
                raise StartFailed(self._last_words(exit_code))
            self.restarts += 1
            self._set(State.RESTARTING)
            await asyncio.sleep(backoff_seconds(failures))

    async def _spawn(self) -> asyncio.subprocess.Process:
        spec = self.spec
        launch = [
            sys.executable,
            "-I",
            "-S",
            str(LAUNCH),
            str(os.getpid()),
            str(int(spec.orphan_signal)),
            spec.user,
        ]
        with spec.log.open("ab") as log:
            self._log_start = log.tell()
            creating = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *launch,
                    *spec.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=spec.environment,
                    cwd=spec.directory,
                    start_new_session=True,
                )
            )
            try:
                self._child = child = await asyncio.shield(creating)
            except asyncio.CancelledError:
                # A child whose start was cancelled half-way would be unknown to us.
                self._child = await creating
                self._end()
                raise
        self.pid = child.pid
        self.changed()
        return child

    async def _watch(self, child: asyncio.subprocess.Process) -> tuple[int, float]:
        """Waits for the process to be ready, then to exit: its exit code and how many seconds it was ready."""
        clock = asyncio.get_running_loop().time
        exited = asyncio.create_task(child.wait())
        deadline = clock() + self.spec.start_seconds
        ready_at = clock()
        try:
            while not exited.done():
                if clock() > deadline:
                    self._end()
                    break
                answers = await self._asked(self.spec.ready)
                if answers and not exited.done() and self.state is not State.STOPPING:
                    self._ever_ready = True
                    ready_at = clock()
                    self._ready.set()
                    self._set(State.READY)
                    break
                await asyncio.wait({exited}, timeout=PROBE_INTERVAL_SECONDS)
            await self._watch_over(exited)
            return await asyncio.shield(exited), clock() - ready_at if self._ready.is_set() else 0.0
        finally:
            if not exited.done():
                self._end()

    async def _watch_over(self, exited: asyncio.Task[int]) -> None:
        """Returns when the process has ended, and ends it when it does not answer for too long."""
        self._hung, silent = False, 0
        clock = asyncio.get_running_loop().time
        while self.spec.alive is not None:
            began = clock()
            probe = asyncio.create_task(self._asked(self.spec.alive))
            await asyncio.wait({probe, exited}, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                probe.cancel()
                return
            silent = 0 if probe.result() or self._is_held() else silent + 1
            if silent == SILENT_PROBES and self.state is not State.STOPPING:
                self._hung = True
                self.hangs += 1
                self._log(f"did not answer {silent} times in a row: it hangs and is restarted")
                self._end()
            pause = ALIVE_EVERY_SECONDS * (1 if silent else CALM)
            await asyncio.wait({exited}, timeout=max(0.0, pause - (clock() - began)))

    async def _asked(self, probe: Probe) -> bool:
        """What a probe says; one that fails says no, and ends neither the watch over the process nor its stop."""
        try:
            return await probe()
        except Exception as error:
            self._log(f"could not be asked: {error!r}")
            return False

    def _is_held(self) -> bool:
        """Whether a debugger holds the process."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in status.splitlines())

    def _log(self, text: str) -> None:
        """Adds a line to the process's own log, where people look for what became of it."""
        with contextlib.suppress(OSError), self.spec.log.open("a") as log:
            line = {
                "ts": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
                "level": "error",
                "event": "supervisor",
            }
            log.write(json.dumps(line | {"process": self.name, "said": text}) + "\n")

    def _set(self, state: State) -> None:
        if self.state is not state:
            self.state = state
            self.changed()

    def _last_words(self, exit_code: int) -> str:
        said = last_words(self.spec.log, self._log_start)
        return f"{self.name} did not start ({_exit(exit_code)}); its log is {self.spec.log}\n{said}"


def last_words(log: Path, start: int) -> str:
    """The last lines that a log got since it was `start` bytes long, indented: mostly they name the cause."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read()[-4000:].decode(errors="replace").splitlines()[-12:]
    return "\n".join(f"    {line}" for line in lines)


def backoff_seconds(failures: int) -> float:
    """Doubles from 0.1 to 5 seconds, then anything from half to one and a half of it, so that restarts spread."""
    longest: float = min(BACKOFF_LAST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** (failures - 1))
    return longest * random.uniform(0.5, 1.5)


def bound_log(log: Path) -> None:
    """Moves a log that has grown too large aside. Writers append, so the file is emptied, not renamed."""
    if log.exists() and log.stat().st_size > LOG_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
