"""Function transforms: from a function of arrays to its derivatives, of any order and in any combination.

Each runs the function once on Tensors, and asks `gradients` for what is wanted. Within another transform the derivative
is recorded in turn, so ``tg.grad(tg.grad(f))`` needs nothing special. Arguments and results may be nested dicts, lists,
tuples and named tuples of arrays. An input that the result does not depend on gets zeros.

``f`` should be a function of its arguments alone. Names follow JAX and HIPS autograd.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, cast

import numpy as np

from tinygrad_np.backward import walk
from tinygrad_np.batching import Batched
from tinygrad_np.core import Tensor, as_array, gradients, tensor
from tinygrad_np.errors import DtypeError, GradientError, ShapeError
from tinygrad_np.graph import Node, enable_grad
from tinygrad_np.trees import leaves, map_leaves, paths, rebuild

__all__ = ["elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp"]

Function = Callable[..., Any]
Argnums = int | Sequence[int]

# Whether a transform is running a function, whose own transforms must then be recorded.
_within: ContextVar[bool] = ContextVar("tinygrad_np_within_transform", default=False)

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
    recorded : bool
        Whether derivatives have to be recorded themselves, and are then returned as Tensors.
    """

    def __init__(
        self, caller: str, function: Function, args: Sequence[Any], kwargs: dict[str, Any], argnums: Argnums, aux: bool
    ) -> None:
        self.caller = caller
        self.single = isinstance(argnums, int)
        numbers = [argnums] if isinstance(argnums, int) else list(argnums)
        for number in numbers:
            if not -len(args) <= number < len(args):
                raise GradientError(f"{caller}: argnums={argnums}, but the call has {len(args)} positional arguments")
        numbers = [number % len(args) for number in numbers]
        self.selected = [args[number] for number in numbers]
        outside = [t for t in leaves([args, list(kwargs.values())]) if isinstance(t, Tensor) and t.requires_grad]
        self.recorded = _within.get() or bool(outside)
        given: list[Any] = list(args)
        self.inputs: list[Tensor] = []
        for number in numbers:
            tensors = [_input(caller, number, path, leaf) for path, leaf in paths(args[number])]
            given[number] = rebuild(args[number], tensors)
            self.inputs += tensors
        token = _within.set(True)
        try:
            with enable_grad():
                result = function(*given, **kwargs)
        finally:
            _within.reset(token)
        if aux and not (isinstance(result, tuple) and len(result) == 2):
            raise GradientError(
                f"{caller}: with has_aux=True the function must return a pair (value, aux), not {type(result).__name__}"
            )
        self.output: Any = result[0] if aux else result
        self.aux: Any = result[1] if aux else None

    def value(self) -> Any:
        """The output as the caller of a transform gets it."""
        return self.result(self.output)

    def result(self, tree: Any) -> Any:
        """Tensors if the derivatives are recorded, arrays if not."""
        return tree if self.recorded else map_leaves(lambda t: t.data if isinstance(t, Tensor) else t, tree)

    def scalar(self) -> Tensor:
        """The output, which must be one real number."""
        y = self.output if isinstance(self.output, Tensor) else np.asarray(self.output)
        if y.size != 1 or y.dtype.kind not in "f":
            raise GradientError(
                f"{self.caller}: the function returned {y.dtype}{y.shape}, and only a real floating-point scalar has a "
                "gradient: reduce it, for instance with np.sum, or use tg.jacobian or tg.elementwise_grad"
            )
        return y if isinstance(y, Tensor) else Tensor(y)

    def pull(self, outputs: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """The gradients of all inputs, flat: zeros where nothing depends on them."""
        live = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if isinstance(y, Tensor) and y.requires_grad]
        if not live:
            zeros = [np.zeros(x.shape, x.dtype) for x in self.inputs]
            return [Tensor(z) for z in zeros] if self.recorded else zeros
        ys, gs = zip(*live, strict=True)
        found: list[Any] = gradients(ys, self.inputs, gs, create_graph=self.recorded, retain_graph=True)
        return found

    def structured(self, flat: list[Any]) -> Any:
        """One thing for each input, in the structure of the selected arguments."""
        trees = rebuild(self.selected, flat)
        return trees[0] if self.single else tuple(trees)


def _input(caller: str, number: int, path: str, leaf: Any) -> Tensor:
    """A Tensor to differentiate with respect to: a new one, so that it is this call's own."""
    if isinstance(leaf, Tensor) and leaf.requires_grad:
        return cast(Tensor, +leaf)
    value = leaf.data if isinstance(leaf, Tensor) else as_array(leaf)
    if value.dtype.kind not in "fc":
        raise DtypeError(
            f"{caller}: argument {number}{path} is {value.dtype}{value.shape}, and a derivative needs a floating-point "
            "or complex one: write 1.0 rather than 1, or choose other arguments with argnums"
        )
    return tensor(value, requires_grad=True)


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
        Its result has the structure, shapes and dtypes of the selected arguments: arrays, or Tensors if an argument is
        a Tensor that requires a gradient or another transform is going on.

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
    >>> tg.grad(tg.grad(np.sin))(1.0) == -np.sin(1.0)
    True
    """
    both = value_and_grad(fn, argnums, has_aux=has_aux, _caller="grad()")

    @functools.wraps(fn)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def value_and_grad(
    fn: Function, argnums: Argnums = 0, *, has_aux: bool = False, _caller: str = "value_and_grad()"
) -> Function:
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

    @functools.wraps(fn)
    def both(*args: Any, **kwargs: Any) -> Any:
        run = _Run(_caller, fn, args, kwargs, argnums, has_aux)
        y = run.scalar()
        found = run.structured(run.pull([y], [np.ones(y.shape, y.dtype)]))
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
        run = _Run("elementwise_grad()", fn, args, kwargs, argnums, False)
        outputs = leaves(run.output)
        return run.structured(run.pull(outputs, [np.ones(np.shape(y), y.dtype) for y in outputs]))

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
    run = _Run("vjp()", fn, args, kwargs, 0 if len(args) == 1 else tuple(range(len(args))), has_aux)
    outputs = leaves(run.output)

    def pull(cotangent: Any) -> Any:
        cotangents = leaves(cotangent)
        if len(cotangents) != len(outputs):
            raise ShapeError(f"vjp(): the function has {len(outputs)} outputs, and got {len(cotangents)} cotangents")
        return run.structured(run.pull(outputs, cotangents))

    return (run.value(), pull, run.result(run.aux)) if has_aux else (run.value(), pull)


def jvp(fn: Function, primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of a function, and how it changes as its arguments move along tangents.

    It is the derivative of the gradient with respect to the cotangent, which that depends on linearly: two backward
    walks (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).

    Parameters
    ----------
    fn : callable
        Any function of arrays.
    primals, tangents : sequence
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
    run = _Run("jvp()", fn, primals, {}, tuple(range(len(primals))), has_aux)
    directions = leaves(list(tangents))
    shapes = [x.shape for x in run.inputs]
    if len(tangents) != len(primals) or [np.shape(v) for v in directions] != shapes:
        raise ShapeError(
            f"jvp(): the tangents must have the primals' shapes, {shapes}, not {[np.shape(v) for v in directions]}"
        )
    outputs = leaves(run.output)
    dummies, pulled = _pullback(run, outputs)
    found = [np.zeros(np.shape(y), y.dtype) for y in outputs]
    moved = [(p, v) for p, v in zip(pulled, directions, strict=True) if p.requires_grad]
    if moved:
        live = [i for i, u in enumerate(dummies) if u is not None]
        ps, vs = zip(*moved, strict=True)
        along = gradients(ps, [dummies[i] for i in live], vs, create_graph=run.recorded, retain_graph=True)
        for i, tangent in zip(live, along, strict=True):
            found[i] = tangent
    tangent = rebuild(run.output, found)
    return (run.value(), tangent, run.result(run.aux)) if has_aux else (run.value(), tangent)


def _pullback(run: _Run, outputs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """A dummy cotangent for each recorded output, and the gradients of the inputs as recorded functions of those."""
    dummies: list[Any] = [
        tensor(np.ones(y.shape), dtype=y.dtype, requires_grad=True)
        if isinstance(y, Tensor) and y.requires_grad
        else None
        for y in outputs
    ]
    live = [i for i, u in enumerate(dummies) if u is not None]
    if not live:
        return dummies, [Tensor(np.zeros(x.shape, x.dtype)) for x in run.inputs]
    pulled = gradients([outputs[i] for i in live], run.inputs, [dummies[i] for i in live], create_graph=True)
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
        gradient of the real part of each element.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.jacobian(lambda x: x[:2] * x[1:])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    """

    @functools.wraps(fn)
    def derivative(*args: Any, **kwargs: Any) -> Any:
        run = _Run("jacobian()", fn, args, kwargs, argnums, has_aux)
        outputs = leaves(run.output)
        if _count(run.inputs) * 3 < _count(outputs) and not any(x.dtype.kind == "c" for x in [*run.inputs, *outputs]):
            rows = _by_columns(run, outputs)
        else:
            rows = [_by_rows(run, y) for y in outputs]
        found = rebuild(run.output, [run.structured(row) for row in rows])
        return (found, run.result(run.aux)) if has_aux else found

    return derivative


def _count(arrays: Sequence[Any]) -> int:
    return sum(int(np.size(a)) for a in arrays)


def _by_rows(run: _Run, y: Any) -> list[Any]:
    """The derivatives of one output with respect to each input: a batch of cotangents, one for each element."""
    nodes = [x._node for x in run.inputs]
    if not isinstance(y, Tensor) or y._node is None or y.size == 0:
        return [_zeros(run, (*np.shape(y), *x.shape), x.dtype) for x in run.inputs]
    found = _batched_walk(run, {y._node: y.size}, y.dtype, nodes)
    return [np.reshape(f, (*y.shape, *x.shape)) for f, x in zip(found, run.inputs, strict=True)]


def _by_columns(run: _Run, outputs: Sequence[Any]) -> list[list[Any]]:
    """The derivatives of all outputs: a batch of tangents, one for each input element."""
    dummies, pulled = _pullback(run, outputs)
    rows: list[list[Any]] = [[_zeros(run, (*np.shape(y), *x.shape), x.dtype) for x in run.inputs] for y in outputs]
    live = [i for i, u in enumerate(dummies) if u is not None]
    for j, (x, p) in enumerate(zip(run.inputs, pulled, strict=True)):
        if p._node is None or x.size == 0:
            continue
        found = _batched_walk(run, {p._node: p.size}, p.dtype, [dummies[i]._node for i in live])
        for i, columns in zip(live, found, strict=True):
            shape = np.shape(outputs[i])
            rows[i][j] = np.moveaxis(columns, 0, -1).reshape(*shape, *x.shape)
    return rows


def _batched_walk(run: _Run, start: dict[Node, int], dtype: Any, targets: Sequence[Any]) -> list[Any]:
    """For each target, its gradients from every element of the output, stacked along a first axis."""
    ((node, size),) = start.items()
    wrap = Tensor if run.recorded else None
    chunk = max(1, _BATCH_ELEMENTS // max(1, _largest(node)))
    parts: list[list[Any]] = []
    for begin in range(0, size, chunk):
        count = min(chunk, size - begin)
        if count == size:
            cotangent = Batched(diagonal=np.ones(node.shape, dtype))
        else:
            cotangent = Batched(np.eye(count, size, begin, dtype=dtype).reshape(count, *node.shape))
        with enable_grad():
            found = walk({node: cotangent}, set(targets), retain=True, wrap=wrap)
        parts.append([_stack(found.get(target), count, target, run) for target in targets])
    return [column[0] if len(column) == 1 else np.concatenate(column) for column in zip(*parts, strict=True)]


def _stack(found: Any, count: int, target: Node, run: _Run) -> Any:
    if found is None:
        return _zeros(run, (count, *target.shape), target.dtype)
    if isinstance(found, Batched):
        found = found.stacked
        return found if isinstance(found, Tensor) == run.recorded else _zeros(run, found.shape, found.dtype) + found
    return np.broadcast_to(found, (count, *target.shape))


def _zeros(run: _Run, shape: tuple[int, ...], dtype: Any) -> Any:
    zeros = np.zeros(shape, dtype)
    return Tensor(zeros) if run.recorded else zeros


def _largest(node: Node) -> int:
    """The size of the largest array in the graph behind a node."""
    seen, pending, largest = {node}, [node], 0
    while pending:
        current = pending.pop()
        largest = max(largest, current.size)
        for parent in current.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                pending.append(parent)
    return largest


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
    return jacobian(grad(fn, argnums, has_aux=has_aux), argnums, has_aux=has_aux)


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

    @functools.wraps(fn)
    def product(*args: Any, **kwargs: Any) -> Any:
        *primals, vector = args
        run = _Run("hvp()", grad(fn, argnums), primals, kwargs, argnums, False)
        slopes, vectors = leaves(run.output), leaves(vector)
        if [np.shape(v) for v in vectors] != [s.shape for s in slopes]:
            raise ShapeError(
                f"hvp(): the vector must have the shapes {[s.shape for s in slopes]} of the arguments, not "
                f"{[np.shape(v) for v in vectors]}"
            )
        return run.structured(run.pull(slopes, vectors))

    return product
