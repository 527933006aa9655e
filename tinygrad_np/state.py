"""Arrays that outlive a call: changed in place where `tinygrad_np.compile` sees it, saved and loaded by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.graph import capturing
from tinygrad_np.rules.handlers import plain
from tinygrad_np.trees import map_leaves

__all__ = ["fitting", "flattened", "joined", "kept", "named", "on_tape"]

T = TypeVar("T")


def on_tape(tree: Any, *, transient: bool = False) -> Any:
    """Arrays to read and to write to with ``out=``: themselves or, during a capture, what stands in for them.

    What changes from call to call belongs into arrays, never into Python numbers, and goes through here (or through
    ``t.data`` of a Tensor, which does the same): then a compiled function reads and changes it as the function does.

    Parameters
    ----------
    tree : array, or nested lists, tuples and dicts of arrays
        Anything else in it stays as it is.
    transient : bool
        Whether the content does not outlive the call, as that of arrays that are only computed in.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> calls = np.zeros(())
    >>> @tg.compile
    ... def counted(x):
    ...     count = on_tape(calls)
    ...     np.add(count, 1, out=count)
    ...     return x * count
    >>> counted(np.ones(2)), counted(np.ones(2))
    (array([1., 1.]), array([2., 2.]))
    """
    tape = capturing.get()
    return tree if tape is None else map_leaves(functools.partial(_stand_in, tape, transient=transient), tree)


def _stand_in(tape: Any, leaf: Any, *, transient: bool) -> Any:
    return tape.storage(leaf, transient=transient) if isinstance(leaf, np.ndarray) else leaf


def kept(tensors: Iterable[Any]) -> Callable[[], None]:
    """What puts the arrays of these tensors back to what they are now."""
    before = [(t, t.data.copy()) for t in tensors]

    def put_back() -> None:
        for t, array in before:
            np.copyto(t.data, array)

    return put_back


def joined(path: tuple[Any, ...]) -> str:
    """A path of keys as one name, with dots.

    Examples
    --------
    >>> joined(("layers", 0, "weight"))
    'layers.0.weight'
    """
    return ".".join(map(str, path))


def named(found: Iterable[tuple[tuple[Any, ...], T]]) -> dict[str, T]:
    """What was found at these paths of keys, by its name.

    Raises
    ------
    ShapeError
        If two paths have one name.

    Examples
    --------
    >>> named([(("a", 0), "x"), (("a", "b"), "y")])
    {'a.0': 'x', 'a.b': 'y'}
    >>> named([(("a", 0), "x"), (("a", "0"), "y")])
    Traceback (most recent call last):
    tinygrad_np.errors.ShapeError: what is at ('a', 0) and at ('a', '0') would both be called 'a.0': rename one of them
    """
    by_name: dict[str, T] = {}
    origin: dict[str, tuple[Any, ...]] = {}
    for path, value in found:
        name = joined(path)
        if name in by_name:
            raise ShapeError(
                f"what is at {origin[name]} and at {path} would both be called {name!r}: rename one of them"
            )
        by_name[name], origin[name] = value, path
    return by_name


def flattened(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts as one, with the keys joined by dots.

    Raises
    ------
    ShapeError
        If two names would be the same.

    Examples
    --------
    >>> flattened({"groups": {"0": {"lr": 0.1}}, "count": 3})
    {'groups.0.lr': 0.1, 'count': 3}
    """
    return named(_paths((), tree))


def _paths(path: tuple[Any, ...], tree: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from _paths((*path, key), item)
    else:
        yield path, tree


def fitting(owner: str, kind: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The given arrays in the order of one's own, if they have the same names, shapes and dtypes.

    Parameters
    ----------
    owner, kind : str
        Who loads them, for the error: such as "Sequential" and "model".
    own, given : mapping of str to array or Tensor

    Raises
    ------
    ShapeError
        If names are missing or unknown, or shapes differ; lists all of them.
    DtypeError
        If dtypes differ; lists all of them.

    Examples
    --------
    >>> import numpy as np
    >>> fitting("Dense", "model", {"bias": np.zeros(2)}, {"bias": np.ones(2)})
    {'bias': array([1., 1.])}
    """
    arrays = {name: np.asarray(plain(value)) for name, value in given.items()}
    fits = [(name, mine, arrays[name]) for name, mine in own.items() if name in arrays]
    problems = [f"{name} is missing" for name in own if name not in arrays]
    problems += [f"{name} is not in the {kind}" for name in arrays if name not in own]
    problems += [f"{n} is {a.shape} in the {kind} and {b.shape} here" for n, a, b in fits if a.shape != b.shape]
    if problems:
        raise ShapeError(f"load_state_dict of {owner}: {'; '.join(problems)}")
    problems = [f"{n} is {a.dtype} in the {kind} and {b.dtype} here" for n, a, b in fits if a.dtype != b.dtype]
    if problems:
        raise DtypeError(f"load_state_dict of {owner}: {'; '.join(problems)}; convert with .astype")
    return {name: array for name, _, array in fits}
