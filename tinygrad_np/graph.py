"""The graph: what was recorded, and whether anything is.

A `Node` is one recorded call. Nodes are numbered in the order in which they were made, so a node's number exceeds the
numbers of everything that it was computed from; they refer backwards only, to other nodes and to arrays, so there is
no reference cycle and a graph dies as soon as nobody holds its end.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from itertools import count
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from tinygrad_np.errors import DtypeError, GradientError

__all__ = [
    *("Leaf", "Lost", "Node", "Pending", "Pick", "Spec"),
    *("capturing", "enable_grad", "next_number", "no_grad", "recording"),
]

F = TypeVar("F", bound=Callable[..., Any])
Rule = Callable[..., Any]

# ---------------------------------------------------------------------------------------------------- whether to record

recording: ContextVar[bool] = ContextVar("tinygrad_np_recording", default=True)


capturing: ContextVar[Any] = ContextVar("tinygrad_np_capturing", default=None)
"""The tape of `tinygrad_np.compile` while it captures a function, or None."""


class _SetRecording:
    """A context manager and decorator that switches recording, for this thread or async task only."""

    _state: bool

    def __init__(self, *given: Any) -> None:
        if given:
            name = type(self).__name__
            raise DtypeError(f"{name} takes no arguments, not {given[0]!r}: to decorate a function, write @tg.{name}()")
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(recording.set(self._state))

    def __exit__(self, *exception: object) -> None:
        recording.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with type(self)():
                    return await function(*args, **kwargs)

            return cast(F, awaited)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = type(self).__name__
            raise DtypeError(f"{name} cannot decorate a generator, whose body runs later: write with tg.{name}() in it")

        @functools.wraps(function)
        def switched(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return cast(F, switched)


class no_grad(_SetRecording):
    """Record nothing within a ``with`` block, or within a function decorated with ``@tg.no_grad()``.

    The state belongs to the current thread or async task; others never see it.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = np.exp(w)
    >>> y.requires_grad
    False
    """

    _state = False


class enable_grad(_SetRecording):
    """Record again inside of a `no_grad` block, or within a function decorated with ``@tg.enable_grad()``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = np.exp(w)
    >>> y.requires_grad
    True
    """

    _state = True


# ------------------------------------------------------------------------------------------------------------ the nodes

next_number = count(1).__next__


class Spec:
    """Shape and dtype of an array that is not kept: what a rule sees of a parameter named ``_x``."""

    __slots__ = ("__weakref__", "dtype", "shape")

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size


class Recorded(Protocol):
    """What a node needs to know of the function that made it: see `tinygrad_np.core.Differentiable`."""

    name: str
    has_pole: bool
    selects: bool
    special: bool
    broadcasts: bool
    elementwise: bool
    reads_values: bool
    quiet: bool
    variadic: bool
    rules: tuple[Rule | None, ...]

    def rules_for(self, node: Node, wrap: Any, is_masked: bool) -> Sequence[Rule | None]:
        """One rule for each of the node's parents, if the function is variadic."""


class Node(Spec):
    """One recorded call. It keeps the nodes it came from and the arrays that its rules named, nothing more."""

    __slots__ = ("function", "inputs", "number", "output", "parents", "static")

    def __init__(
        self,
        function: Recorded,
        parents: tuple[Node | None, ...],
        inputs: tuple[Any, ...],
        output: Any,
        static: dict[str, Any],
        value: Any,
    ) -> None:
        self.number = next_number()
        self.function = function
        self.parents = parents
        self.inputs: tuple[Any, ...] | None = inputs  # None once backward has let go of them
        self.output = output
        self.static = static
        self.shape = value.shape
        self.dtype = value.dtype


class Pick(Node):
    """One output of a call that has several: where their cotangents are collected."""

    __slots__ = ("index",)

    def __init__(self, call: Node, index: int, value: Any) -> None:
        super().__init__(call.function, (call,), (), None, {}, value)
        self.index = index


class Leaf(Node):
    """Where a graph starts: a Tensor that the user asked a gradient for. The gradient is kept here."""

    __slots__ = ("array", "grad", "updated")

    last_update = 0  # the newest of all leaves' `updated`: a graph that was recorded later needs no closer look

    def __init__(self, value: Any) -> None:
        self.number = next_number()
        self.parents = ()
        self.shape = value.shape
        self.dtype = value.dtype
        self.grad: np.ndarray[Any, Any] | None = None
        self.array = weakref.ref(value)
        self.updated = 0  # when the array was last changed in place, on the scale of the node numbers


class Pending:
    """A gradient that lies in a buffer of a compiled step until somebody asks for it."""

    __slots__ = ("buffer",)

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    def array(self) -> np.ndarray[Any, Any]:
        """A copy, which later steps leave alone."""
        return np.array(self.buffer)


class Lost(Pending):
    """A gradient of a compiled step that is nowhere any more."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        super().__init__(None)
        self.why = why

    def array(self) -> np.ndarray[Any, Any]:
        """Raise: it is gone."""
        raise GradientError(self.why)
