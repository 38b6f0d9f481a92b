"""A clock that tests set ahead: that of every service, and of the database as services see it. It never goes back.

The provider, who is another company, and whatever is signed keep the machine's time.
"""

from datetime import UTC, datetime
from pathlib import Path

from services.cluster.cluster import Cluster
from tests.shop import Clients

# Found before PostgreSQL's own by whoever has this schema first in the search path.
_SCHEMA = """
CREATE SCHEMA clock;
CREATE TABLE clock.ahead AS SELECT 0::float8 AS seconds;
CREATE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql AS
  'SELECT pg_catalog.now() + make_interval(secs => seconds) FROM clock.ahead';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
  'SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM clock.ahead';
GRANT USAGE ON SCHEMA clock TO PUBLIC;
GRANT SELECT ON clock.ahead TO PUBLIC;
"""
_DEFAULTS = """
SELECT format('ALTER TABLE %I.%I ALTER COLUMN %I SET DEFAULT clock.clock_timestamp()',
  table_schema, table_name, column_name) AS sql
FROM information_schema.columns WHERE column_default = 'clock_timestamp()'
"""


class Clock:
    """What time it is for a cluster that was started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file, self._ahead = file, 0.0
        self._file.write_text("0")
        self.environment = {"COMMERCE_CLOCK": str(file)}

    async def install(self, cluster: Cluster, clients: Clients) -> None:
        """Put the clock into the database, for connections that are made from now on."""
        self._clients = clients
        for sql in _SCHEMA.split(";\n"):
            await clients.rows(sql or "SELECT")
        for row in await clients.rows(_DEFAULTS):
            await clients.rows(row["sql"])
        for definition in cluster.chosen:
            role = definition.code
            await clients.rows(
                f'ALTER ROLE "{role}" SET search_path = clock, pg_catalog, "{role}", extensions'
            )
            await clients.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role
            )

    def now(self) -> datetime:
        """The time that it is for the services."""
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + self._ahead, UTC)

    async def set(self, time: datetime) -> None:
        """Set the clock to a later time."""
        await self.forward((time - self.now()).total_seconds())

    async def forward(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        assert seconds >= 0, "a clock never goes back"
        self._ahead += seconds
        await self._clients.rows("UPDATE clock.ahead SET seconds = $1", self._ahead)
        # Written whole at once: a process may read it at any time.
        whole = self._file.with_suffix(".new")
        whole.write_text(str(self._ahead))
        whole.replace(self._file)
