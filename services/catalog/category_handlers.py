"""CategoryService: one method an RPC, in the order of the contract."""

from commerce.catalog.v1 import catalog_service_pb2 as catalog
from commerce.catalog.v1.catalog_pb2 import Category
from commerce.catalog.v1.catalog_service_pb2_grpc import CategoryServiceServicer

from services.catalog import categories, tree
from services.runtime.ids import new_id
from services.runtime.pages import Pages
from services.runtime.work import Call


class CategoryService(CategoryServiceServicer):
    """The categories of a store: a tree of any depth."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def CreateCategory(
        self, request: catalog.CreateCategoryRequest, call: Call
    ) -> catalog.CreateCategoryResponse:
        store = request.store_id.lower()
        await categories.lock(call.db, store)
        await categories.check_room(call.db, store)
        new = Category(category_id=str(new_id()), store_id=store, name=request.name)
        category = await _put(call, new, request.parent_id)
        return catalog.CreateCategoryResponse(category=category)

    async def RenameCategory(
        self, request: catalog.RenameCategoryRequest, call: Call
    ) -> catalog.RenameCategoryResponse:
        category = await categories.category_locked(call.db, request.category_id, _store(call))
        category.name = request.name
        category = await _put(call, category, category.parent_id)
        return catalog.RenameCategoryResponse(category=category)

    async def MoveCategory(
        self, request: catalog.MoveCategoryRequest, call: Call
    ) -> catalog.MoveCategoryResponse:
        category = await categories.category_locked(call.db, request.category_id, _store(call))
        category = await _put(call, category, request.parent_id)
        return catalog.MoveCategoryResponse(category=category)

    async def ListCategories(
        self, request: catalog.ListCategoriesRequest, call: Call
    ) -> catalog.ListCategoriesResponse:
        found = tree.depth_first(await categories.categories_of(call.db, request.store_id))
        (after,) = self._pages.position(request) or [""]
        page = tree.page(found, after, request.page_size or tree.MOST_CATEGORIES)
        is_last = not page or page[-1] is found[-1]
        more = "" if is_last else self._pages.token(request, [page[-1].category_id])
        return catalog.ListCategoriesResponse(categories=page, next_page_token=more)


async def _put(call: Call, category: Category, parent_id: str) -> Category:
    """Record a category, whose tree is locked, within a parent or at the top."""
    path = await categories.path(call.db, parent_id, category.store_id)
    placed = tree.placed(category, parent_id.lower(), path)
    await categories.record(call.db, placed)
    return placed


def _store(call: Call) -> str | None:
    """The only store whose categories the caller may see; None for a caller of all stores."""
    return call.caller.store_id or None
