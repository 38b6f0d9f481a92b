"""The rules of a tree, for whatever may be asked in whatever order."""

import pytest
from commerce.catalog.v1.catalog_pb2 import Category
from hypothesis import given
from hypothesis import strategies as some

from services.catalog import tree
from services.runtime.refusals import Refusal

TOP = ""
NAMES = ["a", "b", "c", "d", "e", "f"]

moves = some.lists(some.tuples(some.sampled_from(NAMES), some.sampled_from([*NAMES, TOP])), max_size=40)


def path(parents, name):
    found = []
    while name != TOP:
        found.append(name)
        name = parents[name]
        assert len(found) <= len(parents), "a circle"
    return found


def moved(asked):
    """Where each category lies after moves that the rule allowed, and how each of the moves fared."""
    parents, fared = dict.fromkeys(NAMES, TOP), []
    for name, parent in asked:
        above = path(parents, parent)
        try:
            placed = tree.placed(Category(category_id=name, parent_id=parents[name]), parent, above)
        except Refusal:
            fared.append((name, above, False))
        else:
            assert (placed.parent_id, placed.depth) == (parent, len(above) + 1)
            parents[name] = parent
            fared.append((name, above, True))
    return parents, fared


@given(moves)
def test_every_category_is_reached_from_the_top_whatever_was_moved(asked):
    parents, _ = moved(asked)

    for name in NAMES:
        assert path(parents, name)[0] == name


@given(moves)
def test_a_move_is_refused_exactly_when_it_would_close_a_circle(asked):
    for name, above, allowed in moved(asked)[1]:
        assert allowed == (name not in above)


@given(moves, some.permutations(NAMES))
def test_a_list_shows_each_category_once_after_its_parent_and_siblings_by_name(asked, order):
    parents, _ = moved(asked)
    given_ = [Category(category_id=name, parent_id=parents[name], name=name) for name in order]

    shown = tree.depth_first(given_)

    assert sorted(category.category_id for category in shown) == NAMES
    # Depth-first by name is the order of the names on the way to each.
    assert [path(parents, category.category_id)[::-1] for category in shown] == sorted(
        path(parents, name)[::-1] for name in NAMES
    )
    for category in shown:
        assert category.depth == len(path(parents, category.category_id))


@pytest.mark.parametrize("length", [1, 10_000])
def test_a_chain_of_any_length_is_shown(length):
    chain = [
        Category(category_id=str(n), parent_id=str(n - 1) if n else TOP, name="x") for n in range(length)
    ]

    shown = tree.depth_first(reversed(chain))

    assert [category.depth for category in shown] == list(range(1, length + 1))
