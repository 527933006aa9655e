"""The array methods and attributes of a Tensor, each spelled as the NumPy function that it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_np.errors import MissingMethodError

__all__ = ["ArrayMethods"]


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    """``t.sum(axis=0)`` as ``np.sum(t, axis=0)``."""

    def method(self: ArrayMethods, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = function.__name__
    method.__qualname__ = f"Tensor.{function.__name__}"
    method.__doc__ = f"``np.{function.__name__}`` of this Tensor."
    return method


class ArrayMethods:
    """What makes ``t.sum(axis=0)`` work like ``np.sum(t, axis=0)``."""

    __slots__ = ()
    shape: tuple[int, ...]
    ndim: int
    dtype: np.dtype[Any]

    all = _method(np.all)
    any = _method(np.any)
    argmax = _method(np.argmax)
    argmin = _method(np.argmin)
    argpartition = _method(np.argpartition)
    argsort = _method(np.argsort)
    choose = _method(np.choose)
    clip = _method(np.clip)
    cumprod = _method(np.cumprod)
    cumsum = _method(np.cumsum)
    diagonal = _method(np.diagonal)
    dot = _method(np.dot)
    max = _method(np.max)
    mean = _method(np.mean)
    min = _method(np.min)
    nonzero = _method(np.nonzero)
    prod = _method(np.prod)
    ravel = _method(np.ravel)
    repeat = _method(np.repeat)
    round = _method(np.round)
    searchsorted = _method(np.searchsorted)
    squeeze = _method(np.squeeze)
    std = _method(np.std)
    sum = _method(np.sum)
    swapaxes = _method(np.swapaxes)
    take = _method(np.take)
    trace = _method(np.trace)
    var = _method(np.var)

    def compress(self, condition: Any, axis: int | None = None) -> Any:
        """The rows along an axis at which the condition is true."""
        return np.compress(condition, self, axis=axis)  # type: ignore[call-overload]

    def conjugate(self) -> Any:
        """The complex conjugate; a real Tensor as it is."""
        return np.conjugate(self) if self.dtype.kind == "c" else self  # type: ignore[call-overload]

    conj = conjugate

    def copy(self, order: Any = "C") -> Any:
        """The same values in an array of its own; gradients flow through."""
        return np.copy(self, order=order)  # type: ignore[call-overload]

    def flatten(self, order: Any = "C") -> Any:
        """All elements in one axis."""
        return np.ravel(self, order=order)  # type: ignore[call-overload]

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        """The same elements in another shape, given as a tuple or as several numbers."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, given as a tuple or as several numbers; reversed if none is given."""
        order = axes[0] if len(axes) == 1 else axes or None
        return np.transpose(self, order)  # type: ignore[call-overload]

    @property
    def T(self) -> Any:
        """Axes in reverse order."""
        return np.transpose(self)  # type: ignore[call-overload]

    @property
    def mT(self) -> Any:
        """Each matrix transposed: the last two axes swapped."""
        return np.matrix_transpose(self)  # type: ignore[call-overload]

    @property
    def real(self) -> Any:
        """The real part."""
        return np.real(self)  # type: ignore[call-overload]

    @property
    def imag(self) -> Any:
        """The imaginary part; zeros for a real Tensor."""
        return np.imag(self)  # type: ignore[call-overload]

    @property
    def itemsize(self) -> int:
        """Bytes in an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes in all elements."""
        return self.dtype.itemsize * int(np.prod(self.shape))

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            raise MissingMethodError(f"a tensor has no .{name}: {_REFUSED[name].format(name=name)}")
        raise AttributeError(f"a tensor has no attribute {name!r}")


_REFUSED = dict.fromkeys(
    ("base", "byteswap", "ctypes", "dump", "dumps", "flags", "getfield", "setflags", "strides", "tobytes", "tofile"),
    "it is about bytes in memory, so write t.data.{name} for the array's own",
) | {
    "flat": "write t.ravel(), and t[...] = v to update",
    "resize": "a tensor is a value and keeps its size; write np.resize(t, shape) for a new one",
    "setfield": "writing through a view is not recorded; write t[index] = v",
    "to_device": "arrays live in main memory",
    "view": "writing through a view is not recorded; write t[...] to read, t.astype(dtype) for another dtype",
}
