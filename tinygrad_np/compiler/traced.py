"""What a captured function sees in the place of an array: every call that it takes part in goes to the tape."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_np.backward import PLAIN
from tinygrad_np.compiler.program import Value
from tinygrad_np.core import Tensor, converted, getitem, table, updated
from tinygrad_np.errors import CaptureError
from tinygrad_np.graph import capturing
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.trees import leaves

if TYPE_CHECKING:
    from tinygrad_np.compiler.capture import Tape

__all__ = ["Traced", "described", "overlap", "reinterpreted", "underlying"]

Function = Callable[..., Any]


def _operators(ufunc: np.ufunc, plain: Function) -> tuple[Callable[[Traced, Any], Any], ...]:
    """``a * b``, its reflection and ``a *= b``, without the way through NumPy that the mixin takes.

    They are the ufunc, except where NumPy does something else for the operator, with other last bits: powers have short
    ways, such as squares, and complex scalars an arithmetic of their own.
    """
    usual = plain if ufunc is np.power else ufunc

    def forward(self: Traced, other: Any) -> Any:
        if type(other) is Tensor:
            return NotImplemented
        return self.tape.call(usual if self.is_array or self.dtype.kind != "c" else plain, (self, other), {})

    def reflected(self: Traced, other: Any) -> Any:
        if type(other) is Tensor:
            return NotImplemented
        return self.tape.call(usual if self.is_array or self.dtype.kind != "c" else plain, (other, self), {})

    def in_place(self: Traced, other: Any) -> Any:
        if not self.is_array:  # a scalar is immutable
            return forward(self, other)
        if ufunc is np.power and type(other) is not Tensor and not self.is_elsewhere():
            made = self.tape.call(plain, (self, other), {})
            if (made.dtype, made.shape) == (self.dtype, self.shape):
                self.tape.write(self, made)
                return self
        return ufunc(self, other, out=(self,))

    return forward, reflected, in_place


class Traced(np.lib.mixins.NDArrayOperatorsMixin, ArrayMethods):
    """What a captured function sees in the place of an ndarray.

    Attributes
    ----------
    value : Value
        What it is in the program at the moment; writing in place makes it another.
    array : ndarray or NumPy scalar
        What it is during capture.
    is_array : bool
        Whether it stands for an ndarray. One without axes may be given a scalar's content.
    """

    __slots__ = ("__weakref__", "array", "is_array", "tape", "value")

    def __init__(self, tape: Tape, value: Value, array: Any) -> None:
        self.tape = tape
        self.value = value
        self.array = array
        self.is_array = isinstance(array, np.ndarray)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What the user's ``isinstance`` is told that it is: an ndarray, or a NumPy scalar."""
        if sys._getframe(1).f_globals.get("__name__", "")[:12] == "tinygrad_np.":
            return Traced
        return np.ndarray if self.is_array else type(self.array)

    # The most asked for, without a call of Python for each.
    _value = property(operator.attrgetter("array"))
    shape = property(operator.attrgetter("array.shape"))
    dtype = property(operator.attrgetter("array.dtype"))

    @property
    def data(self) -> Any:
        """Itself: it stands for an array."""
        return self

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self.array.strides  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """How the array lies in memory."""
        return self.array.flags

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if Tensor in map(type, inputs):
            return NotImplemented  # a Tensor wraps what is captured
        return self.tape.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, function: Function, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if Tensor in types:
            return NotImplemented
        return self.tape.call(function, args, kwargs)

    @staticmethod
    def door(function: Function, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Where the calls of primitives that it takes part in go."""
        tape = next(a.tape for a in leaves([list(args), kwargs]) if isinstance(a, Traced))
        return tape.call(table[function].function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        return self.tape.call(getitem.__wrapped__, (self,), {"index": index})  # type: ignore[attr-defined]

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.is_elsewhere():
            self.array[index] = underlying(value)
            return
        made = self.tape.call(updated.__wrapped__, (self, value), {"index": index})  # type: ignore[attr-defined]
        self.tape.write(self, made)

    def astype(self, dtype: Any, casting: str = "unsafe", copy: bool = True, **options: Any) -> Any:
        """The same numbers in another dtype."""
        if not copy and self.dtype == dtype:
            return self
        wrapped = converted.__wrapped__  # type: ignore[attr-defined]
        return self.tape.call(wrapped, (self,), {"dtype": np.dtype(dtype), "casting": casting})

    def __copy__(self) -> Any:
        if not self.is_array:  # a scalar is immutable
            return self
        return np.array(self.array) if self.is_elsewhere() else self.tape.call(np.copy, (self,), {"order": "K"})

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.__copy__()

    def __reduce__(self) -> Any:
        return self._escapes("pickling", lambda array: array.__reduce__())

    def view(self, dtype: Any) -> Any:
        """The same memory as another dtype."""
        return self.tape.call(reinterpreted, (self, np.dtype(dtype)), {})

    def _rebind(self, updated: Any, spelling: str) -> Any:
        self.tape.write(self, updated)
        return self

    def is_elsewhere(self) -> bool:
        """Whether this is another thread, which finds it where an array was, or a time when its tape has ended.

        Raises
        ------
        CaptureError
            If the function itself has handed it to the other thread, where no tape is.
        """
        if capturing.get() is self.tape:
            return False
        if self.tape.active and self.value.root.kind in ("input", "result"):
            raise CaptureError(
                f"{described(self)} was used in another thread than the one that tg.compile captures the function in, "
                "and the replay would not see what happens to it there: compute it in one thread"
            )
        return True

    # The operators that rules are full of; the mixin has all others.

    __add__, __radd__, __iadd__ = _operators(np.add, operator.add)
    __sub__, __rsub__, __isub__ = _operators(np.subtract, operator.sub)
    __mul__, __rmul__, __imul__ = _operators(np.multiply, operator.mul)
    __truediv__, __rtruediv__, __itruediv__ = _operators(np.true_divide, operator.truediv)
    __pow__, __rpow__, __ipow__ = _operators(np.power, operator.pow)
    __matmul__, __rmatmul__, __imatmul__ = _operators(np.matmul, operator.matmul)

    def __abs__(self) -> Any:
        return self.tape.call(np.absolute if self.is_array or self.dtype.kind != "c" else abs, (self,), {})

    # What a replay could not repeat.

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.is_elsewhere():
            return np.array(self.array, dtype=dtype, copy=copy)
        raise CaptureError(
            f"{described(self)} was turned into a plain array while tg.compile captured the function, and the replay "
            "would not see what happens to it: call NumPy functions on it (tg.tensor(x)[i] rather than x[i] or "
            "np.take(x, i) where x is a plain array), or do this outside of the compiled function"
        )

    def _escapes(self, what: str, elsewhere: Callable[[Any], Any]) -> Any:
        if self.is_elsewhere():
            return elsewhere(self.array)
        raise CaptureError(
            f"{what} of {described(self)} while tg.compile captured the function: the result depends on its elements, "
            "and a replay would go on with the number of today. Use np.where for a choice, return the value to look at "
            "it, or do this outside of the compiled function"
        )

    def __bool__(self) -> bool:
        return bool(self._escapes("bool()", bool))

    def __float__(self) -> float:
        return float(self._escapes("float()", float))

    def __int__(self) -> int:
        return int(self._escapes("int()", int))

    def __complex__(self) -> complex:
        return complex(self._escapes("complex()", complex))

    def __index__(self) -> int:
        return int(self._escapes("use as a Python integer", operator.index))

    def __contains__(self, value: Any) -> bool:
        return bool(self._escapes("in", lambda array: value in array))

    def __format__(self, spec: str) -> str:
        return str(self._escapes("printing", lambda array: format(array, spec)))

    def __repr__(self) -> str:
        return f"Traced({self.value}: {self.dtype}{self.shape})"

    def __str__(self) -> str:
        return str(self._escapes("printing", str))

    def item(self) -> Any:
        """Refused: a Python number would be fixed for all replays."""
        return self._escapes("item()", lambda array: array.item())

    def tolist(self) -> Any:
        """Refused: Python numbers would be fixed for all replays."""
        return self._escapes("tolist()", lambda array: array.tolist())


PLAIN.add(Traced)


def described(x: Traced) -> str:
    """Dtype and shape, for error messages."""
    return f"an array of {x.dtype}{x.shape}"


def underlying(leaf: Any) -> Any:
    """What an argument is during capture, a slice with its parts."""
    if isinstance(leaf, slice):
        return slice(*(underlying(part) for part in (leaf.start, leaf.stop, leaf.step)))
    return leaf.array if type(leaf) is Traced else leaf


def reinterpreted(array: Any, dtype: Any) -> Any:
    """``array.view(dtype)``."""
    return array.view(dtype)


def overlap(a: Any, b: Any) -> bool:
    """Whether both are arrays, and may share memory."""
    return isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and bool(np.may_share_memory(a, b))
