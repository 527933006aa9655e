"""The engine: a Tensor that NumPy itself records, and the table of what each NumPy function does with one.

The library in reading order:

1. `graph`: whether anything is recorded, and the numbered nodes that a recording consists of;
2. `backward`: the loop over the nodes, newest first, that carries cotangents back;
3. this page: `Tensor`, the handle that users hold; `apply`, the one door that every call goes through;
   `Differentiable`, which runs a call on arrays and records it; `defvjp`, which gives a function its derivative;
   `gradients`;
4. `rules`: the derivatives of NumPy's functions, one page a family.

The one idea: a derivative rule is plain NumPy. ``backward()`` runs it on arrays. When the gradient itself has to be
differentiated, the same rule runs on Tensors, so its own NumPy calls are recorded like any others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from operator import attrgetter
from typing import Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_np.backward import walk, zero
from tinygrad_np.errors import (
    DtypeError,
    EscapeError,
    GradientError,
    LeafUpdateError,
    MissingRuleError,
    ShapeError,
)
from tinygrad_np.graph import (
    Leaf,
    Node,
    Pick,
    Rule,
    Spec,
    capturing,
    enable_grad,
    next_number,
    no_grad,
    recording,
)
from tinygrad_np.memory import aligned
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.signatures import CallSignature, RuleSignature, described_call, explained, function_name, refuse_masked
from tinygrad_np.standins import add_gradient, as_array, gradient_of, live, mark_updated, set_gradient
from tinygrad_np.trees import leaves

__all__ = ["Tensor", "apply", "defvjp", "enable_grad", "gradients", "no_grad", "primitive", "tensor", "zero"]

F = TypeVar("F", bound=Callable[..., Any])


# -------------------------------------------------------------------------------------------------------- 1. Tensor


def _operators(ufunc: np.ufunc) -> tuple[Callable[[Tensor, Any], Any], ...]:
    """``a + b``, its reflection and ``a += b``, from the ufunc that they stand for."""

    def forward(self: Tensor, other: Any) -> Any:
        return table[ufunc].binary(self, other)

    def reflected(self: Tensor, other: Any) -> Any:
        return table[ufunc].binary(other, self)

    def in_place(self: Tensor, other: Any) -> Any:
        return self._rebind(apply(ufunc, (self, other)), f"an in-place {ufunc.__name__}")

    return forward, reflected, in_place


class Tensor(ArrayMethods):
    """An array that NumPy functions record, so that `backward` can differentiate them.

    Make one with `tensor`. Every NumPy function and operator takes it and returns another; ``shape``, ``ndim``,
    ``size`` and ``dtype`` are plain Python values.

    A plain array that takes part in a recorded call is not copied, so writing to it before `backward` changes the
    gradient: pass a copy, or `tensor` of it, where it is going to be written to.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> w = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> loss = np.sum(w ** 2)
    >>> loss.backward()
    >>> w.grad
    array([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_given", "_node", "_value")
    precedence = 1

    _value: Any
    _node: Node | None
    _given: bool  # set by `tensor` alone: what calls return does not take the time to say that it is not

    def __init__(self, value: Any, node: Node | None = None) -> None:
        self._value = value
        self._node = node

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient can flow to or through this Tensor."""
        return self._node is not None

    @property
    def is_leaf(self) -> bool:
        """Whether the user made this Tensor, rather than a recorded operation."""
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def _is_given(self) -> bool:
        """Whether the user made it with `tensor`, unlike a leaf that a call under `no_grad` returned."""
        return isinstance(self._node, Leaf) or (self._node is None and hasattr(self, "_given"))

    @property
    def grad(self) -> np.ndarray[Any, Any] | None:
        """The gradient that `backward` has added up here, or None. Only leaves keep one."""
        if isinstance(self._node, Leaf):
            gradient: np.ndarray[Any, Any] | None = gradient_of(self._node)
            return gradient
        if self._node is not None:
            raise GradientError(
                f"{self._node.function.name} made this tensor, and only leaves keep a .grad: "
                "write tg.gradients(loss, [t]) for the gradient of an intermediate result"
            )
        return None

    @grad.setter
    def grad(self, gradient: np.ndarray[Any, Any] | None) -> None:
        if not isinstance(self._node, Leaf):
            raise GradientError("only a leaf that requires a gradient has a .grad to set")
        if gradient is not None:
            if isinstance(gradient, Tensor):
                raise GradientError(".grad holds an ndarray: write t.grad = g.data")
            gradient = as_array(gradient)
            if gradient.shape != self.shape or gradient.dtype != self.dtype:
                raise GradientError(
                    f".grad must have the tensor's shape and dtype, {self.shape} {self.dtype}, "
                    f"not {gradient.shape} {gradient.dtype}"
                )
        set_gradient(self._node, gradient)

    def backward(self, gradient: ArrayLike | None = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this Tensor to the ``.grad`` of every leaf that it depends on.

        Parameters
        ----------
        gradient : array_like, optional
            The cotangent to start from, in this Tensor's shape. A scalar needs none: it starts from 1.
        retain_graph : bool
            Keep the recorded arrays, so that a second backward through this graph is possible.

        Raises
        ------
        GradientError
            If this Tensor is not recorded, or is no scalar and no cotangent is given.
        FreedGraphError
            If an earlier backward has gone through this graph without ``retain_graph=True``.
        """
        node = self._node
        if gradient is None and node is not None and node.shape == () and node.dtype.kind == "f":
            start: dict[Node, Any] = {node: np.array(1, node.dtype)}
        else:
            start = _starting_cotangents([self], [gradient], "backward()", recorded=False)
        found: dict[Any, Any] = walk(start, None, retain=retain_graph, wrap=None)
        for leaf, gradient in found.items():
            add_gradient(leaf, gradient)

    @staticmethod
    def door(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Where the calls that this kind of tensor takes part in go."""
        return apply(function, args, kwargs)

    def detach(self) -> Tensor:
        """The same array as a Tensor that is not recorded."""
        return _given(self._value) if self._is_given else Tensor(self._value)

    def mark_updated(self) -> None:
        """Declare that ``data`` was written to, so that backward through an older graph is an error, not a lie.

        Optimisers call this after an in-place step.
        """
        if isinstance(self._node, Leaf):
            mark_updated(self._node)

    # What Python and NumPy call.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return apply(function, inputs, kwargs) if kwargs else apply(function, inputs)

    def __array_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return apply(function, args, kwargs)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self._node is not None:
            raise EscapeError(
                f"turning a tensor of {self.dtype}{self.shape} that requires a gradient into a plain array would lose "
                "the gradient: write t.data or t.detach() if that is meant, np.stack([...]) to join tensors, "
                "or call the NumPy function on the tensor itself"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    def __getitem__(self, index: Any) -> Any:
        return getitem(self, index=_plain_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._rebind(updated(self, value, index=_plain_index(index)), "t[index] = v")

    def astype(
        self, dtype: DTypeLike, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """The same numbers in another dtype; the gradient comes back in this one."""
        try:
            dtype = np.dtype(dtype)
        except TypeError as error:
            raise explained(error, "t.astype", (self, dtype), {}) from error
        return converted(self, dtype=dtype, casting=casting)

    def _rebind(self, updated: Tensor, spelling: str) -> Tensor:
        """Let this handle stand for another value: what in-place operators mean when values are immutable.

        Shape and dtype stay, as they do in an array.
        """
        if isinstance(self._node, Leaf):
            raise LeafUpdateError(
                f"{spelling} on a leaf of shape {self.shape} that requires a gradient: its gradient would be lost. "
                "Write to t.data for an update that is not recorded, or to a new tensor such as +t for one that is"
            )
        if updated.shape != self.shape:
            raise ShapeError(f"{spelling} would turn shape {self.shape} into {updated.shape}: write t = t + v instead")
        if updated.dtype != self.dtype:
            if not np.can_cast(updated.dtype, self.dtype, "same_kind"):
                raise DtypeError(
                    f"{spelling} would turn dtype {self.dtype} into {updated.dtype}: write t = t + v instead, or "
                    "convert one of them with t.astype(dtype)"
                )
            updated = updated.astype(self.dtype)
        # NumPy returns scalars where there are no axes, and what is written to the `data` of one would be lost.
        self._value = as_array(updated._value)
        self._node = updated._node if self.dtype.kind in "fc" else None
        return self

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="tensor(")
        dtype = "" if self.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.dtype}"
        if self._node is None:
            origin = ""
        elif isinstance(self._node, Leaf):
            origin = ", requires_grad=True"
        else:
            origin = f", from={self._node.function.name}"
        return f"tensor({body}{dtype}{origin})"

    def __copy__(self) -> Tensor:
        return self.detach() if self._node is None else Tensor(self._value, self._node)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise EscapeError("a recorded tensor cannot be deep-copied: write t.detach() first, or t.copy()")
        if not self._is_given:
            return Tensor(live(self._value).copy())
        return tensor(live(self._value), requires_grad=self.requires_grad)

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise EscapeError("a recorded tensor cannot be pickled: write t.detach() first")
        if not self._is_given:
            return Tensor, (self.data,)
        return functools.partial(tensor, requires_grad=self.requires_grad), (self.data,)

    # Operators, each the ufunc that NumPy uses for it.

    __add__, __radd__, __iadd__ = _operators(np.add)
    __sub__, __rsub__, __isub__ = _operators(np.subtract)
    __mul__, __rmul__, __imul__ = _operators(np.multiply)
    __truediv__, __rtruediv__, __itruediv__ = _operators(np.true_divide)
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators(np.floor_divide)
    __mod__, __rmod__, __imod__ = _operators(np.remainder)
    __pow__, __rpow__, __ipow__ = _operators(np.power)
    __matmul__, __rmatmul__, __imatmul__ = _operators(np.matmul)
    __and__, __rand__, __iand__ = _operators(np.bitwise_and)
    __or__, __ror__, __ior__ = _operators(np.bitwise_or)
    __xor__, __rxor__, __ixor__ = _operators(np.bitwise_xor)
    __lshift__, __rlshift__, __ilshift__ = _operators(np.left_shift)
    __rshift__, __rrshift__, __irshift__ = _operators(np.right_shift)
    __divmod__, __rdivmod__, _ = _operators(np.divmod)
    __lt__, __gt__, _ = _operators(np.less)
    __le__, __ge__, _ = _operators(np.less_equal)
    __eq__, _, _ = _operators(np.equal)
    __ne__, _, _ = _operators(np.not_equal)
    del _

    def __neg__(self) -> Any:
        return apply(np.negative, (self,))

    def __pos__(self) -> Any:
        return apply(np.positive, (self,))

    def __abs__(self) -> Any:
        return apply(np.absolute, (self,))

    def __invert__(self) -> Any:
        return apply(np.invert, (self,))

    __hash__ = object.__hash__


def tensor(data: ArrayLike | Tensor, *, requires_grad: bool = False, dtype: DTypeLike | None = None) -> Tensor:
    """Copy an array, number or nested list into a Tensor.

    Parameters
    ----------
    data : array_like or Tensor
        The values, in any shape.
    requires_grad : bool
        Make the Tensor a leaf, which `backward` computes a gradient for.
    dtype : dtype, optional
        The dtype; by default the one that NumPy chooses.

    Raises
    ------
    DtypeError
        If a gradient is asked for and the dtype is neither floating-point nor complex, or if the data is not numeric.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.tensor([[1.0, 2.0]], requires_grad=True)
    tensor([[1., 2.]], requires_grad=True)
    """
    if isinstance(data, Tensor) and data.requires_grad:
        raise EscapeError(
            f"tg.tensor of a tensor of {data.dtype}{data.shape} that requires a gradient would lose the gradient: "
            "write t.detach() or t.data if that is meant, t.copy() for a copy through which gradients flow"
        )
    refuse_masked(data, "tg.tensor")
    try:
        if capturing.get() is not None and isinstance(data, ArrayMethods):
            value = np.copy(data.data)
            value = value if dtype is None else value.astype(dtype)
        else:
            value = np.array(data.data if isinstance(data, Tensor) else data, dtype=dtype)
    except (ValueError, TypeError) as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(f"tg.tensor: the rows of a nested list must be of one length: {data!r:.200}") from error
        raise explained(error, "tg.tensor", [data], {} if dtype is None else {"dtype": dtype}) from error
    if value.dtype.hasobject or value.dtype.kind not in "biufc":
        raise DtypeError(f"a tensor holds numbers, not dtype {value.dtype} (shape {value.shape})")
    if requires_grad and value.dtype.kind not in "fc":
        raise DtypeError(
            f"a tensor of dtype {value.dtype} and shape {value.shape} cannot require a gradient: "
            "gradients need a floating-point or complex dtype, so write dtype=np.float32 or pass floats such as 1.0"
        )
    if not requires_grad:
        return _given(value)
    value = aligned(value) if isinstance(value, np.ndarray) else value
    return Tensor(value, Leaf(value))


def _given(value: Any) -> Tensor:
    """A Tensor that is not recorded, and that no call has returned."""
    made = Tensor(value)
    made._given = True
    return made


# ----------------------------------------------------------------------------- 2. what apply does with each function

table: dict[Any, Handler] = {}
"""Every function that Tensors take part in, and how. The modules in ``rules/`` fill it."""

redefined: list[Callable[..., Any]] = []
"""The functions that were given other rules than they had, which programs captured before that do not follow."""

_new: Any = object.__new__
_NO_KEYWORDS: dict[str, Any] = {}
_OBJECT = np.dtype(object)
_NUMBERS = frozenset({float, int, complex, bool, np.float64, np.float32, np.int64, np.complex128, np.bool_})


def apply(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] = _NO_KEYWORDS) -> Any:
    """Call a function on Tensors: the one door that every operator, ufunc and NumPy function comes through."""
    handler = table.get(function)
    if handler is None:
        raise MissingRuleError(
            f"{described_call(function_name(function), args, kwargs)}: the function has no derivative rule. Write "
            "it in terms of NumPy functions that have one, give it one with tg.defvjp, or call it on t.data if no "
            "gradient is needed"
        )
    return handler.call(args, kwargs)


class Handler:
    """What happens when one function is called with a Tensor among its arguments."""

    __slots__ = ("function", "name")

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.function = function
        self.name = name or function_name(function)

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Make the call with these arguments, Tensors among them."""
        raise NotImplementedError

    def binary(self, x0: Any, x1: Any) -> Any:
        """Make the call with two arguments, as an operator does."""
        return self.call((x0, x1), _NO_KEYWORDS)


class Differentiable(Handler):
    """Run the function on arrays and, if an argument depends on a leaf, record a node.

    `defvjp` says what the rules look like, and what the options mean.
    """

    __slots__ = (
        *("_plans", "_signature", "arity", "reads", "rules"),
        *("broadcasts", "elementwise", "has_pole", "quiet", "reads_values", "selects", "special", "variadic"),
    )

    def __init__(
        self,
        function: Callable[..., Any],
        rules: tuple[Rule | None, ...],
        *,
        name: str | None = None,
        has_pole: bool = False,
        selects: bool = False,
        variadic: bool = False,
        elementwise: bool = False,
        quiet: bool = False,
    ) -> None:
        super().__init__(function, name)
        self.rules = rules
        self.variadic = variadic
        self.arity = -1 if variadic else len(rules)
        is_ufunc = isinstance(function, np.ufunc) and function.nout == 1
        self.broadcasts = elementwise or is_ufunc
        self.elementwise = elementwise or (is_ufunc and getattr(function, "signature", None) is None)
        self.has_pole = has_pole
        self.selects = selects
        self.quiet = quiet
        self.special = has_pole or selects or variadic  # which costs the walk one look rather than three
        self.reads = [
            None if rule is None or rule is zero else RuleSignature(rule, len(rules), self.name) for rule in rules
        ]
        readable = [signature for signature in self.reads if signature is not None]
        self.reads_values = any(s.keeps_output or any(s.keeps) for s in readable)
        self._signature = CallSignature(function, readable, self.arity, self.name)
        self._plans: dict[int, tuple[bool, tuple[int, ...]]] = {}

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Tell arrays from static keywords, and record."""
        if not kwargs and len(args) == self.arity:
            return self.record(args, kwargs)
        arrays, static = self._signature.bind(args, kwargs)
        result = self.record(arrays, {name: self._plain(name, value) for name, value in static.items()})
        if "dtype" in static and isinstance(result, Tensor) and result.dtype.kind not in "fc":
            return result.detach()  # integers and booleans are constant
        return result

    def record(self, args: Sequence[Any], static: dict[str, Any]) -> Any:
        """Call with array arguments and static keywords told apart, and record the call if it needs a gradient."""
        values: list[Any] = []
        parents: list[Node | None] = []
        tracked = 0
        tape = capturing.get()
        for argument in args:
            kind: type = argument.__class__
            if kind is Tensor:
                values.append(argument._value if tape is None else tape.storage(argument._value))
                node = argument._node
                if node is not None:
                    tracked |= 1 << len(parents)
                parents.append(node)
            else:
                values.append(argument if argument is None or kind in _NUMBERS else _operand(argument, self.name))
                parents.append(None)
        recorded = tracked and recording.get()
        rule_static = self._signature.for_rules(static) if static and recorded else static
        try:
            value = self.function(*values, **static) if tape is None else tape.call(self.function, values, static)
        except (ValueError, TypeError, IndexError) as error:
            raise explained(error, self.name, values, static) from error
        several = issubclass(type(value), tuple)  # isinstance asks a stand-in for its class, which takes longer
        for result in value if several else (value,):
            if getattr(result, "dtype", _OBJECT).kind not in "biufc":
                what = getattr(result, "dtype", type(result).__name__)
                raise DtypeError(f"{described_call(self.name, values, static)} returned {what}: tensors hold numbers")
        if not recorded:
            return _like(value, [Tensor(v) for v in value]) if several else Tensor(value)
        keeps_output, dropped = self._plans.get(tracked) or self._plan(tracked, len(values))
        for position in dropped:
            values[position] = parents[position] or _stand_in(values[position])
        if several:
            output = value if keeps_output else tuple(_stand_in(v) for v in value)
            node = Node(self, tuple(parents), tuple(values), output, rule_static, value[0])
            picks = [Pick(node, i, v) if v.dtype.kind in "fc" else None for i, v in enumerate(value)]
            return _like(value, [Tensor(v, pick) for v, pick in zip(value, picks, strict=True)])
        return self._tensor(value, tuple(parents), tuple(values), value if keeps_output else None, rule_static)

    def _tensor(
        self,
        value: Any,
        parents: tuple[Node | None, ...],
        inputs: tuple[Any, ...],
        output: Any,
        static: dict[str, Any] = _NO_KEYWORDS,
    ) -> Tensor:
        """``Tensor(value, Node(...))``, without the cost of calling two classes."""
        node: Node = _new(Node)
        node.number = next_number()
        node.function = self
        node.parents = parents
        node.inputs = inputs
        node.output = output
        node.static = static
        node.shape = value.shape
        node.dtype = value.dtype
        tensor: Tensor = _new(Tensor)
        tensor._value = value
        tensor._node = node
        return tensor

    def _plan(self, tracked: int, count: int) -> tuple[bool, tuple[int, ...]]:
        """Whether to keep the output, and which inputs to drop, when these arguments (bits) need a gradient."""
        reads = self.reads * count if self.arity < 0 else self.reads
        needed = {s for i, s in enumerate(reads) if s is not None and tracked >> i & 1}
        dropped = tuple(i for i in range(count) if not any(s.keeps[i % len(s.keeps)] for s in needed))
        plan = any(s.keeps_output for s in needed), dropped
        if self.arity >= 0:
            self._plans[tracked] = plan
        return plan

    def rules_for(self, node: Node, wrap: Any, is_masked: bool) -> Sequence[Rule | None]:
        """One rule for each of the node's parents, for a function of any number of arrays."""
        (rule,) = self.rules
        return [cast(Rule, functools.partial(cast(Rule, rule), argnum=i)) for i in range(len(node.parents))]

    def _plain(self, name: str, value: Any) -> Any:
        """A static argument without Tensors; one that needs a gradient has no business there."""
        if isinstance(value, Tensor):
            if value.requires_grad and recording.get():
                raise MissingRuleError(
                    f"{self.name} has no derivative with respect to {name!r}, and a tensor of shape {value.shape} that "
                    f"requires a gradient was passed for it: pass t.data or t.detach() if its gradient is not needed"
                )
            return live(value._value)
        if isinstance(value, tuple | list):
            return type(value)(self._plain(name, item) for item in value)
        return value


class Ufunc(Differentiable):
    """A ufunc of one or two arrays with one result: the calls that there are most of.

    `call` does what `Differentiable.record` does, spelled out, in half the time; a capture has time for `record`.
    """

    __slots__ = ("_kept",)

    def __init__(self, function: Callable[..., Any], rules: tuple[Rule | None, ...], **options: Any) -> None:
        super().__init__(function, rules, **options)
        # Whether output, first and second input are kept, by which inputs need a gradient.
        self._kept = [
            (keeps_output, 0 not in dropped, 1 not in dropped)
            for keeps_output, dropped in (self._plan(tracked, self.arity) for tracked in range(4))
        ]

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run and record a call with one or two positional arguments; leave all others to the general way."""
        if kwargs or len(args) != self.arity:
            return super().call(args, kwargs)
        return self.binary(*args) if self.arity == 2 else self.unary(*args)

    def unary(self, x0: Any) -> Any:
        """Run and record a call with one argument."""
        if capturing.get() is not None:
            return self.record((x0,), _NO_KEYWORDS)
        value0, node0 = (x0._value, x0._node) if x0.__class__ is Tensor else (_operand(x0, self.name), None)
        try:
            value = self.function(value0)
        except (ValueError, TypeError) as error:
            raise explained(error, self.name, (value0,), {}) from error
        if node0 is None or not recording.get():
            return Tensor(value)
        keeps_output, keeps0, _ = self._kept[1]
        return self._tensor(value, (node0,), (value0 if keeps0 else node0,), value if keeps_output else None)

    def binary(self, x0: Any, x1: Any) -> Any:
        """Run and record a call with two arguments."""
        if capturing.get() is not None:
            return self.record((x0, x1), _NO_KEYWORDS)
        if x0.__class__ is Tensor:
            value0, node0 = x0._value, x0._node
        else:
            value0, node0 = x0 if x0.__class__ in _NUMBERS else _operand(x0, self.name), None
        if x1.__class__ is Tensor:
            value1, node1 = x1._value, x1._node
        else:
            value1, node1 = x1 if x1.__class__ in _NUMBERS else _operand(x1, self.name), None
        try:
            value = self.function(value0, value1)
        except (ValueError, TypeError) as error:
            raise explained(error, self.name, (value0, value1), {}) from error
        if (node0 is None and node1 is None) or not recording.get():
            return Tensor(value)
        keeps_output, keeps0, keeps1 = self._kept[2 if node0 is None else 1 if node1 is None else 3]
        inputs = (
            value0 if keeps0 or value0.__class__ in _NUMBERS else node0 or _stand_in(value0),
            value1 if keeps1 or value1.__class__ in _NUMBERS else node1 or _stand_in(value1),
        )
        return self._tensor(value, (node0, node1), inputs, value if keeps_output else None)


def _operand(argument: Any, name: str) -> Any:
    """An argument that is not a Tensor, as an array of numbers; anything else is refused by name."""
    if argument.__class__ is np.ndarray and argument.dtype.kind in "biufc":
        return argument
    is_array = isinstance(argument, np.generic | ArrayMethods) and not isinstance(argument, Tensor)
    if is_array and argument.dtype.kind in "biufc":
        return argument
    refuse_masked(argument, name)
    if isinstance(argument, np.matrix):
        raise DtypeError(f"{name}: a matrix's * means another thing: write np.asarray(matrix), and @ for products")
    array = np.asarray(argument)
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"{name}: an argument of type {type(argument).__name__} is no array of numbers: {argument!r}")
    return array


def _stand_in(value: Any) -> Any:
    return Spec(value.shape, value.dtype) if isinstance(value, np.ndarray) else value


def _like(values: tuple[Any, ...], tensors: list[Tensor]) -> Any:
    """The tensors in a tuple, or in the named tuple that NumPy returned."""
    return type(values)._make(tensors) if hasattr(values, "_make") else tuple(tensors)


def defvjp(
    function: F,
    *rules: Rule | None,
    has_pole: bool = False,
    selects: bool = False,
    variadic: bool = False,
    elementwise: bool = False,
    quiet: bool = False,
) -> F:
    """Give a function its derivative: one rule for each of its array arguments.

    Parameters
    ----------
    function : callable
        A NumPy function, one made with `primitive`, or any function of arrays that returns an array or a tuple of
        arrays. A plain function is wrapped: use the returned one.
    *rules : callable, `zero` or None
        ``rule(g, y, x0, x1, ..., **static)`` returns the gradient with respect to one array argument (the
        vector-Jacobian product), given the cotangent ``g`` of the output ``y``, the array arguments and the keyword
        arguments of the call. It is written in NumPy functions that have rules themselves, so that it can be
        differentiated in turn. A parameter whose name starts with an underscore is not kept alive for it and shows
        only ``shape``, ``dtype``, ``ndim`` and ``size``. For several outputs ``g`` and ``y`` are tuples, with None in
        ``g`` for an output that was not used. For complex arguments the gradient of a real loss is d/dRe + i d/dIm, so
        that a holomorphic rule multiplies with the conjugate of the derivative.
    has_pole : bool
        The derivative of this elementwise function can be infinite or NaN: where the cotangent is zero the gradient
        is made zero.
    selects : bool
        The function passes some elements on and ignores others, so that what it ignores may be infinite or NaN.
    variadic : bool
        The function takes any number of arrays, and its one rule gets the argument's position as ``argnum=``.
    elementwise : bool
        The function broadcasts its arguments as a ufunc does, so the gradient is summed over broadcast axes for the
        rule. NumPy's ufuncs need not say so.
    quiet : bool
        The rules cannot divide by zero, so that `backward` need not keep NumPy from warning, which saves time.

    Returns
    -------
    callable
        The function to call.

    Raises
    ------
    RuleError
        If a rule does not take the cotangent, the output and the array arguments.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> cube = tg.defvjp(lambda x: x * x * x, lambda g, _y, x: g * 3 * x**2)
    >>> w = tg.tensor(2.0, requires_grad=True)
    >>> cube(w).backward()
    >>> w.grad
    array(12.)
    """
    if not (isinstance(function, np.ufunc) or function in table or function_name(function).startswith("np.")):
        function = primitive(function)
    known = table.get(function)
    if known is not None and getattr(known, "rules", True):  # those of a new primitive are none yet
        redefined.append(function)
    plain = known.function if isinstance(known, Differentiable) else function
    fast = isinstance(plain, np.ufunc) and plain.nout == 1 and plain.nin == len(rules) <= 2
    table[function] = (Ufunc if fast else Differentiable)(
        plain,
        rules,
        name=known.name if isinstance(known, Differentiable) else function_name(function),
        has_pole=has_pole,
        selects=selects,
        variadic=variadic,
        elementwise=elementwise,
        quiet=quiet,
    )
    return function


def _takes_part(args: tuple[Any, ...]) -> bool | None:
    """Whether there is a Tensor among plain arrays, or None if that takes a closer look: the common cases, quickly."""
    found = False
    for a in args:
        kind = a.__class__
        if kind is Tensor:
            found = True
        elif kind is not np.ndarray and a is not None:
            return None
    return found


@overload
def primitive(function: F) -> F: ...


@overload
def primitive(*, name: str) -> Callable[[F], F]: ...


def primitive(function: Any = None, *, name: str | None = None) -> Any:
    """Make a function of arrays one recorded call, whose derivative comes from `defvjp` and not from its body.

    Parameters
    ----------
    function : callable
        Takes and returns arrays.
    name : str, optional
        What error messages call it; by default its own name.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> @tg.primitive
    ... def cube(x):
    ...     return x * x * x
    >>> _ = tg.defvjp(cube, lambda g, _y, x: g * 3 * x**2)
    >>> tg.gradients(cube(x := tg.tensor(2.0, requires_grad=True)), x)
    array(12.)
    """
    if function is None:
        return functools.partial(primitive, name=name)

    @functools.wraps(function)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        takes_part = None if kwargs else _takes_part(args)
        if takes_part:
            return apply(recorded, args)
        if takes_part is False and capturing.get() is None:
            return function(*args)
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, ArrayMethods)]
        if not arrays and capturing.get() is not None:  # an index may be all that is captured
            arrays = [a for a in leaves([args, kwargs]) if isinstance(a, ArrayMethods) and not isinstance(a, Tensor)]
        if not arrays:
            if any(a.__class__ is list and any(isinstance(t, Tensor) for t in a) for a in args):
                raise DtypeError(
                    f"{function_name(function)}: a list of tensors is no array: pass np.stack([...]), or pass each by "
                    "itself to a function of any number of arrays (variadic=True in tg.defvjp)"
                )
            return function(*args, **kwargs)
        return max(arrays, key=attrgetter("precedence")).door(recorded, args, kwargs)

    table[recorded] = Differentiable(function, (), name=name)
    return recorded


# What tensors do that no NumPy function is the name of; the rules are in rules/indexing.py and rules/shapes.py.


@primitive(name="t[index]")
def getitem(x: Any, *, index: Any) -> Any:
    """``x[index]``."""
    return x[index]


@primitive(name="t[index] = v")
def updated(x: Any, value: Any, *, index: Any) -> Any:
    """A copy of ``x`` in which ``x[index]`` is ``value``: what ``t[index] = value`` means where arrays are values."""
    result = np.array(x)
    result[index] = value
    return result


@primitive(name="astype")
def converted(x: Any, *, dtype: np.dtype[Any], casting: Any = "unsafe") -> Any:
    """``x.astype(dtype)``."""
    return x.astype(dtype, casting=casting)


def _plain_index(index: Any) -> Any:
    """An index with its tensors, masks and integer arrays, as NumPy takes it."""
    if index.__class__ is Tensor:
        return live(index._value)
    if isinstance(index, tuple | list):
        return type(index)(_plain_index(part) for part in index)
    if isinstance(index, slice):
        return slice(*(int(v) if isinstance(v, Tensor) else v for v in (index.start, index.stop, index.step)))
    return index


# ----------------------------------------------------------------------------------------------------- 3. gradients


def gradients(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    cotangents: ArrayLike | Tensor | Sequence[ArrayLike | Tensor | None] | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Gradients of outputs with respect to inputs, leaves or intermediate results, without touching any ``.grad``.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        What to differentiate. Several outputs count as their sum, each weighted with its cotangent.
    inputs : Tensor or sequence of Tensor
        With respect to what. One that the outputs do not depend on gets zeros.
    cotangents : array_like, Tensor, or sequence of them, optional
        One an output, in its shape. A scalar output needs none: it starts from 1.
    create_graph : bool
        Record the derivative rules themselves, so that the gradients can be differentiated again.
    retain_graph : bool, optional
        Keep the recorded arrays for another backward. By default the value of `create_graph`.

    Returns
    -------
    ndarray, or Tensor if `create_graph`; a list of them for a sequence of inputs
        Each in its input's shape and dtype.

    Raises
    ------
    GradientError
        If an output or input is not recorded, or a cotangent is missing or does not fit.
    FreedGraphError
        If an earlier backward has gone through this graph without retaining it.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> (slope,) = tg.gradients(x ** 3, [x], create_graph=True)
    >>> tg.gradients(slope, x)
    array(12.)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for position, x in enumerate(wanted):
        if not isinstance(x, Tensor) or x._node is None:
            raise GradientError(
                f"gradients(): input {position} is {_described(x)}, not a tensor that requires a gradient"
            )
    nodes = [cast(Node, x._node) for x in wanted]
    retain = create_graph if retain_graph is None else retain_graph
    with enable_grad() if create_graph else nullcontext():
        if isinstance(outputs, Tensor):
            start = _starting_cotangents([outputs], [cotangents], "gradients()", create_graph)
        else:
            cotangents = [None] * len(outputs) if cotangents is None else cotangents
            start = _starting_cotangents(outputs, cotangents, "gradients()", create_graph)
        found = walk(start, set(nodes), retain=retain, wrap=Tensor if create_graph else None)
    results = [found[node] if node in found else np.zeros(node.shape, node.dtype) for node in nodes]
    if create_graph:
        # Handles of their own: where two gradients are one Tensor, updating one must not change the other.
        results = [Tensor(r._value, r._node) if isinstance(r, Tensor) else Tensor(r) for r in results]
    else:
        results = [as_array(r) for r in results]
        if len(set(nodes)) < len(nodes):  # arrays of their own, too, for an input that is named twice
            results = [np.copy(r) for r in results]
    return results[0] if isinstance(inputs, Tensor) else results


def _described(x: Any) -> str:
    return f"a tensor of {x.dtype}{x.shape} that was not recorded" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def _fitting(cotangent: Any, output: Tensor, caller: str, recorded: bool) -> Any:
    """A cotangent that the user gave, in its output's dtype."""
    if not isinstance(cotangent, ArrayMethods):
        cotangent = np.asarray(cotangent)
    elif not recorded:
        cotangent = cotangent.data
    if cotangent.shape != output.shape or not np.can_cast(cotangent.dtype, output.dtype, "same_kind"):
        raise GradientError(
            f"{caller}: a cotangent of {cotangent.dtype}{cotangent.shape} does not fit "
            f"an output of {output.dtype}{output.shape}"
        )
    return cotangent.astype(output.dtype)


def _starting_cotangents(
    outputs: Sequence[Tensor], cotangents: Any, caller: str, recorded: bool
) -> dict[Node, Any]:
    """Check what the walk starts from: one cotangent an output, 1 for a real scalar without one."""
    if len(cotangents) != len(outputs):
        raise GradientError(f"{caller}: {len(outputs)} outputs need as many cotangents, not {len(cotangents)}")
    start: dict[Node, Any] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if not isinstance(output, Tensor) or output._node is None:
            raise GradientError(
                f"{caller}: the output is {_described(output)}. Nothing it was computed from required a gradient, "
                "or it was computed under no_grad: make a leaf with tg.tensor(..., requires_grad=True)"
            )
        if cotangent is None:
            if output.size != 1 or output.dtype.kind == "c":
                raise GradientError(
                    f"{caller}: an output of {output.dtype}{output.shape} has no single derivative. Reduce it to a "
                    "real scalar first, as with np.sum(t) or np.mean(t), or pass a cotangent of its shape"
                )
            cotangent = np.ones(output.shape, output.dtype)
        else:
            cotangent = _fitting(cotangent, output, caller, recorded)
        node = output._node
        start[node] = start[node] + cotangent if node in start else cotangent
    return start
