"""Nested structures of arrays: taken apart, put together again, matched with one another."""

from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_np.errors import ShapeError
from tinygrad_np.trees import leaves, map_leaves, matched, paths, rebuild

Layer = namedtuple("Layer", ["weight", "bias"])

TREES = st.recursive(
    st.integers(),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(st.text("abc", max_size=2), parts, max_size=3),
        st.builds(Layer, parts, parts),
    ),
    max_leaves=8,
)


def reversed_dicts(tree: Any) -> Any:
    """The same structure with the keys of every dict in the opposite order."""
    if isinstance(tree, dict):
        return {key: reversed_dicts(tree[key]) for key in reversed(tree)}
    if isinstance(tree, list | tuple):
        items = [reversed_dicts(item) for item in tree]
        return type(tree)._make(items) if hasattr(tree, "_make") else type(tree)(items)
    return tree


def structure(tree: Any) -> Any:
    """A structure with nothing in it, and with the types of what it is made of."""
    if isinstance(tree, dict):
        return dict, [(key, structure(item)) for key, item in tree.items()]
    return (type(tree), [structure(item) for item in tree]) if isinstance(tree, list | tuple) else None


@given(TREES)
def test_a_structure_rebuilt_from_its_leaves_is_the_same(tree: Any) -> None:
    again = rebuild(tree, leaves(tree))
    assert again == tree
    assert structure(again) == structure(tree)


@given(TREES)
def test_paths_are_how_one_would_reach_each_leaf(tree: Any) -> None:
    assert [leaf for _, leaf in paths(tree)] == leaves(tree)
    for path, leaf in paths(tree):
        assert eval(f"tree{path}", {"tree": tree}) == leaf


@given(TREES)
def test_mapping_changes_the_leaves_only(tree: Any) -> None:
    mapped = map_leaves(str, tree)
    assert leaves(mapped) == [str(n) for n in leaves(tree)]
    assert structure(mapped) == structure(tree)


@given(TREES)
def test_matching_goes_by_key_whatever_the_order_of_a_dict(tree: Any) -> None:
    assert matched(reversed_dicts(tree), tree) == leaves(tree)


@pytest.mark.parametrize("kind", [OrderedDict, lambda items: defaultdict(list, items)], ids=["ordered", "default"])
def test_a_special_dict_stays_what_it_is(kind: Any) -> None:
    tree = kind([("w", [1, 2]), ("b", 3)])
    doubled = map_leaves(lambda n: 2 * n, tree)
    assert type(doubled) is type(tree)
    assert doubled == {"w": [2, 4], "b": 6}
    assert tree == {"w": [1, 2], "b": 3}
    assert getattr(doubled, "default_factory", None) is getattr(tree, "default_factory", None)


def test_strings_none_and_arrays_are_leaves() -> None:
    x = np.ones((2, 3))
    assert leaves(["text", None, (x,)])[:2] == ["text", None]
    assert leaves((x,))[0] is x


def test_nothing_has_no_leaves() -> None:
    assert leaves([{}, (), []]) == []
    assert rebuild([{}, (), []], []) == [{}, (), []]


def test_where_the_pattern_has_a_leaf_anything_goes() -> None:
    assert matched({"w": [1.0, 2.0]}, {"w": np.zeros(2)}) == [[1.0, 2.0]]
    assert matched([[1, 2], (3, 4)], (None, None)) == [[1, 2], (3, 4)]


def test_a_list_matches_a_tuple_of_its_length() -> None:
    assert matched([1, (2, 3)], (4, [5, 6])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("tree", "pattern", "message"),
    [
        ({"w": 1}, {"w": 1, "b": 2}, r"a dict with the keys \['w', 'b'\] was expected, not one with \['w'\]"),
        ([1, {"b": 2}], [1, {"w": 2}], r"at \[1\], a dict with the keys \['w'\] was expected, not one with \['b'\]"),
        (np.ones(2), {"w": 1}, r"a dict with the keys \['w'\] was expected, not float64\(2,\)"),
        ({"w": (1, 2)}, {"w": [1]}, r"at \['w'\], a list of 1 was expected, not a tuple of 2"),
        (5, (1, 2), "a tuple of 2 was expected, not 5"),
    ],
)
def test_structures_that_differ_are_an_error_that_says_where(tree: Any, pattern: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        matched(tree, pattern)


def test_refilled_keeps_the_class_and_attributes_of_a_tuple_whatever_its_arguments_are():
    class Range(tuple):
        def __new__(cls, low, high):
            return super().__new__(cls, (low, high))

    bounds = Range(1, 2)
    bounds.unit = "m"
    doubled = map_leaves(lambda n: n * 2, bounds)
    assert (type(doubled), tuple(doubled), doubled.unit) == (Range, (2, 4), "m")
