"""Function transforms: from a function of arrays to its derivatives, of any order and in any combination.

Each runs the function once on Tensors, and asks `gradients` for what is wanted. Arguments and results may be nested
dicts, lists, tuples and named tuples of arrays. An input that the result does not depend on gets zeros.

What comes out are arrays. But where the function used Tensors that somebody else differentiates by, be it as arguments
or from an outer scope, the derivative depends on them too, and comes as a recorded Tensor. So ``tg.grad(tg.grad(f))``
needs nothing special, and neither does a loss that contains the gradient of another. Under `no_grad` nothing is
recorded, and arrays come out.

Names follow JAX and HIPS autograd.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np

from tinygrad_np.backward import reachable, walk
from tinygrad_np.batching import Batched
from tinygrad_np.core import Tensor, gradients, tensor
from tinygrad_np.errors import DtypeError, EscapeError, GradientError, MissingRuleError, ShapeError
from tinygrad_np.graph import Node, enable_grad, next_number, recording
from tinygrad_np.signatures import refuse_masked
from tinygrad_np.standins import as_array
from tinygrad_np.trees import leaves, map_leaves, matched, paths, rebuild

__all__ = ["elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

Function = Callable[..., Any]
Argnums = int | Sequence[int]

_BATCH_ELEMENTS = 2**23
"""How large, in elements, a batch of cotangents may make the largest array of a graph."""


class _Run:
    """One run of a function on Tensors.

    Attributes
    ----------
    inputs : list of Tensor
        The leaves of the selected arguments.
    output : nested Tensors and arrays
        What the function returned.
    outputs : list of Tensor or ndarray
        Its leaves.
    recorded : bool
        Whether derivatives have to be recorded themselves, since what came out depends on older Tensors.
    """

    def __init__(
        self,
        caller: str,
        function: Function,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        argnums: Argnums,
        has_aux: bool = False,
    ) -> None:
        self.caller = caller
        self.single = not isinstance(argnums, Iterable)
        numbers = _positions(caller, argnums, len(args))
        self.selected = [args[number] for number in numbers]
        self.inputs: list[Tensor] = []
        given = list(args)
        begin = next_number()
        with enable_grad():
            for number in numbers:
                tensors = [_input(caller, number, path, leaf) for path, leaf in paths(args[number])]
                given[number] = rebuild(args[number], tensors)
                self.inputs += tensors
            result = function(*given, **kwargs)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise GradientError(
                f"{caller}: with has_aux=True the function must return a pair (value, aux), not {type(result).__name__}"
            )
        self.output: Any
        self.aux: Any
        self.output, self.aux = result if has_aux else (result, None)
        self.outputs = [_output(caller, leaf) for leaf in leaves(self.output)]
        self.recorded = recording.get() and _depends_on_older(result, begin)

    def records(self, others: Iterable[Any]) -> bool:
        """Whether a derivative along these cotangents or tangents has to be recorded."""
        return self.recorded or (recording.get() and any(_is_recorded(other) for other in others))

    def value(self) -> Any:
        """The output as the caller of a transform gets it."""
        return self.result(self.output)

    def result(self, tree: Any) -> Any:
        """Tensors if the derivatives are recorded, arrays if not."""
        return tree if self.recorded else map_leaves(lambda t: t.data if isinstance(t, Tensor) else t, tree)

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """The gradients of all inputs, flat, for a cotangent of each output: zeros where nothing depends on them."""
        records = self.records(cotangents)
        live = [(y, g) for y, g in zip(self.outputs, cotangents, strict=True) if _is_recorded(y)]
        if not live:
            return [_zeros(x.shape, x.dtype, records) for x in self.inputs]
        ys, gs = zip(*live, strict=True)
        found: list[Any] = gradients(ys, self.inputs, gs, create_graph=records, retain_graph=True)
        return found

    def structured(self, flat: Sequence[Any]) -> Any:
        """One thing for each input, in the structure of the selected arguments."""
        trees = rebuild(self.selected, flat)
        return trees[0] if self.single else tuple(trees)


def _positions(caller: str, argnums: Argnums, count: int) -> list[int]:
    """The numbers of the selected arguments, counted from 0."""
    numbers = [operator.index(number) for number in (argnums if isinstance(argnums, Iterable) else [argnums])]
    for number in numbers:
        if not -count <= number < count:
            raise GradientError(f"{caller}: argnums={argnums}, but the call has {count} positional arguments")
    positions = [number % count for number in numbers]
    if len(set(positions)) < len(positions):
        raise GradientError(f"{caller}: argnums={argnums} names an argument twice, of {count}")
    return positions


def _input(caller: str, number: int, path: str, leaf: Any) -> Tensor:
    """A Tensor to differentiate with respect to: a new one, so that it is this call's own."""
    if _is_recorded(leaf):
        return cast(Tensor, +leaf)
    refuse_masked(leaf, caller)
    value = leaf.data if isinstance(leaf, Tensor) else as_array(leaf)
    if value.dtype.kind not in "fc":
        advice = "take it from an outer scope" if caller in ("vjp()", "jvp()") else "choose others with argnums"
        raise DtypeError(
            f"{caller}: argument {number}{path} is {value.dtype}{value.shape}, and a derivative needs a floating-point "
            f"or complex one: write 1.0 rather than 1, or if it is no argument to differentiate by, {advice}"
        )
    return tensor(value, requires_grad=True)


def _output(caller: str, leaf: Any) -> Any:
    y = leaf if isinstance(leaf, Tensor) else as_array(leaf)
    if y.dtype.kind not in "biufc":
        raise DtypeError(f"{caller}: the function returned {leaf!r}, and a derivative is that of numbers and arrays")
    return y


def _is_recorded(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _depends_on_older(tree: Any, begin: int) -> bool:
    """Whether any Tensor in a structure was computed from what had been recorded before."""
    ends = {leaf._node for leaf in leaves(tree) if isinstance(leaf, Tensor) and leaf._node is not None}
    return bool(ends) and reachable(ends, begin)[-1].number <= begin


def _zeros(shape: tuple[int, ...], dtype: Any, as_tensor: bool) -> Any:
    zeros = np.zeros(shape, dtype)
    return Tensor(zeros) if as_tensor else zeros


def _directions(what: str, tree: Any, pattern: Any, arrays: Sequence[Any]) -> list[Any]:
    """The leaves of a structure of cotangents or tangents, one for each array and in its shape."""
    try:
        given = matched(tree, pattern)
    except ShapeError as error:
        raise ShapeError(f"{what}: {error}") from None
    for v in given:
        refuse_masked(v, what)
    found = [v if isinstance(v, Tensor) else as_array(v) for v in given]
    for v, array in zip(found, arrays, strict=True):
        if v.shape != array.shape:
            raise ShapeError(f"{what}: shape {v.shape} does not fit {array.dtype}{array.shape}")
        if array.dtype.kind in "fc" and not np.can_cast(v.dtype, array.dtype, "same_kind"):
            raise DtypeError(f"{what}: {v.dtype}{v.shape} does not fit {array.dtype}{array.shape}")
    return found


def grad(fn: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """The gradient of a scalar function, as a function of the same arguments.

    Parameters
    ----------
    fn : callable
        Returns a real scalar; with `has_aux`, a pair of it and anything else.
    argnums : int or sequence of int
        With respect to which positional arguments. A sequence makes the result a tuple.
    has_aux : bool
        Return the pair of the gradient and what else the function returned.

    Returns
    -------
    callable
        Its result has the structure, shapes and dtypes of the selected arguments: arrays, or Tensors if the function
        used Tensors that require a gradient. For a complex argument it is d/dRe + i d/dIm.

    Raises
    ------
    GradientError
        If the function returns anything but a real scalar.
    DtypeError
        If a selected argument is not floating-point or complex.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.grad(lambda x: np.sum(x ** 3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> bool(tg.grad(tg.grad(np.sin))(1.0) == -np.sin(1.0))
    True
    """
    return _grad("grad()", fn, argnums, has_aux)


def value_and_grad(fn: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """The value of a scalar function together with its gradient.

    Parameters
    ----------
    fn, argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        Returns ``(value, gradient)``; with `has_aux`, ``((value, aux), gradient)``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> value, slope = tg.value_and_grad(np.tanh)(0.0)
    >>> float(value), float(slope)
    (0.0, 1.0)
    """
    return _value_and_grad("value_and_grad()", fn, argnums, has_aux)


def _grad(caller: str, fn: Function, argnums: Argnums, has_aux: bool) -> Function:
    both = _value_and_grad(caller, fn, argnums, has_aux)

    @functools.wraps(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def _value_and_grad(caller: str, fn: Function, argnums: Argnums, has_aux: bool) -> Function:
    @functools.wraps(fn)
    def both(*args: Any, **kwargs: Any) -> Any:
        run = _Run(caller, fn, args, kwargs, argnums, has_aux)
        if len(run.outputs) != 1 or run.outputs[0].size != 1 or run.outputs[0].dtype.kind != "f":
            returned = ", ".join(f"{y.dtype}{y.shape}" for y in run.outputs)
            raise GradientError(
                f"{caller}: the function returned {returned or run.output}, and only a real floating-point scalar has "
                "a gradient: reduce it, for instance with np.sum, or use tg.jacobian or tg.elementwise_grad"
            )
        (y,) = run.outputs
        found = run.structured(run.pull([np.ones(y.shape, y.dtype)]))
        value = run.value()
        return ((value, run.result(run.aux)), found) if has_aux else (value, found)

    return both


def elementwise_grad(fn: Function, argnums: Argnums = 0) -> Function:
    """The derivative of an elementwise function, element by element: the gradient of the sum of its results.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.elementwise_grad(lambda x: x ** 2)(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])
    """

    @functools.wraps(fn)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        run = _Run("elementwise_grad()", fn, args, kwargs, argnums)
        return run.structured(run.pull([np.ones(y.shape, y.dtype) for y in run.outputs]))

    return derivative


def vjp(fn: Function, *args: Any, has_aux: bool = False, **kwargs: Any) -> tuple[Any, ...]:
    """The value of a function, and the function that pulls cotangents of its result back to its arguments.

    Parameters
    ----------
    fn : callable
        Any function of arrays.
    *args, **kwargs
        Where. All positional arguments are differentiated.
    has_aux : bool
        The function returns a pair of its result and anything else, which becomes the third result.

    Returns
    -------
    value : array or nested arrays
        ``fn(*args, **kwargs)``.
    pull : callable
        Takes a cotangent in the structure and shapes of the value; returns the gradient of the one argument, or a tuple
        of gradients. It may be called any number of times.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> value, pull = tg.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pull(np.array([1.0, 0.0]))
    (array([3., 0.]), array([1., 0.]))
    """
    run = _Run("vjp()", fn, args, kwargs, 0 if len(args) == 1 else range(len(args)), has_aux)

    def pull(cotangent: Any) -> Any:
        return run.structured(run.pull(_directions("vjp(): the cotangent", cotangent, run.output, run.outputs)))

    return (run.value(), pull, run.result(run.aux)) if has_aux else (run.value(), pull)


def jvp(fn: Function, primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of a function, and how it changes as its arguments move along tangents.

    It is the derivative of the gradient with respect to the cotangent, which that depends on linearly: two backward
    walks (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).

    Parameters
    ----------
    fn : callable
        Any function of arrays.
    primals, tangents : tuple or list
        The arguments, and a direction for each, in its structure and shapes.
    has_aux : bool
        The function returns a pair of its result and anything else, which becomes the third result.

    Returns
    -------
    value, tangent : array or nested arrays
        ``fn(*primals)`` and its directional derivative.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> value, tangent = tg.jvp(np.sin, (np.array([0.0, 1.0]),), (np.array([2.0, 0.0]),))
    >>> tangent
    array([2., 0.])
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, list | tuple):
            raise DtypeError(f"jvp(): {name} are a tuple of one for each argument, not {type(given).__name__}: (x,)")
    run = _Run("jvp()", fn, primals, {}, range(len(primals)), has_aux)
    directions = _directions("jvp(): the tangent", list(tangents), list(primals), run.inputs)
    records = run.records(directions)
    dummies, pulled = _pullback(run)
    found = [_zeros(y.shape, y.dtype, records) for y in run.outputs]
    moved = [(p, v) for p, v in zip(pulled, directions, strict=True) if p.requires_grad]
    if moved:
        ps, vs = zip(*moved, strict=True)
        along = gradients(ps, list(dummies.values()), vs, create_graph=records)
        for i, tangent in zip(dummies, along, strict=True):
            found[i] = tangent
    tangent = rebuild(run.output, found)
    return (run.value(), tangent, run.result(run.aux)) if has_aux else (run.value(), tangent)


def _pullback(run: _Run) -> tuple[dict[int, Tensor], list[Tensor]]:
    """A dummy cotangent for each recorded output, and the gradients of the inputs as recorded functions of those."""
    dummies = {
        i: tensor(np.ones(y.shape), dtype=y.dtype, requires_grad=True)
        for i, y in enumerate(run.outputs)
        if _is_recorded(y)
    }
    if not dummies:
        return dummies, [Tensor(np.zeros(x.shape, x.dtype)) for x in run.inputs]
    ys = [run.outputs[i] for i in dummies]
    pulled: list[Tensor] = gradients(ys, run.inputs, list(dummies.values()), create_graph=True)
    return dummies, pulled


def jacobian(fn: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """All derivatives of all elements of a function's result.

    One walk carries a whole batch of cotangents, one for each element of the result, rather than one walk each; or,
    where the arguments have far fewer elements than the result, a batch of tangents.

    Parameters
    ----------
    fn : callable
        Any function of arrays.
    argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        For one array in and one out, its result has the shape ``(*output.shape, *input.shape)``. Otherwise it is
        nested: the structure of the output, and in it that of the selected arguments. For a complex input it is the
        gradient of the real part of each element, which for a holomorphic function is the conjugate of its derivative.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.jacobian(lambda x: x[:2] * x[1:])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """
    return _jacobian("jacobian()", fn, argnums, has_aux)


def hessian(fn: Function, argnums: Argnums = 0, *, has_aux: bool = False) -> Function:
    """All second derivatives of a scalar function: the Jacobian of its gradient.

    Parameters
    ----------
    fn, argnums, has_aux
        As for `grad`.

    Returns
    -------
    callable
        For one array its result has the shape ``(*x.shape, *x.shape)``; otherwise it is nested like the arguments,
        twice.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return _jacobian("hessian()", _grad("hessian()", fn, argnums, has_aux), argnums, has_aux)


def _jacobian(caller: str, fn: Function, argnums: Argnums, has_aux: bool) -> Function:
    @functools.wraps(fn)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        run = _Run(caller, fn, args, kwargs, argnums, has_aux)
        rows = (_by_columns(run) if _has_few_inputs(run) else None) or [_by_rows(run, y) for y in run.outputs]
        found = rebuild(run.output, [run.structured(row) for row in rows])
        return (found, run.result(run.aux)) if has_aux else found

    return derivative


def _has_few_inputs(run: _Run) -> bool:
    inputs, outputs = (sum(a.size for a in arrays) for arrays in (run.inputs, run.outputs))
    return inputs * 3 < outputs and not any(x.dtype.kind == "c" for x in run.inputs)


def _by_rows(run: _Run, y: Any) -> list[Any]:
    """The derivatives of one output with respect to each input: a batch of cotangents, one for each element."""
    dtypes = [_dtype(x, y) for x in run.inputs]
    if not isinstance(y, Tensor) or y._node is None or y.size == 0:
        return [_zeros((*y.shape, *x.shape), dtype, run.recorded) for x, dtype in zip(run.inputs, dtypes, strict=True)]
    targets = [cast(Node, x._node) for x in run.inputs]
    found = _batched_walk(run, y._node, 1, targets)
    if any(x.dtype != dtype for x, dtype in zip(run.inputs, dtypes, strict=True)):
        imaginary = _batched_walk(run, y._node, 1j, targets)
        found = [
            f if x.dtype == dtype else f + 1j * part
            for x, dtype, f, part in zip(run.inputs, dtypes, found, imaginary, strict=True)
        ]
    return [f.reshape((*y.shape, *x.shape)) for f, x in zip(found, run.inputs, strict=True)]


def _by_columns(run: _Run) -> list[list[Any]] | None:
    """The derivatives of all outputs: a batch of tangents, one for each input element; None if a rule has no rules."""
    try:
        dummies, pulled = _pullback(run)
    except (MissingRuleError, EscapeError):
        return None
    rows = [[_zeros((*y.shape, *x.shape), _dtype(x, y), run.recorded) for x in run.inputs] for y in run.outputs]
    for j, (x, p) in enumerate(zip(run.inputs, pulled, strict=True)):
        if p._node is None or x.size == 0:
            continue
        found = _batched_walk(run, p._node, 1, [cast(Node, dummy._node) for dummy in dummies.values()])
        for i, columns in zip(dummies, found, strict=True):
            y = run.outputs[i]
            rows[i][j] = np.moveaxis(columns, 0, -1).reshape((*y.shape, *x.shape)).astype(_dtype(x, y), copy=False)
    return rows


def _dtype(x: Any, y: Any) -> Any:
    """A gradient has its input's dtype, but the derivative of a complex output has an imaginary part too."""
    return np.result_type(x.dtype, np.complex64) if y.dtype.kind == "c" else x.dtype


def _batched_walk(run: _Run, node: Node, unit: complex, targets: Sequence[Node]) -> list[Any]:
    """For each target, its gradients from every element of a node, stacked along a first axis."""
    chunk = max(1, _BATCH_ELEMENTS // max(1, *(behind.size for behind in reachable([node], 0))))
    parts = [
        _walk_from(run, node, unit, targets, range(begin, min(begin + chunk, node.size)))
        for begin in range(0, node.size, chunk)
    ]
    columns = [column[0] if len(column) == 1 else np.concatenate(column) for column in zip(*parts, strict=True)]
    seen: set[int] = set()
    return [_own(column, seen) for column in columns]


def _walk_from(run: _Run, node: Node, unit: complex, targets: Sequence[Node], elements: range) -> list[Any]:
    """The gradients from some of a node's elements: all in one walk or, if a rule has to see single arrays, in many."""
    unit = node.dtype.type(unit)
    if len(elements) == node.size:
        start = Batched(diagonal=np.full(node.shape, unit))
    else:
        rows = np.eye(len(elements), node.size, elements.start, dtype=node.dtype)
        start = Batched((unit * rows).reshape(len(elements), *node.shape))
    found = None
    # A rule of the user's own may fail for a batch in any way; single arrays have the last word.
    with suppress(Exception):
        found = _walked(run, node, start, targets)
    if found is None:
        each = [_walked(run, node, cotangent, targets) for cotangent in start.stacked]
        found = {target: Batched(np.stack([f[target] for f in each])) for target in each[0]}
    return [_stack(run, found.get(target), len(elements), target) for target in targets]


def _walked(run: _Run, node: Node, cotangent: Any, targets: Sequence[Node]) -> dict[Node, Any]:
    with enable_grad():
        return walk({node: cotangent}, set(targets), retain=True, wrap=Tensor if run.recorded else None)


def _stack(run: _Run, found: Any, count: int, target: Node) -> Any:
    if found is None:
        return _zeros((count, *target.shape), target.dtype, run.recorded)
    stack = found.stacked if isinstance(found, Batched) else np.broadcast_to(found, (count, *target.shape))
    return Tensor(stack) if run.recorded and not isinstance(stack, Tensor) else stack


def _own(array: Any, seen: set[int]) -> Any:
    """An array that nobody else holds and that may be written to: rules may give one and the same to two inputs."""
    shared = isinstance(array, np.ndarray) and (array.base is not None or id(array) in seen)
    seen.add(id(array))
    return array.copy() if shared else array


def hvp(fn: Function, argnums: Argnums = 0) -> Function:
    """The product of a scalar function's Hessian with a vector, without the Hessian.

    Parameters
    ----------
    fn, argnums
        As for `grad`.

    Returns
    -------
    callable
        Takes the arguments of `fn` and, last, a vector in the structure and shapes of the selected arguments; its
        result has them too.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> f = lambda x: np.sum(x ** 4)
    >>> tg.hvp(f)(np.array([1.0, 2.0]), np.array([1.0, 0.5]))
    array([12., 24.])
    """
    gradient = _grad("hvp()", fn, argnums, False)

    @functools.wraps(fn)
    def product(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise GradientError("hvp(): the last positional argument is the vector to multiply with, and there is none")
        *primals, vector = args
        run = _Run("hvp()", gradient, primals, kwargs, argnums)
        return run.structured(run.pull(_directions("hvp(): the vector", vector, run.output, run.outputs)))

    return product
