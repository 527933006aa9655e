"""The array methods and attributes of a Tensor, each spelled as the NumPy function that it is."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from opcode import opmap
from typing import Any, cast

import numpy as np

from tinygrad_np.errors import DtypeError, EscapeError, MissingMethodError, ShapeError
from tinygrad_np.graph import capturing

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
    precedence = 0
    """Which kind of array a call with several kinds goes to: the one with the most."""
    door: Callable[..., Any]
    _value: Any
    _rebind: Callable[..., Any]
    __getitem__: Callable[..., Any]
    __setitem__: Callable[..., Any]

    # Attributes

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The array itself, not a copy and not recorded. Writing to it changes the Tensor behind the graph's back."""
        tape = capturing.get()
        return np.asarray(self._value) if tape is None else cast("np.ndarray[Any, Any]", tape.as_array(self._value))

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        shape: tuple[int, ...] = self._value.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        dtype: np.dtype[Any] = self._value.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        ndim: int = self._value.ndim
        return ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        size: int = self._value.size
        return size

    @property
    def itemsize(self) -> int:
        """Bytes in an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes in all elements."""
        return self.dtype.itemsize * self.size

    # Methods with the arguments of the function of the same name

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

    # Methods with arguments of their own

    def compress(self, condition: Any, axis: int | None = None) -> Any:
        """The rows along an axis at which the condition is true."""
        return np.compress(condition, self, axis=axis)

    def conjugate(self) -> Any:
        """The complex conjugate; a real Tensor as it is."""
        return np.conjugate(self) if self.dtype.kind == "c" else self

    conj = conjugate

    def copy(self, order: Any = "C") -> Any:
        """The same values in an array of its own; gradients flow through."""
        return np.copy(self, order=order)

    def flatten(self, order: Any = "C") -> Any:
        """All elements in one axis."""
        return np.ravel(self, order=order)

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        """The same elements in another shape, given as a tuple or as several numbers."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        """Axes in another order, given as a tuple or as several numbers; reversed if none is given."""
        order = axes[0] if len(axes) == 1 else axes or None
        return np.transpose(self, order)

    # Methods that update in place, which binds the name of the Tensor to the updated values

    put = _method(np.put)

    def fill(self, value: Any) -> None:
        """Set all elements to one number."""
        self[...] = np.reshape(value, ())

    def sort(self, axis: int = -1, kind: Any = None, order: None = None, *, stable: bool | None = None) -> None:
        """Sort in place along an axis."""
        self._rebind(np.sort(self, axis, kind, order, stable=stable), "t.sort()")

    def partition(self, kth: Any, axis: int = -1, kind: Any = "introselect", order: None = None) -> None:
        """Put the kth elements where sorting would put them, smaller ones before and larger ones after."""
        self._rebind(np.partition(self, kth, axis, kind, order), "t.partition()")

    # Parts and turns

    @property
    def T(self) -> Any:
        """Axes in reverse order."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        """Each matrix transposed: the last two axes swapped."""
        return np.matrix_transpose(self)

    @property
    def real(self) -> Any:
        """The real part."""
        return np.real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part; zeros for a real Tensor."""
        return np.imag(self)

    # Python numbers and loops

    def item(self, *index: Any) -> Any:
        """The element at an index, or the single one, as a Python number, for logging."""
        if not index and self.size != 1:
            raise ShapeError(f"a tensor of {self.dtype}{self.shape} is not one number: index or reduce it first")
        return self.data.item(*index)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.data.tolist()

    def __len__(self) -> int:
        if not self.shape:
            raise DtypeError("a tensor of shape () has no len()")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise DtypeError("a tensor of shape () cannot be iterated over")
        return (self[i] for i in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).data.any())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"a tensor of {self.dtype}{self.shape} is neither true nor false: write t.any(), t.all(), or np.where "
                "to choose element by element"
            )
        return bool(self.item())

    def __float__(self) -> float:
        self._refuse_storing()
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        self._refuse_storing()
        return complex(self.item())

    def _refuse_storing(self) -> None:
        """Raise if nobody asked for a number by name, but ``array[i] = t`` or a function of NumPy's did.

        They call the same method as ``float(t)`` does; only the instruction that is being executed tells them apart.
        """
        caller = sys._getframe(2)
        stores = caller.f_code.co_code[caller.f_lasti] == _STORE
        if cast(Any, self).requires_grad and (stores or caller.f_globals.get("__name__", "").startswith("numpy.")):
            raise EscapeError(
                f"storing a tensor of {self.dtype}{self.shape} that requires a gradient in a plain array would lose "
                "the gradient: write t.item() if that is meant, np.stack([...]) to join tensors, or make the array a "
                "tensor, with tg.tensor(array)"
            )

    def __index__(self) -> int:
        return operator.index(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __getattr__(self, name: str) -> Any:
        if name in REFUSED:
            raise MissingMethodError(f"a tensor has no .{name}: {REFUSED[name].format(name=name)}")
        raise AttributeError(f"a tensor has no attribute {name!r}")


_STORE = opmap["STORE_SUBSCR"]

REFUSED = dict.fromkeys(
    (
        *("base", "byteswap", "ctypes", "dump", "dumps", "flags", "getfield", "setflags", "strides"),
        *("tobytes", "tofile", "tostring"),
    ),
    "it is about bytes in memory, so write t.data.{name} for the array's own",
) | {
    "__dlpack__": "write t.data, which other libraries can share",
    "__dlpack_device__": "write t.data, which other libraries can share",
    "flat": "write t.ravel(), and t[...] = v to update",
    "resize": "a tensor is a value and keeps its size; write np.resize(t, shape) for a new one",
    "setfield": "writing through a view is not recorded; write t[index] = v",
    "device": "arrays live in main memory",
    "to_device": "arrays live in main memory",
    "view": "writing through a view is not recorded; write t[...] to read, t.astype(dtype) for another dtype",
}
