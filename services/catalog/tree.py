"""The tree of a store's categories: where each may lie, and in which order they are shown. Pure."""

from collections.abc import Collection, Iterable, Sequence

from commerce.catalog.v1.catalog_pb2 import Category
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.refusals import Refusal
from services.runtime.texts import searchable

MOST_CATEGORIES = 10_000
# Half of what a client takes by default: in JSON, which the gateway makes of it, a reply is twice as long.
MOST_BYTES = 2_000_000


def placed(category: Category, parent_id: str, path: Collection[str]) -> Category:
    """Return the category as one of a parent, or of the top; the path holds the parent and all that it lies in.

    Refused with CATEGORY_CYCLE when the category is on that path itself.
    """
    if category.category_id in path:
        raise Refusal(
            ErrorReason.ERROR_REASON_CATEGORY_CYCLE,
            f"The category {parent_id} lies in {category.category_id}, or is that itself",
            category_id=category.category_id,
            parent_id=parent_id,
        )
    return Category(
        category_id=category.category_id,
        store_id=category.store_id,
        parent_id=parent_id,
        name=category.name,
        depth=len(path) + 1,
    )


def depth_first(categories: Iterable[Category]) -> list[Category]:
    """Return the categories of a store with their depths: each after its parent, those of one parent by name."""
    within: dict[str, list[Category]] = {}
    for category in sorted(categories, key=_by_name, reverse=True):
        within.setdefault(category.parent_id, []).append(category)
    shown: list[Category] = []
    # The last one is shown next.
    waiting = within.get("", [])
    depths = {"": 0}
    while waiting:
        category = waiting.pop()
        category.depth = depths[category.category_id] = depths[category.parent_id] + 1
        shown.append(category)
        waiting += within.get(category.category_id, [])
    return shown


def page(shown: Sequence[Category], after: str, size: int) -> list[Category]:
    """Return up to `size` categories after the one with an id, or from the start, as far as a reply has room."""
    start = next((n for n, each in enumerate(shown, 1) if each.category_id == after), 0)
    found, room = [], MOST_BYTES
    for category in shown[start : start + size]:
        room -= category.ByteSize() + 4
        if room < 0:
            break
        found.append(category)
    return found


def _by_name(category: Category) -> tuple[str, str]:
    return searchable(category.name), category.name
