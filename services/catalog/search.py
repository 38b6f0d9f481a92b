"""Which of a store's products a list shows, newest first: SQL with a name.

An index holds the products of each status, and of each category, in the order in which they are shown. Each is read no
further than a page goes and the pages are merged: what a list costs does not depend on how many products it leaves out.
A text is looked for by its parts or in that order, as PostgreSQL sees fit for that text and those categories.
"""

from collections.abc import Sequence

from commerce.catalog.v1.catalog_pb2 import Product
from sqlalchemy import ColumnElement, FromClause, Integer, any_, select, true

from services.catalog.queries import product_of
from services.catalog.tables import products
from services.runtime.columns import SMALLINTS, UUIDS
from services.runtime.database import Runs
from services.runtime.statements import Statement, given, param, statement
from services.runtime.texts import searchable

_p = products.c
_status = given(("status", SMALLINTS), name="status")
_category = given(("category_id", UUIDS), name="category")


def _merged(
    name: str, of: FromClause, *conditions: ColumnElement[bool], fresh_plan: bool = False
) -> Statement:
    """Merge the page that each row of `of` has."""
    page = (
        select(_p.product_id)
        .where(
            _p.store_id == param("store"),
            _p.status == _status.c.status,
            _p.product_id < param("before"),
            *conditions,
        )
        .order_by(_p.product_id.desc())
        .limit(param("size", Integer))
        .lateral("page")
    )
    shown = (
        select(page.c.product_id)
        .select_from(of.join(page, true()))
        .order_by(page.c.product_id.desc())
        .limit(param("size", Integer))
        .subquery("shown")
    )
    rows = select(products).join(shown, shown.c.product_id == _p.product_id).order_by(_p.product_id.desc())
    return statement(rows, name, fresh_plan)


_MATCHES = _p.searchable.like(param("pattern"))
# By whether there are categories, and a text.
_PAGES = {
    (False, False): _merged("products", _status),
    (True, False): _merged(
        "products of categories",
        _status.join(_category, true()),
        _p.category_id == _category.c.category_id,
    ),
    (False, True): _merged("products that match", _status, _MATCHES, fresh_plan=True),
    (True, True): _merged(
        "products of categories that match",
        _status,
        _MATCHES,
        _p.category_id == any_(param("category_id", UUIDS)),
        fresh_plan=True,
    ),
}


async def newest_first(
    db: Runs,
    store: str,
    text: str,
    categories: Sequence[str],
    statuses: Sequence[int],
    before: str,
    size: int,
) -> list[Product]:
    """Return up to `size` of the store's products older than `before`.

    With a text those whose name or SKU contains it, with categories those in one of them.
    """
    wanted = searchable(text)
    rows = await db.rows(
        _PAGES[bool(categories), bool(wanted)],
        store=store,
        status=list(statuses),
        category_id=categories,
        pattern=f"%{_literally(wanted)}%",
        before=before,
        size=size,
    )
    return [product_of(row) for row in rows]


def _literally(text: str) -> str:
    """Take the meaning from the characters that LIKE gives one."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
