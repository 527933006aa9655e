"""Many cotangents at once: what makes a Jacobian one backward walk instead of one for each row.

A derivative rule is plain NumPy, so it can be called on anything that NumPy's functions accept. `Batched` is such an
array: it looks like one cotangent and stands for a whole batch of them, stacked along a hidden first axis. Each
function that a rule calls is then one call on the stack, or a loop over the batch where there is no better way. Rules
are linear in the cotangent, so the functions that need a better way are few.

The batch that a Jacobian starts from is the identity, which is nothing but its diagonal. As long as only elementwise
functions are met, it stays diagonal, and it is not stacked before something needs it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from tinygrad_np.core import Differentiable, Tensor, apply, converted, getitem, table, updated
from tinygrad_np.fused import passed
from tinygrad_np.rules.elementwise import imag, real, select
from tinygrad_np.rules.handlers import Composite, Constant, Query
from tinygrad_np.rules.indexing import NO_ARRAY, scattered
from tinygrad_np.rules.movement import overlapped, windows
from tinygrad_np.rules.products import contraction
from tinygrad_np.rules.shapes import joined, reshaped
from tinygrad_np.rules.sorting import rearranged, returned
from tinygrad_np.rules.vector_products import crossed
from tinygrad_np.trees import leaves, map_leaves

__all__ = ["Batched", "NotBatchedError"]

Rule = Callable[..., Any]


class NotBatchedError(TypeError):
    """Something looked at the elements of a single array, so the batch has to be taken apart."""


class Batched(Tensor):
    """A batch of arrays of one shape, which takes part in NumPy functions as if it were one of them.

    Attributes
    ----------
    stacked : ndarray or Tensor, shape (n, *shape)
        All of them along a first axis.
    diagonal : ndarray, Tensor or None
        If given, of shape `shape`: the i-th element of the i-th array of the batch, for as many arrays as elements.
    beside : number
        All other elements of a diagonal batch.
    """

    __slots__ = ("_stacked", "beside", "diagonal")

    precedence = 2

    _stacked: Any

    def __init__(self, stacked: Any = None, *, diagonal: Any = None, beside: Any = 0.0) -> None:
        self._node = None
        self._stacked = stacked
        self.diagonal: Any = diagonal
        self.beside = beside

    def _no_elements(self, *args: Any, **kwargs: Any) -> Any:
        raise NotBatchedError("a batch of cotangents has no elements of its own")

    _value = property(_no_elements)
    item = tolist = __array__ = __bool__ = __float__ = __int__ = __complex__ = __index__ = _no_elements
    __contains__ = __format__ = __copy__ = __deepcopy__ = detach = _no_elements

    @property
    def stacked(self) -> Any:
        """All arrays along a first axis."""
        if self._stacked is None:
            stack = np.diagflat(self.diagonal)
            if self.beside != 0:
                stack = np.where(np.eye(len(stack), dtype=bool), stack, self.beside)
            self._stacked = stack.reshape(len(stack), *self.diagonal.shape)
        return self._stacked

    @property
    def count(self) -> int:
        """How many arrays."""
        return int(self.diagonal.size if self._stacked is None else self._stacked.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of each array."""
        return cast("tuple[int, ...]", self.diagonal.shape if self._stacked is None else self._stacked.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return cast("np.dtype[Any]", self.diagonal.dtype if self._stacked is None else self._stacked.dtype)

    @property
    def ndim(self) -> int:
        """The number of axes of each array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements of each array."""
        return math.prod(self.shape)

    @property
    def data(self) -> Any:
        """The same batch, not recorded."""
        if self.diagonal is None:
            return Batched(_data(self.stacked))
        return Batched(diagonal=_data(self.diagonal), beside=self.beside)

    def __repr__(self) -> str:
        return f"Batched({self.count} arrays of {self.dtype}{self.shape})"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.door(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, function: Rule, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self.door(function, args, kwargs)

    def __pos__(self) -> Any:
        return self

    def _rebind(self, updated: Any, spelling: str) -> Any:
        self._stacked, self.diagonal = updated.stacked, None
        return self

    @staticmethod
    def door(function: Rule, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function on the whole batch: in its own way, element by element, or in a loop."""
        handler = table.get(function)
        if isinstance(handler, Composite):
            return apply(function, args, kwargs)
        if isinstance(handler, Query) or function in _LIKE:
            return function(*_element(tuple(args), 0), **kwargs)
        if kwargs.get("out") is not None:
            raise NotBatchedError("a batch does not fit into a single array")
        if _batches(kwargs):
            return _looped(function, args, kwargs)
        is_elementwise = function is passed or _is_elementwise(handler)
        result = _on_diagonals(function, *args) if is_elementwise and not kwargs else None
        for ways in (_DIAGONAL, _STACKED):
            if result is None and function in ways:
                result = ways[function](function, *args, **kwargs)
        if result is None and is_elementwise:
            result = _elementwise(function, *args, **kwargs)
        return _looped(function, args, kwargs) if result is None else result


def _operator(ufunc: np.ufunc, *, reflected: bool = False) -> Rule:
    def operator(self: Batched, *other: Any) -> Any:
        return Batched.door(ufunc, (*other, self) if reflected else (self, *other), {})

    return operator


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "matmul": np.matmul,
    "pow": np.power, "mod": np.remainder, "floordiv": np.floor_divide,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}.items():
    setattr(Batched, f"__{_name}__", _operator(_ufunc))
    setattr(Batched, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(Batched, f"__i{_name}__", Batched._no_elements)
for _name, _ufunc in {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "neg": np.negative, "abs": np.absolute, "invert": np.invert,
}.items():
    setattr(Batched, f"__{_name}__", _operator(_ufunc))


def _data(a: Any) -> Any:
    return a.data if isinstance(a, Tensor) else a


def _batches(tree: Any) -> list[Batched]:
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Batched)]


def _element(tree: Any, i: int) -> Any:
    return map_leaves(lambda leaf: leaf.stacked[i] if isinstance(leaf, Batched) else leaf, tree)


def _looped(function: Rule, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """One call for each array of the batch."""
    whole = (tuple(args), kwargs)
    results = []
    for i in range(_batches(whole)[0].count):
        arrays, options = _element(whole, i)
        results.append(function(*arrays, **options))
    if isinstance(results[0], tuple | list):
        return tuple(Batched(np.stack(outputs)) for outputs in zip(*results, strict=True))
    return Batched(np.stack(results))


# ------------------------------------------------------------------------------------------------ elementwise functions


def _is_elementwise(handler: Any) -> bool:
    if isinstance(handler, Differentiable):
        return handler.elementwise
    function = getattr(handler, "function", None)
    return isinstance(handler, Constant) and isinstance(function, np.ufunc) and function.signature is None


def _ndim(a: Any) -> int:
    return int(getattr(a, "ndim", 0))


def _aligned(a: Any, ndim: int) -> Any:
    """The stack with axes of length 1 put in so that each array has `ndim` axes; anything else as it is."""
    if not isinstance(a, Batched):
        return a
    return a.stacked.reshape(a.count, *(1,) * (ndim - a.ndim), *a.shape) if a.ndim < ndim else a.stacked


def _elementwise(function: Rule, *args: Any, **kwargs: Any) -> Any:
    ndim = max(_ndim(a) for a in args)
    result = function(*(_aligned(a, ndim) for a in args), **kwargs)
    return tuple(map(Batched, result)) if isinstance(result, tuple) else Batched(result)


def _on_diagonals(function: Rule, *args: Any) -> Any:
    """The diagonal batch that an elementwise function makes of diagonal ones; None if what is beside it would vary."""
    batches = [a for a in args if isinstance(a, Batched)]
    shape = batches[0].shape
    if any(batch.diagonal is None for batch in batches):
        return None
    if all(isinstance(a, Batched | int | float | complex | None) or (_ndim(a) == 0 and a is _data(a)) for a in args):
        numbers = (a.dtype.type(a.beside) if isinstance(a, Batched) else a for a in args)
        beside = np.asarray(function(*numbers)).item()
    elif _keeps_zeros(function, *args):
        beside = 0.0
    else:
        return None
    diagonal = function(*(a.diagonal if isinstance(a, Batched) else a for a in args))
    return Batched(diagonal=diagonal, beside=beside) if getattr(diagonal, "shape", None) == shape else None


def _keeps_zeros(function: Rule, *args: Any) -> bool:
    """Whether zeros beside the diagonal stay zeros, though other arguments are arrays. As ever, 0 * inf is 0 here."""
    batches = [a for a in args if isinstance(a, Batched)]
    if any(batch.beside != 0 for batch in batches):
        return False
    if function is select:
        return all(isinstance(a, Batched) or (isinstance(a, int | float) and a == 0) for a in args[1:])
    return function is np.multiply or (function in (np.true_divide, passed) and isinstance(args[0], Batched))


# ------------------------------------------------------------------------------------ functions of the stack as a whole


def _shifted(axis: Any, ndim: int) -> Any:
    """Axes of one array as axes of the stack."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    return axis % ndim + 1 if isinstance(axis, int | np.integer) else tuple(a % ndim + 1 for a in axis)


@cache
def _signature(function: Rule) -> inspect.Signature:
    return inspect.signature(function)


def _along(*axes: str) -> Rule:
    """How to call a function that works along axes, given the names of the arguments that say which."""

    def along(function: Rule, *args: Any, **kwargs: Any) -> Any:
        bound = _signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        first, *others = bound.arguments
        a = bound.arguments[first]
        if not isinstance(a, Batched) or _batches([bound.arguments[name] for name in others]):
            return None
        given = {name: bound.arguments[name] for name in others if bound.arguments[name] is not np._NoValue}
        given |= {name: _shifted(given[name], a.ndim) for name in axes}
        return Batched(function(a.stacked, **given))

    return along


def _running(function: Rule, a: Any, axis: Any = None, **options: Any) -> Any:
    if axis is None:
        return function(a.reshape(-1), axis=0, **options)
    return Batched(function(a.stacked, axis=_shifted(axis, a.ndim), **options))


def _rolled(function: Rule, a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        return function(a.reshape(-1), shift, 0).reshape(a.shape)
    return Batched(function(a.stacked, shift, _shifted(axis, a.ndim)))


def _reordered(function: Rule, a: Any, order: Any, *, axis: int) -> Any:
    if isinstance(order, Batched):
        return None
    return Batched(function(a.stacked, np.expand_dims(order, 0), axis=_shifted(axis, a.ndim)))


def _added_up(function: Rule, g: Any, *, shape: Any, lengths: Any, axes: Any) -> Any:
    return Batched(function(g.stacked, shape=(g.count, *shape), lengths=lengths, axes=_shifted(axes, len(shape))))


def _transposed(function: Rule, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else axes
    return Batched(np.transpose(a.stacked, (0, *_shifted(tuple(order), a.ndim))))


def _reshaped(function: Rule, a: Any, shape: Any, order: str = "C") -> Any:
    lengths = np.empty(a.shape, bool).reshape(shape).shape  # NumPy works out a length of -1
    if order == "F":
        return np.transpose(function(np.transpose(a), lengths[::-1], "C"))
    return Batched(a.stacked.reshape(a.count, *lengths))


def _expanded(function: Rule, a: Any, axis: Any) -> Any:
    ndim = a.ndim + (len(axis) if isinstance(axis, tuple | list) else 1)
    return Batched(np.expand_dims(a.stacked, _shifted(axis, ndim)))


def _squeezed(function: Rule, a: Any, axis: Any = None) -> Any:
    return a.reshape(np.squeeze(np.empty(a.shape, bool), axis).shape)


def _broadcast(function: Rule, a: Any, shape: Any, subok: bool = False) -> Any:
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return Batched(np.broadcast_to(_aligned(a, len(shape)), (a.count, *shape)))


def _each(function: Rule, a: Any, **options: Any) -> Any:
    return Batched(function(a.stacked, **options))


def _joined(function: Rule, *arrays: Any, axis: int) -> Any:
    count = _batches(arrays)[0].count
    stacks = [a.stacked if isinstance(a, Batched) else np.broadcast_to(a, (count, *a.shape)) for a in arrays]
    return Batched(function(*stacks, axis=_shifted(axis, stacks[0].ndim - 1)))


# Indexing: where several arrays of indices are apart from one another, NumPy puts their axes first, before the batch.


def _behind(index: Any) -> tuple[tuple[Any, ...], int]:
    """An index into one array as an index into the stack, and the axis of the result that is then the batch."""
    parts = index if isinstance(index, tuple) else (index,)
    places = [i for i, part in enumerate(parts) if not isinstance(part, NO_ARRAY)]
    arrays = [np.asarray(parts[i]) for i in places]
    if all(a.ndim == 0 and a.dtype.kind in "iu" for a in arrays) or places == [*range(places[0], places[-1] + 1)]:
        return (slice(None), *parts), 0
    numbers = [number for a in arrays for number in (a.nonzero() if a.ndim and a.dtype.kind == "b" else [a])]
    return (slice(None), *parts), np.broadcast(*numbers).ndim


def _read(function: Rule, a: Any, *, index: Any) -> Any:
    behind, batch = _behind(index)
    return Batched(np.moveaxis(function(a.stacked, index=behind), batch, 0))


def _scattered(function: Rule, g: Any, *, index: Any, shape: Any) -> Any:
    behind, batch = _behind(index)
    return Batched(function(np.moveaxis(g.stacked, 0, batch), index=behind, shape=(g.count, *shape)))


def _updated(function: Rule, a: Any, value: Any, *, index: Any) -> Any:
    behind, batch = _behind(index)
    count = _batches([a, value])[0].count
    stack = a.stacked if isinstance(a, Batched) else np.broadcast_to(a, (count, *np.shape(a)))
    if isinstance(value, Batched):
        ndim = np.empty(np.shape(a), bool)[index].ndim
        if value.ndim > ndim:
            return None
        value = np.moveaxis(_aligned(value, ndim), 0, batch)
    elif batch and np.ndim(value):
        return None
    return Batched(function(stack, value, index=behind))


# Products: a stack of matrices times one matrix is one product of two matrices.


def _matmul(function: Rule, a: Any, b: Any) -> Any:
    if a.ndim == 1 or b.ndim == 1:
        return _with_vectors(a, b)
    if isinstance(a, Batched) and not isinstance(b, Batched) and b.ndim == 2:
        rows = a.stacked.reshape(a.count * math.prod(a.shape[:-1]), a.shape[-1])
        return Batched((rows @ b).reshape(a.count, *a.shape[:-1], b.shape[-1]))
    if isinstance(b, Batched) and not isinstance(a, Batched) and a.ndim == 2 and b.shape[-1] == 1:
        return (b.reshape(b.shape[:-1]) @ np.transpose(a))[..., None]
    ndim = max(a.ndim, b.ndim)
    return Batched(_aligned(a, ndim) @ _aligned(b, ndim))


def _with_vectors(a: Any, b: Any) -> Any:
    if not isinstance(a, Batched) and a.ndim == 2:
        return b @ np.transpose(a)
    if isinstance(a, Batched) and not isinstance(b, Batched) and (a.ndim, b.ndim) == (1, 2):
        return Batched(a.stacked @ b)
    product = (a[None, :] if a.ndim == 1 else a) @ (b[:, None] if b.ndim == 1 else b)
    if a.ndim == b.ndim == 1:
        return product[..., 0, 0]
    return product[..., 0] if b.ndim == 1 else product[..., 0, :]


def _contracted(function: Rule, *operands: Any, inputs: tuple[str, ...], output: str, optimize: Any) -> Any:
    used = {*output}.union(*inputs)
    batch = next(c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in used)
    labels = [batch + of if isinstance(a, Batched) else of for a, of in zip(operands, inputs, strict=True)]
    arrays = [a.stacked if isinstance(a, Batched) else a for a in operands]
    return Batched(function(*arrays, inputs=tuple(labels), output=batch + output, optimize=optimize))


def _solved(function: Rule, a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return function(a, b[:, None])[..., 0]
    if not isinstance(a, Batched) and a.ndim == b.ndim == 2:  # one factorisation, for all right sides side by side
        columns = np.moveaxis(b.stacked, 0, 1)
        found = function(a, columns.reshape(len(a), b.count * b.shape[1]))
        return Batched(np.moveaxis(found.reshape(columns.shape), 1, 0))
    ndim = max(a.ndim, b.ndim)
    return Batched(function(_aligned(a, ndim), _aligned(b, ndim)))


_LIKE = frozenset({np.zeros_like, np.ones_like, np.empty_like})

_STACKED: dict[Any, Rule] = {
    **dict.fromkeys((np.sum, np.mean, np.any, np.all), _along("axis")),
    **dict.fromkeys((np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft), _along("axis")),
    **dict.fromkeys((np.fft.fftshift, np.fft.ifftshift, np.rot90, windows), _along("axes")),
    np.swapaxes: _along("axis1", "axis2"),
    np.moveaxis: _along("source", "destination"),
    **dict.fromkeys((np.cumsum, np.cumprod), _running),
    np.roll: _rolled,
    **dict.fromkeys((rearranged, returned), _reordered),
    overlapped: _added_up,
    np.transpose: _transposed,
    reshaped: _reshaped,
    np.expand_dims: _expanded,
    np.squeeze: _squeezed,
    np.broadcast_to: _broadcast,
    **dict.fromkeys((converted, np.copy, real, imag), _each),
    joined: _joined,
    getitem: _read,
    scattered: _scattered,
    updated: _updated,
    np.matmul: _matmul,
    contraction: _contracted,
    crossed: _elementwise,
    np.linalg.solve: _solved,
}

# ------------------------------------------------------------ functions that leave a diagonal batch diagonal, or use it


def _kept(function: Rule, a: Any, *args: Any, **kwargs: Any) -> Any:
    """A function that moves no element past another, and makes zeros of zeros."""
    if a.diagonal is None or a.beside != 0:
        return None
    return Batched(diagonal=function(a.diagonal, *args, **kwargs))


def _flattened(function: Rule, a: Any, shape: Any, order: str = "C") -> Any:
    return _kept(function, a, shape, order) if order == "C" else None


def _rows_scaled(function: Rule, a: Any, b: Any) -> Any:
    """A diagonal matrix times a matrix."""
    if not isinstance(a, Batched) or isinstance(b, Batched) or a.diagonal is None or (a.ndim, b.ndim) != (1, 2):
        return None
    return Batched(a.diagonal[:, None] * b) if a.beside == 0 else None


def _whole(function: Rule, a: Any, *, index: Any, **options: Any) -> Any:
    """Reading and writing with nothing but None, Ellipsis and full slices as index."""
    parts = index if isinstance(index, tuple) else (index,)
    whole = all(part is None or part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in parts)
    return _kept(function, a, index=index, **options) if whole else None


_DIAGONAL: dict[Any, Rule] = {
    **dict.fromkeys((converted, real, imag, np.copy, np.expand_dims, np.squeeze), _kept),
    reshaped: _flattened,
    **dict.fromkeys((getitem, scattered), _whole),
    np.matmul: _rows_scaled,
}
