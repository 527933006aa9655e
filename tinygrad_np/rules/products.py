"""Matrix and tensor products: sums of products, so that each gradient is a product of the others' kind."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive
from tinygrad_np.rules.handlers import composite
from tinygrad_np.rules.indexing import arrayed


def adjoint(x: Any) -> Any:
    """The conjugate transpose of each matrix."""
    return x.mT.conjugate()


ROWS, SIZES = 16, range(2048, 16_385)
"""From how many rows on, and for how many bytes of a matrix, copying it costs less than it brings."""


def _times_adjoint(g: Any, x: Any) -> Any:
    """``g @ adjoint(x)``, for which BLAS needs twice the time if `x` is small and turned around: then it is copied."""
    turned = adjoint(x)
    return g @ (turned.copy() if x.ndim == 2 and x.nbytes in SIZES and g.shape[-2] >= ROWS else turned)


# np.matmul: a rule may leave batch axes that were broadcast, for the walk to sum over.


def _matmul_left(g: Any, _y: Any, _x0: Any, x1: Any) -> Any:
    if x1.ndim == 1:
        return g[..., None] * x1.conjugate()
    if _x0.ndim == 1:
        return _without_batch((x1.conjugate() @ g[..., None])[..., 0])
    return _times_adjoint(g, x1)


def _matmul_right(g: Any, _y: Any, x0: Any, _x1: Any) -> Any:
    if _x1.ndim == 1:
        return g.reshape(-1) @ x0.conjugate().reshape(g.size, x0.shape[-1])
    if x0.ndim == 1:
        return x0.conjugate()[:, None] * g[..., None, :]
    return adjoint(x0) @ g


def _without_batch(gradient: Any) -> Any:
    return np.sum(gradient, axis=tuple(range(gradient.ndim - 1))) if gradient.ndim > 1 else gradient


defvjp(np.matmul, _matmul_left, _matmul_right)


@composite(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    a, b = arrayed(a), arrayed(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if b.ndim == 1 or (a.ndim <= 2 and b.ndim == 2):
        return a @ b
    return np.tensordot(a, b, axes=(-1, -2))


@composite(np.inner)
def _inner(a: Any, b: Any, /) -> Any:
    a, b = arrayed(a), arrayed(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else np.tensordot(a, b, axes=(-1, -1))


@composite(np.outer)
def _outer(a: Any, b: Any, out: Any = None) -> Any:
    return np.ravel(a)[:, None] * np.ravel(b)[None, :]


@composite(np.kron)
def _kron(a: Any, b: Any) -> Any:
    a, b = arrayed(a), arrayed(b)
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    pairs = list(zip(shape_a, shape_b, strict=True))
    product = a.reshape([n for i, _ in pairs for n in (i, 1)]) * b.reshape([n for _, j in pairs for n in (1, j)])
    return product.reshape([i * j for i, j in pairs])


@composite(np.vdot)
def _vdot(a: Any, b: Any, /) -> Any:
    return np.ravel(a).conjugate() @ np.ravel(b)


@composite(np.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = arrayed(a), arrayed(b)
    axes_a, axes_b = _contracted_axes(a.ndim, b.ndim, axes)
    if [a.shape[i] for i in axes_a] != [b.shape[i] for i in axes_b]:
        raise ValueError(f"np.tensordot: shapes {a.shape} and {b.shape} differ along the axes {axes_a} and {axes_b}")
    free_a = [i for i in range(a.ndim) if i not in axes_a]
    free_b = [i for i in range(b.ndim) if i not in axes_b]
    length = int(np.prod([a.shape[i] for i in axes_a]))
    shape_a, shape_b = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    left = np.transpose(a, free_a + axes_a).reshape(int(np.prod(shape_a)), length)
    right = np.transpose(b, axes_b + free_b).reshape(length, int(np.prod(shape_b)))
    return (left @ right).reshape(shape_a + shape_b)


def _contracted_axes(ndim_a: int, ndim_b: int, axes: Any) -> tuple[list[int], list[int]]:
    if np.ndim(axes) == 0 and not isinstance(axes, tuple | list):
        number = int(axes)
        if number < 0 or number > min(ndim_a, ndim_b):
            raise ValueError(f"np.tensordot: axes={number} of arrays with {ndim_a} and {ndim_b} axes")
        return list(range(ndim_a - number, ndim_a)), list(range(number))
    axes_a, axes_b = ([int(i) for i in np.atleast_1d(np.asarray(part))] for part in axes)
    for given, ndim in ((axes_a, ndim_a), (axes_b, ndim_b)):
        for axis in given:
            if not -ndim <= axis < ndim:
                raise np.exceptions.AxisError(axis, ndim)
    found = [i % ndim_a for i in axes_a], [i % ndim_b for i in axes_b]
    if len(found[0]) != len(found[1]) or any(len(set(part)) != len(part) for part in found):
        raise ValueError(f"np.tensordot: axes={axes} must name as many different axes of one array as of the other")
    return found


# np.einsum: put into one normal form, in which the gradient with respect to one operand is another einsum.


@primitive(name="np.einsum")
def contraction(*operands: Any, inputs: tuple[str, ...], output: str, optimize: Any) -> Any:
    """An einsum in normal form: explicit output, no ellipsis, no index twice in one operand."""
    return np.einsum(f"{','.join(inputs)}->{output}", *operands, optimize=optimize)


def _contraction_rule(
    g: Any, _y: Any, *operands: Any, argnum: int, inputs: tuple[str, ...], output: str, optimize: Any
) -> Any:
    mine, shape = inputs[argnum], operands[argnum].shape
    others = [i for i in range(len(operands)) if i != argnum]
    elsewhere = set(output).union(*(inputs[i] for i in others))
    # An index that only this operand has was summed over by itself: the gradient is the same all along it.
    found = "".join(index for index in mine if index in elsewhere)
    conjugates = [arrayed(operands[i]).conjugate() for i in others]
    subscripts = (output, *(inputs[i] for i in others))
    gradient = contraction(g, *conjugates, inputs=subscripts, output=found, optimize=optimize)
    missing = tuple(i for i, index in enumerate(mine) if index not in elsewhere)
    gradient = np.expand_dims(gradient, missing)
    # An axis of length 1 stands for every value of its index.
    stretched = tuple(i for i, length in enumerate(shape) if length == 1 != gradient.shape[i])
    if stretched:
        gradient = np.sum(gradient, axis=stretched, keepdims=True)
    return np.broadcast_to(gradient, shape)


defvjp(contraction, _contraction_rule, variadic=True)


@composite(np.einsum)
def _einsum(
    *operands: Any,
    out: Any = None,
    optimize: Any = False,
    dtype: Any = None,
    casting: str = "safe",
    order: str = "K",
) -> Any:
    arrays, inputs, output = _parsed(operands)
    if dtype is not None:
        arrays = [a.astype(dtype, casting=casting) for a in arrays]
    for position, labels in enumerate(inputs):
        arrays[position], inputs[position] = _without_repeats(arrays[position], labels)
    return contraction(*arrays, inputs=tuple(inputs), output=output, optimize=optimize)


def _parsed(operands: Sequence[Any]) -> tuple[list[Any], list[str], str]:
    """Arrays, the indices of each, and those of the output, from either way of calling einsum."""
    if isinstance(operands[0], str):
        arrays = [arrayed(a) for a in operands[1:]]
        left, arrow, right = operands[0].replace(" ", "").partition("->")
        inputs: list[str] = left.split(",")
    else:
        listed = len(operands) // 2 * 2
        arrays = [arrayed(a) for a in operands[0:listed:2]]
        inputs = [_letters(labels) for labels in operands[1:listed:2]]
        arrow, right = ("->", _letters(operands[-1])) if len(operands) % 2 else ("", "")
    if len(inputs) != len(arrays):
        raise ValueError(f"np.einsum: {len(inputs)} operands in {operands[0]!r}, but {len(arrays)} arrays were passed")
    free = [c for c in string.ascii_letters if c not in right + "".join(inputs)]
    longest = 0
    for position, (labels, array) in enumerate(zip(inputs, arrays, strict=True)):
        named = len(labels.replace("...", ""))
        hidden = array.ndim - named if "..." in labels else 0
        if hidden < 0 or named + hidden != array.ndim:
            raise ValueError(f"np.einsum: the subscripts {labels!r} do not fit an array of shape {array.shape}")
        longest = max(longest, hidden)
        # Axes that an ellipsis stands for are matched from the right.
        inputs[position] = labels.replace("...", "".join(free[:hidden][::-1]))
    ellipsis = "".join(free[:longest][::-1])
    if arrow:
        if ellipsis and "..." not in right:
            raise ValueError(f"np.einsum: the output {right!r} leaves out the axes that '...' stands for in the inputs")
        return arrays, inputs, right.replace("...", ellipsis)
    every = "".join(inputs)
    once = sorted(c for c in set(every) if every.count(c) == 1 and c not in ellipsis)
    return arrays, inputs, ellipsis + "".join(once)


def _letters(labels: Sequence[Any]) -> str:
    """Integer indices as letters in the order in which NumPy sorts them."""
    letters = string.ascii_uppercase + string.ascii_lowercase
    return "".join("..." if label is Ellipsis else letters[label] for label in labels)


def _without_repeats(array: Any, labels: str) -> tuple[Any, str]:
    """The diagonal along axes that share an index, and the indices that are left."""
    for index in labels:
        first = labels.find(index)
        second = labels.find(index, first + 1)
        if second >= 0:
            if array.shape[first] != array.shape[second]:
                raise ValueError(f"np.einsum: the index {index!r} stands for two lengths in an array of {array.shape}")
            diagonal = np.moveaxis(np.diagonal(array, axis1=first, axis2=second), -1, first)
            return _without_repeats(diagonal, labels[:second] + labels[second + 1 :])
    return array, labels
