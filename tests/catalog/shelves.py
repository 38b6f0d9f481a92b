"""Categories, short to write, and what the database holds of them."""

import asyncio

import grpc
from commerce.catalog.v1.catalog_service_pb2 import (
    CreateCategoryRequest,
    ListCategoriesRequest,
    MoveCategoryRequest,
    RenameCategoryRequest,
)

from services.runtime.refusals import reason_of
from tests.shop import new_id


def create(shop, name="Lamps", parent="", **given):
    values = {"store_id": shop.store_id, "name": name, "parent_id": parent, "request_id": new_id()}
    return CreateCategoryRequest(**(values | given))


def rename(category_id, name):
    return RenameCategoryRequest(category_id=category_id, name=name, request_id=new_id())


def move(category_id, parent=""):
    return MoveCategoryRequest(category_id=category_id, parent_id=parent, request_id=new_id())


async def shelf(shop, name="Lamps", parent=""):
    """A new category's id."""
    return (await shop.category.CreateCategory(create(shop, name, parent))).category.category_id


async def page(shop, **given):
    return await shop.category.ListCategories(ListCategoriesRequest(store_id=shop.store_id, **given))


async def listed(shop):
    return (await page(shop)).categories


async def outline(shop):
    """The store's tree in words: each category's name, indented by a dot for each one that it lies in."""
    return ["." * (category.depth - 1) + category.name for category in await listed(shop)]


async def answers(*calls):
    """How calls at once fare: OK, or the reason of a refusal."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    for each in ended:
        if isinstance(each, BaseException) and not isinstance(each, grpc.aio.AioRpcError):
            raise each
    return [reason_of(each) if isinstance(each, grpc.aio.AioRpcError) else "OK" for each in ended]


async def chain(shop, length):
    """The ids of so many categories, each within the one before."""
    rows = await shop.clients.rows(
        "WITH ids AS MATERIALIZED (SELECT n, gen_random_uuid() AS id FROM generate_series(1, $2::int) AS n) "
        "INSERT INTO catalog.categories (category_id, store_id, parent_id, name) "
        "SELECT id, $1, lag(id) OVER (ORDER BY n), 'Level ' || n FROM ids ORDER BY n RETURNING category_id",
        shop.store_id,
        length,
    )
    return [str(row["category_id"]) for row in rows]


async def many(shop, number, letters=0):
    """So many categories at the top, whose names have so many letters more."""
    await shop.clients.rows(
        "INSERT INTO catalog.categories (category_id, store_id, name) "
        "SELECT gen_random_uuid(), $1, 'Shelf ' || n || repeat('棚', $3) FROM generate_series(1, $2::int) AS n",
        shop.store_id,
        number,
        letters,
    )
