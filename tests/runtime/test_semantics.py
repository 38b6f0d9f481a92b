"""What is told of statements, servers and routes, in the words of the semantic conventions."""

import pytest

from services.runtime import semantics


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT a.x FROM a JOIN b ON a.id = b.id", "SELECT a b"),
        ("INSERT INTO a (x) VALUES ($1) ON CONFLICT DO UPDATE SET x = 1", "INSERT a"),
        ("SELECT * FROM a WHERE id = $1 FOR UPDATE SKIP LOCKED", "SELECT a"),
        ("SELECT * FROM a FOR NO KEY UPDATE", "SELECT a"),
        (
            "WITH new AS \n(INSERT INTO a (x) SELECT x FROM unnest($1) AS given RETURNING x) "
            "UPDATE b SET x = new.x FROM new",
            "INSERT a UPDATE b",
        ),
        ("DELETE FROM a WHERE x IN (SELECT x FROM b)", "DELETE a SELECT b"),
        ("SELECT pg_advisory_xact_lock($1)", "SELECT"),
        ("SELECT x FROM LATERAL (SELECT 1) AS y", "SELECT"),
    ],
)
def test_a_statement_in_short(sql, summary):
    assert semantics.summary_of(sql) == summary
    assert semantics.query(sql)["db.operation.name"] == summary.split()[0]


def test_a_long_statement_is_cut_at_a_table():
    summary = semantics.summary_of(" UNION ".join(f"SELECT * FROM table_{number}" for number in range(100)))
    assert len(summary) <= 255
    assert summary.split()[-2] == "SELECT"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("127.0.0.1:7003", {"server.address": "127.0.0.1", "server.port": 7003}),
        ("dns:///payment:7005", {"server.address": "payment", "server.port": 7005}),
        ("[::1]:7003", {"server.address": "::1", "server.port": 7003}),
        ("https://api.example/v1", {"server.address": "api.example"}),
        ("127.0.0.1:7003,127.0.0.1:7103", {}),
    ],
)
def test_who_is_asked(address, told):
    assert semantics.server(address) == told


@pytest.mark.parametrize(
    ("dsn", "told"),
    [
        (
            "postgresql://order:secret@db.example:5433/commerce",
            {"db.namespace": "commerce|order", "server.address": "db.example", "server.port": 5433},
        ),
        (
            "postgresql://order:secret@/commerce?host=/run/pg",
            {"db.namespace": "commerce|order", "server.address": "/run/pg"},
        ),
        ("postgresql://order@one,two/commerce", {"db.namespace": "commerce|order"}),
    ],
)
def test_a_database_without_its_password(dsn, told):
    assert semantics.database(dsn) == {"db.system.name": "postgresql", **told}
