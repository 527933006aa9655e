"""Nested dicts, lists, tuples and named tuples of arrays, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["leaves", "map_leaves", "paths", "rebuild"]


def leaves(tree: Any) -> list[Any]:
    """What a nested structure holds, in order; anything that is no dict, list or tuple is a leaf.

    Examples
    --------
    >>> leaves({"w": [1, 2], "b": (3,)})
    [1, 2, 3]
    """
    return [leaf for _, leaf in paths(tree)]


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
    if isinstance(tree, dict):
        return {key: map_leaves(function, item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [map_leaves(function, item) for item in tree]
        return type(tree)._make(items) if hasattr(tree, "_make") else type(tree)(items)
    return function(tree)


def rebuild(tree: Any, new_leaves: list[Any]) -> Any:
    """The same structure with other leaves.

    Examples
    --------
    >>> rebuild({"w": [1, 2], "b": (3,)}, [4, 5, 6])
    {'w': [4, 5], 'b': (6,)}
    """
    supply = iter(new_leaves)
    return map_leaves(lambda _: next(supply), tree)
