"""pgbench, from the PostgreSQL that the cluster runs."""

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from services.cluster.postgres import binaries


class PgbenchFailed(RuntimeError):
    """The script did not run; the text is pgbench's."""


async def per_second(dsn: str, script: Path, clients: int, seconds: float) -> float:
    """Run a script over and over, prepared, and return how often a second it ended."""
    parts = urlsplit(dsn)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = parts.hostname or options["host"]
    environment = os.environ | {"PGPASSWORD": parts.password or options.get("password", "")}
    # The ledger's trigger looks in the schema of whoever writes.
    environment["PGOPTIONS"] = "-c search_path=payment"
    command = [str(binaries() / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={script}"]
    command += [f"--client={clients}", "--jobs=1", f"--time={max(1, round(seconds))}"]
    command += [f"--host={host}", f"--port={parts.port or 5432}", f"--username={parts.username}"]
    process = await asyncio.create_subprocess_exec(
        *command,
        parts.path.strip("/"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    rate = re.search(r"tps = ([\d.]+)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if process.returncode or rate is None or (failed and int(failed[1])):
        raise PgbenchFailed(output[-4000:])
    return float(rate[1])
