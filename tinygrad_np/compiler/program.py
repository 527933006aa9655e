"""A Program: what a captured function computes, as a flat list of NumPy calls on numbered values.

Every call makes new values and changes none (single assignment). What the function wrote in place, such as a
parameter, is in `stores`: which value each of those arrays has in the end.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from tinygrad_np.signatures import function_name
from tinygrad_np.trees import leaves, map_leaves

__all__ = ["Call", "Program", "Value", "Wrapped", "is_flat", "replaced", "spelled", "values_in"]


@dataclass(eq=False, slots=True)
class Value:
    """An array that takes part in a program.

    Attributes
    ----------
    number : int
        In the order of capture; what a printed program calls it by.
    kind : str
        "input": an argument of the function. "storage": an array that exists outside of the program, such as a
        parameter, whose content may change between runs. "constant": an array that does not. "grad": the gradient that
        a leaf has when the program starts. "result": made by a call.
    shape, dtype, strides
        As they were during capture, and are on every run.
    is_array : bool
        Whether it is an ndarray, and not a NumPy scalar.
    source : Any
        Where an input, storage, constant or grad is found; a result that was made of constants alone.
    owner : Value or None
        Whose memory it looks into, if it is a view.
    """

    number: int
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]
    is_array: bool
    source: Any = None
    owner: Value | None = None

    @property
    def root(self) -> Value:
        """Itself, or the value whose memory it looks into."""
        return self if self.owner is None else self.owner.root

    @property
    def nbytes(self) -> int:
        """Bytes in all elements."""
        return math.prod(self.shape) * self.dtype.itemsize

    def lies_as(self, other: Value) -> bool:
        """Whether one could take the place of the other in memory."""
        same = self.shape == other.shape and self.strides == other.strides
        return same and self.dtype == other.dtype and self.is_array == other.is_array

    @property
    def packed(self) -> tuple[int, ...]:
        """The strides of an array without gaps whose axes are in the same order in memory."""
        strides, step = [0] * len(self.shape), self.dtype.itemsize
        for axis in sorted(range(len(strides)), key=lambda axis: abs(self.strides[axis])):
            strides[axis], step = step, step * self.shape[axis]
        return tuple(strides)

    def __repr__(self) -> str:
        return f"v{self.number}"


@dataclass(frozen=True)
class Wrapped:
    """An output that the caller gets as a Tensor."""

    value: Value


_FLAT = frozenset(
    {Value, bool, int, float, complex, np.bool_, np.int64}
    | {np.float16, np.float32, np.float64, np.complex64, np.complex128}
)


def is_flat(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether nothing is nested in the arguments of a call, and none has a keyword."""
    return not kwargs and _FLAT.issuperset(map(type, args))


@functools.lru_cache(maxsize=1024)
def _is_elementwise(function: Callable[..., Any]) -> bool:
    return isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None


@dataclass(eq=False, slots=True)
class Call:
    """One NumPy call.

    Attributes
    ----------
    function : callable
        What is called.
    args, kwargs
        Its arguments, with a `Value` in the place of each array.
    results : list of Value
        One, or several if the function returns a tuple.
    dtype : dtype or None
        If given, the result is converted to it as ``out=`` would ("same_kind").
    effect : bool
        The call is made for what it does and not for its result, such as checking labels or drawing random numbers:
        it is made on every run, in its place.
    operands : list of Value
        The values that it reads, each as often as it is named.
    several : bool
        The function returns a tuple or list, if only of one.
    errors : dict
        What NumPy's error handling was other than around the captured function.
    flat : bool
        Nothing is nested in its arguments, and none has a keyword: so it is with most calls, and much is sooner done.
    elementwise : bool
        Each element of its one result depends on one element of each operand.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[Value]
    dtype: np.dtype[Any] | None = None
    effect: bool = False
    several: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    operands: list[Value] = field(init=False)
    flat: bool = field(init=False)
    elementwise: bool = field(init=False)

    @classmethod
    def known(
        cls,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        results: list[Value],
        operands: list[Value],
        flat: bool,
        dtype: np.dtype[Any] | None = None,
        effect: bool = False,
        several: bool = False,
        errors: dict[str, str] | None = None,
    ) -> Call:
        """A call of which it need not be found out what it reads and whether it is flat."""
        call: Call = object.__new__(cls)
        call.function, call.args, call.kwargs, call.results = function, args, kwargs, results
        call.operands, call.flat, call.dtype, call.effect, call.several = operands, flat, dtype, effect, several
        call.errors = {} if errors is None else errors
        call.elementwise = flat and _is_elementwise(function)
        return call

    def __post_init__(self) -> None:
        self.flat = is_flat(self.args, self.kwargs)
        if self.flat:
            self.operands = [a for a in self.args if a.__class__ is Value]
        else:
            self.operands = list(values_in((self.args, self.kwargs)))
        self.elementwise = self.flat and _is_elementwise(self.function)

    def __str__(self) -> str:
        given = [_shown(a) for a in self.args] + [f"{k}={_shown(v)}" for k, v in self.kwargs.items()]
        made = ", ".join(f"{v}: {v.dtype}{list(v.shape)}" for v in self.results)
        cast = f" as {self.dtype}" if self.dtype is not None else ""
        return f"{made} = {function_name(self.function)}({', '.join(given)}){cast}"


@dataclass
class Program:
    """Calls in order, and what is done with their results.

    Attributes
    ----------
    values : list of Value
        Inputs, storages, constants and grads, which are there before the first call.
    calls : list of Call
        In the order in which they are made.
    outputs : nested Values
        What the function returns; anything else in it is returned as it is.
    stores : dict of Value to Value
        Which value each changed storage has in the end.
    grads : dict of Leaf to Value or None
        The gradient that each leaf has in the end, where the function changed it.
    grads_read : dict of Leaf to bool
        Whether each leaf whose gradient the function read had one.
    folded : list of Leaf
        Leaves whose gradients went into the update that they were for, and are nowhere any more.
    updated : list of Leaf
        Leaves whose arrays it declared to be updated.
    ignored : dict
        What any of its calls has NumPy ignore.
    """

    values: list[Value] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: Any = None
    stores: dict[Value, Value] = field(default_factory=dict)
    grads: dict[Any, Value | None] = field(default_factory=dict)
    grads_read: dict[Any, bool] = field(default_factory=dict)
    folded: list[Any] = field(default_factory=list)
    updated: list[Any] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)

    def kept(self) -> set[Value]:
        """The values that are needed after the last call."""
        grads = {value for value in self.grads.values() if value is not None}
        return {*values_in(self.outputs), *self.stores.values(), *grads}

    def unused_numbers(self) -> Iterator[int]:
        """For values that are added."""
        made = [result.number for call in self.calls for result in call.results]
        return count(max([*made, *(v.number for v in self.values)], default=0) + 1)

    def __str__(self) -> str:
        head = [f"{v}: {v.dtype}{list(v.shape)} = {v.kind}" for v in self.values]
        stores = [f"{target} <- {value}" for target, value in self.stores.items()]
        grads = [f"grad of leaf {list(leaf.shape)} <- {value}" for leaf, value in self.grads.items()]
        returned = [f"return {_shown(self.outputs)}"]
        return "\n".join([*head, *map(str, self.calls), *stores, *grads, *returned])


def values_in(tree: Any) -> Iterator[Value]:
    """The values in nested arguments, slices included."""
    for leaf in leaves(tree):
        if isinstance(leaf, Value):
            yield leaf
        elif isinstance(leaf, Wrapped):
            yield leaf.value
        elif isinstance(leaf, slice):
            yield from values_in((leaf.start, leaf.stop, leaf.step))


def replaced(tree: Any, by: Callable[[Value], Any]) -> Any:
    """Nested arguments with something else in the place of each value."""

    def leaf(item: Any) -> Any:
        if isinstance(item, Value):
            return by(item)
        if isinstance(item, Wrapped):
            return Wrapped(by(item.value))
        if isinstance(item, slice):
            return slice(*(leaf(part) for part in (item.start, item.stop, item.step)))
        return item

    return map_leaves(leaf, tree)


def spelled(tree: Any, leaf: Callable[[Any], str], like: Callable[[Any, str], str] | None = None) -> str:
    """Nested arguments as one writes them in Python, given how each leaf, and each key of a dict, is written, and how a
    container of a class of its own is made from a plain one.
    """
    if isinstance(tree, dict):
        text = f"{{{', '.join([f'{leaf(key)}: {spelled(item, leaf, like)}' for key, item in tree.items()])}}}"
    elif isinstance(tree, list | tuple):
        items = ", ".join([spelled(item, leaf, like) for item in tree])
        text = f"[{items}]" if isinstance(tree, list) else f"({items}{',' * (len(tree) == 1)})"
    else:
        return leaf(tree)
    return text if like is None or type(tree) in (dict, list, tuple) else like(tree, text)


def _shown(tree: Any) -> str:
    return spelled(tree, _shown_leaf)


def _shown_leaf(leaf: Any) -> str:
    if isinstance(leaf, slice):
        return ":".join("" if part is None else _shown(part) for part in (leaf.start, leaf.stop, leaf.step))
    if isinstance(leaf, np.ndarray):
        return f"{leaf.dtype}{list(leaf.shape)}"
    if isinstance(leaf, Wrapped):
        return f"tensor({leaf.value})"
    if callable(leaf) and hasattr(leaf, "__name__"):
        return str(leaf.__name__)
    return repr(leaf)
