"""Many cotangents at once: what makes a Jacobian one backward walk instead of one for each row.

A derivative rule is plain NumPy, so it can be called on anything that NumPy's functions accept. `Batched` is such an
array: it looks like one cotangent and stands for a whole batch of them, stacked along a hidden first axis. Each
function that a rule calls is then one call on the stack, or a loop over the batch where there is no better way.

The batch that a Jacobian starts from is the identity, which is nothing but its diagonal. As long as only elementwise
rules are met, it stays diagonal, and it is not stacked before something needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from tinygrad_np.core import Differentiable, Tensor, apply, converted, getitem, table, updated
from tinygrad_np.rules.elementwise import imag, real, select
from tinygrad_np.rules.handlers import Composite, Constant, Query
from tinygrad_np.rules.indexing import scattered
from tinygrad_np.rules.products import contraction
from tinygrad_np.rules.shapes import joined, reshaped

__all__ = ["Batched"]

Rule = Callable[..., Any]


class Batched(Tensor):
    """A batch of arrays of one shape, which takes part in NumPy functions as if it were one of them.

    Attributes
    ----------
    stacked : ndarray or Tensor, shape (n, *shape)
        All of them along a first axis.
    diagonal : ndarray, Tensor or None
        If given, of shape `shape`: the i-th array of the batch is zero except for its i-th element.
    """

    __slots__ = ("_stacked", "diagonal")
    precedence = 2

    _stacked: Any

    def __init__(self, stacked: Any = None, diagonal: Any = None) -> None:
        super().__init__(None)
        self._stacked = stacked
        self.diagonal: Any = diagonal

    @property
    def stacked(self) -> Any:
        """All arrays along a first axis."""
        if self._stacked is None:
            size = self.diagonal.size
            one = np.eye(size, dtype=self.diagonal.dtype).reshape(size, *self.diagonal.shape)
            self._stacked = one * self.diagonal
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
        return int(np.prod(self.shape))

    @property
    def data(self) -> Any:
        """The same batch, not recorded."""
        return Batched(self.stacked.data if isinstance(self.stacked, Tensor) else self.stacked)

    def __repr__(self) -> str:
        return f"Batched({self.count} arrays of {self.dtype}{self.shape})"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return self.door(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, function: Rule, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self.door(function, args, kwargs)

    def __neg__(self) -> Any:
        return self.door(np.negative, (self,), {})

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.door(np.absolute, (self,), {})

    @staticmethod
    def door(function: Rule, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call a function on the whole batch: in its own way, element by element, or in a loop."""
        handler = table.get(function)
        if handler is None or isinstance(handler, Composite):
            return apply(function, args, kwargs)
        if isinstance(handler, Query):
            return apply(function, [_element(a, 0) for a in args], kwargs)
        if (batched := _DIAGONAL.get(function)) is not None:
            result = batched(*args, **kwargs)
            if result is not None:
                return result
        if (batched := _STACKED.get(function)) is not None:
            return batched(function, *args, **kwargs)
        if _is_elementwise(handler):
            return _elementwise(function, *args, **kwargs)
        return _looped(function, args, kwargs)


def _operator(ufunc: np.ufunc, *, reflected: bool) -> Rule:
    def operator(self: Batched, other: Any) -> Any:
        return Batched.door(ufunc, (other, self) if reflected else (self, other), {})

    return operator


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "matmul": np.matmul,
    "pow": np.power, "mod": np.remainder, "floordiv": np.floor_divide, "and": np.bitwise_and, "or": np.bitwise_or,
}.items():
    setattr(Batched, f"__{_name}__", _operator(_ufunc, reflected=False))
    setattr(Batched, f"__r{_name}__", _operator(_ufunc, reflected=True))
for _name, _ufunc in {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}.items():
    setattr(Batched, f"__{_name}__", _operator(_ufunc, reflected=False))


def _element(tree: Any, i: int) -> Any:
    if isinstance(tree, Batched):
        return tree.stacked[i]
    if isinstance(tree, list | tuple):
        return type(tree)(_element(item, i) for item in tree)
    return tree


def _count(tree: Any) -> int:
    if isinstance(tree, Batched):
        return tree.count
    return max((_count(item) for item in tree), default=0) if isinstance(tree, list | tuple) else 0


def _looped(function: Rule, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """One call for each array of the batch."""
    results = [function(*(_element(a, i) for a in args), **kwargs) for i in range(_count(list(args)))]
    if isinstance(results[0], tuple):
        return tuple(Batched(np.stack(outputs)) for outputs in zip(*results, strict=True))
    return Batched(np.stack(results))


def _is_elementwise(handler: Any) -> bool:
    if isinstance(handler, Differentiable):
        return handler.elementwise
    function = handler.function
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


# ----------------------------------------------------------------------------------- functions of the stack as a whole


def _shifted(axis: Any, ndim: int) -> Any:
    """Axes of one array as axes of the stack."""
    if axis is None:
        return tuple(range(1, ndim + 1))
    if isinstance(axis, tuple | list):
        return tuple(a % ndim + 1 for a in axis)
    return axis % ndim + 1


def _reduced(function: Rule, a: Any, axis: Any = None, **options: Any) -> Any:
    return Batched(function(a.stacked, axis=_shifted(axis, a.ndim), **options))


def _transposed(function: Rule, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else axes
    return Batched(np.transpose(a.stacked, (0, *_shifted(tuple(order), a.ndim))))


def _swapped(function: Rule, a: Any, first: Any, second: Any) -> Any:
    return Batched(function(a.stacked, _shifted(first, a.ndim), _shifted(second, a.ndim)))


def _reshaped(function: Rule, a: Any, shape: Any, order: str = "C") -> Any:
    if order == "F":
        return _looped(function, (a, shape, order), {})
    lengths = np.empty(a.shape, bool).reshape(shape).shape  # NumPy works out a length of -1
    return Batched(a.stacked.reshape(a.count, *lengths))


def _expanded(function: Rule, a: Any, axis: Any) -> Any:
    ndim = a.ndim + (len(axis) if isinstance(axis, tuple | list) else 1)
    return Batched(np.expand_dims(a.stacked, _shifted(axis, ndim)))


def _broadcast(function: Rule, a: Any, shape: Any, subok: bool = False) -> Any:
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    return Batched(np.broadcast_to(_aligned(a, len(shape)), (a.count, *shape)))


def _converted(function: Rule, a: Any, **options: Any) -> Any:
    return Batched(function(a.stacked, **options))


def _joined(function: Rule, *arrays: Any, axis: int) -> Any:
    count = _count(list(arrays))
    stacks = [a.stacked if isinstance(a, Batched) else np.broadcast_to(a, (count, *a.shape)) for a in arrays]
    return Batched(function(*stacks, axis=_shifted(axis, stacks[0].ndim - 1)))


def _behind(index: Any) -> tuple[Any, ...] | None:
    """An index into one array as an index into the stack; None if NumPy would put the batch elsewhere."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [i for i, part in enumerate(parts) if isinstance(part, np.ndarray | list | int | np.integer)]
    any_array = any(isinstance(parts[i], np.ndarray | list) for i in arrays)
    if any_array and arrays != list(range(arrays[0], arrays[-1] + 1)):
        return None
    return (slice(None), *parts)


def _read(function: Rule, a: Any, *, index: Any) -> Any:
    behind = _behind(index)
    if behind is None:
        return _looped(function, (a,), {"index": index})
    return Batched(function(a.stacked, index=behind))


def _scattered(function: Rule, g: Any, *, index: Any, shape: Any) -> Any:
    behind = _behind(index)
    if behind is None:
        return _looped(function, (g,), {"index": index, "shape": shape})
    return Batched(function(g.stacked, index=behind, shape=(g.count, *shape)))


def _updated(function: Rule, a: Any, value: Any, *, index: Any) -> Any:
    behind = _behind(index)
    if behind is None or isinstance(value, Batched) or not isinstance(a, Batched):
        return _looped(function, (a, value), {"index": index})
    return Batched(function(a.stacked, value, index=behind))


def _matmul(function: Rule, a: Any, b: Any) -> Any:
    if isinstance(a, Batched) and not isinstance(b, Batched) and b.ndim == 2 and a.ndim == 1:
        return Batched(a.stacked @ b)
    if isinstance(b, Batched) and not isinstance(a, Batched) and a.ndim == 2 and b.ndim == 1:
        return Batched(b.stacked @ np.transpose(a))
    left = np.expand_dims(a, 0) if a.ndim == 1 else a
    right = np.expand_dims(b, 1) if b.ndim == 1 else b
    ndim = max(left.ndim, right.ndim)
    result = Batched(_aligned(left, ndim) @ _aligned(right, ndim))
    if b.ndim == 1:
        result = result[..., 0]
    return result[..., 0] if a.ndim == b.ndim == 1 else result[..., 0, :] if a.ndim == 1 else result


def _contracted(function: Rule, *operands: Any, inputs: tuple[str, ...], output: str, optimize: Any) -> Any:
    used = {*output}.union(*inputs)
    batch = next(c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in used)
    labels = [batch + of if isinstance(a, Batched) else of for a, of in zip(operands, inputs, strict=True)]
    arrays = [a.stacked if isinstance(a, Batched) else a for a in operands]
    return Batched(function(*arrays, inputs=tuple(labels), output=batch + output, optimize=optimize))


_STACKED: dict[Any, Rule] = {
    **dict.fromkeys((np.sum, np.mean, np.max, np.min, np.prod), _reduced),
    **dict.fromkeys((np.swapaxes, np.moveaxis), _swapped),
    **dict.fromkeys((converted, np.copy, real, imag), _converted),
    np.transpose: _transposed,
    reshaped: _reshaped,
    np.expand_dims: _expanded,
    np.broadcast_to: _broadcast,
    joined: _joined,
    getitem: _read,
    scattered: _scattered,
    updated: _updated,
    np.matmul: _matmul,
    contraction: _contracted,
}

# ---------------------------------------------------------------------- functions that leave a diagonal batch diagonal


def _scaled(ufunc: np.ufunc) -> Rule:
    def diagonal(a: Any, b: Any) -> Any:
        """A diagonal times something of its shape: the zeros beside the diagonal stay zeros."""
        g, other = (a, b) if isinstance(a, Batched) else (b, a)
        if g.diagonal is None or isinstance(other, Batched) or (ufunc is np.true_divide and g is b):
            return None
        scaled = ufunc(g.diagonal, other)
        return Batched(diagonal=scaled) if scaled.shape == g.shape else None

    return diagonal


def _negated(a: Any) -> Any:
    return None if a.diagonal is None else Batched(diagonal=-a.diagonal)


def _conjugated(a: Any) -> Any:
    return None if a.diagonal is None else Batched(diagonal=np.conjugate(a.diagonal))


def _summed(a: Any, b: Any) -> Any:
    if not (isinstance(a, Batched) and isinstance(b, Batched)) or a.diagonal is None or b.diagonal is None:
        return None
    return Batched(diagonal=a.diagonal + b.diagonal) if a.shape == b.shape else None


def _selected(condition: Any, a: Any, b: Any) -> Any:
    g, other = (a, b) if isinstance(a, Batched) else (b, a)
    # With anything but zero, what is beside the diagonal would change.
    if isinstance(condition, Batched) or isinstance(other, Tensor) or _ndim(other) or other != 0 or g.diagonal is None:
        return None
    selected = np.where(condition, *((g.diagonal, 0) if g is a else (0, g.diagonal)))
    return Batched(diagonal=selected) if selected.shape == g.shape else None


def _flattened(a: Any, shape: Any, order: str = "C") -> Any:
    return None if a.diagonal is None or order != "C" else Batched(diagonal=a.diagonal.reshape(shape))


def _rows_scaled(a: Any, b: Any) -> Any:
    """A diagonal matrix times a matrix."""
    if not isinstance(a, Batched) or isinstance(b, Batched) or a.diagonal is None or (a.ndim, b.ndim) != (1, 2):
        return None
    return Batched(a.diagonal[:, None] * b)


_DIAGONAL: dict[Any, Rule] = {
    np.multiply: _scaled(np.multiply),
    np.true_divide: _scaled(np.true_divide),
    np.negative: _negated,
    np.conjugate: _conjugated,
    np.add: _summed,
    select: _selected,
    reshaped: _flattened,
    np.matmul: _rows_scaled,
}
