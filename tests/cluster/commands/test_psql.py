"""`commerce psql`, and the SQL of the runbooks, which comes with the command that runs it."""

import re
import shlex

import pytest

from tests.cluster.toys import REPOSITORY, command
from tests.shop import new_id

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "services").rglob("*.md"))]
STATEMENTS = [
    text
    for page in PAGES
    for text in re.findall(r"`(commerce psql [^`]*)`", page.read_text())
    if " -c " in text
]


@pytest.fixture
def typed(shop):
    async def run(*arguments):
        return await command("psql", *arguments, "--home", str(shop.clients.cluster.home.path))

    return run


async def test_a_statement_is_carried_out_as_the_administrator_and_as_a_service(typed):
    code, out, complaint = await typed("-c", 'SELECT current_user, count(*) FROM "order".orders')
    assert (code, complaint) == (0, "")
    assert " postgres " in out
    code, out, _ = await typed("--role", "catalog", "-c", "SELECT current_user, count(*) FROM products")
    assert code == 0
    assert " catalog " in out


async def test_nothing_is_changed_unless_that_is_asked_for(shop, typed):
    table = f"scratch_{new_id().replace('-', '')}"
    create = f'CREATE TABLE "order".{table} (name text)'
    code, _, complaint = await typed("-c", create)
    assert code == 1
    assert "read-only transaction" in complaint
    assert (await typed("--write", "-c", create))[0] == 0
    assert (await typed("--write", "--role", "order", "-c", f"SELECT 1 FROM {table}"))[0] == 1
    assert (await typed("--write", "-c", f'DROP TABLE "order".{table}'))[0] == 0


async def test_a_role_that_there_is_not_is_named_with_those_that_there_are(typed):
    code, _, complaint = await typed("--role", "king", "-c", "SELECT 1")
    assert code == 1
    assert complaint == "commerce: no role is called king; there are catalog, customer, order, payment\n"


def test_sql_in_the_pages_comes_with_its_command():
    assert len(STATEMENTS) >= 6
    for page in PAGES:
        assert not re.findall(r"`(?:SELECT|UPDATE|DELETE FROM|INSERT INTO) [^`]*`", page.read_text()), page


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda text: text[17:60])
async def test_the_pages_statements_run(typed, statement):
    program, _, *arguments = shlex.split(statement.replace("PRODUCT", new_id()))
    assert program == "commerce"
    code, _, complaint = await typed(*arguments)
    assert code == 0, complaint
