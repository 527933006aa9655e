"""Nested dicts, lists, tuples and named tuples of arrays, taken apart and put together again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinygrad_np.errors import ShapeError

__all__ = ["leaves", "map_leaves", "matched", "paths", "rebuild", "refilled"]

_NESTED = (dict, list, tuple)  # one object, since making a union of types takes longer than looking it up


def leaves(tree: Any) -> list[Any]:
    """What a nested structure holds, in order; anything that is no dict, list or tuple is a leaf.

    Examples
    --------
    >>> leaves({"w": [1, 2], "b": (3,)})
    [1, 2, 3]
    """
    if not isinstance(tree, _NESTED):
        return [tree]
    found: list[Any] = []
    for item in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(item, _NESTED):
            found += leaves(item)
        else:
            found.append(item)
    return found


def paths(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf with how to reach it, as one would write it: ``['w'][0]``.

    Examples
    --------
    >>> list(paths({"w": [1, 2], "b": (3,)}))
    [("['w'][0]", 1), ("['w'][1]", 2), ("['b'][0]", 3)]
    """
    if isinstance(tree, dict):
        for key, item in tree.items():
            yield from paths(item, f"{prefix}[{key!r}]")
    elif isinstance(tree, list | tuple):
        for i, item in enumerate(tree):
            yield from paths(item, f"{prefix}[{i}]")
    else:
        yield prefix, tree


def map_leaves(function: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with the function's result in the place of each leaf.

    Examples
    --------
    >>> map_leaves(lambda n: n + 1, {"w": [1, 2], "b": (3,)})
    {'w': [2, 3], 'b': (4,)}
    """
    if tree.__class__ is tuple:
        return tuple([map_leaves(function, x) if isinstance(x, _NESTED) else function(x) for x in tree])
    if not isinstance(tree, _NESTED):
        return function(tree)
    if isinstance(tree, dict):
        items = {key: map_leaves(function, item) for key, item in tree.items()}
        return items if type(tree) is dict else refilled(tree, items)
    results = [map_leaves(function, item) for item in tree]
    return results if type(tree) is list else refilled(tree, results)


def refilled(tree: Any, items: Any) -> Any:
    """A dict, list or tuple of the same class, with the same attributes and other items.

    Examples
    --------
    >>> from collections import OrderedDict
    >>> refilled(OrderedDict(a=1), {"b": 2})
    OrderedDict([('b', 2)])
    """
    if isinstance(tree, tuple):
        try:
            new: Any = tuple.__new__(type(tree), items)  # whatever the class does with its arguments
        except TypeError:  # of a class written in C
            return type(tree)(items)
        getattr(new, "__dict__", {}).update(getattr(tree, "__dict__", {}))
        return new
    like = copy.copy(tree)
    like.clear()
    (like.update if isinstance(tree, dict) else like.extend)(items)
    return like


def rebuild(tree: Any, new_leaves: Sequence[Any]) -> Any:
    """The same structure with other leaves.

    Examples
    --------
    >>> rebuild({"w": [1, 2], "b": (3,)}, [4, 5, 6])
    {'w': [4, 5], 'b': (6,)}
    """
    supply = iter(new_leaves)
    return map_leaves(lambda _: next(supply), tree)


def matched(tree: Any, pattern: Any, path: str = "") -> list[Any]:
    """The leaves of a structure in the order of another one that it has to agree with; dicts agree by key.

    Where the pattern has a leaf, the tree may have anything: a list of numbers stands for an array.

    Raises
    ------
    ShapeError
        If the structures differ; it says where.

    Examples
    --------
    >>> matched({"b": (3,), "w": [1, 2]}, {"w": [0, 0], "b": (0,)})
    [1, 2, 3]
    """
    if isinstance(pattern, dict):
        if not isinstance(tree, dict) or tree.keys() != pattern.keys():
            raise ShapeError(f"{_here(path)}a dict with the keys {list(pattern)} was expected, not {_described(tree)}")
        return [leaf for key, part in pattern.items() for leaf in matched(tree[key], part, f"{path}[{key!r}]")]
    if isinstance(pattern, list | tuple):
        if not isinstance(tree, list | tuple) or len(tree) != len(pattern):
            raise ShapeError(
                f"{_here(path)}a {type(pattern).__name__} of {len(pattern)} was expected, not {_described(tree)}"
            )
        pairs = enumerate(zip(tree, pattern, strict=True))
        return [leaf for i, (item, part) in pairs for leaf in matched(item, part, f"{path}[{i}]")]
    return [tree]


def _here(path: str) -> str:
    return f"at {path}, " if path else ""


def _described(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"one with {list(tree)}"
    if isinstance(tree, list | tuple):
        return f"a {type(tree).__name__} of {len(tree)}"
    return f"{tree.dtype}{tree.shape}" if hasattr(tree, "shape") and hasattr(tree, "dtype") else repr(tree)
