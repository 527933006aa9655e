"""Products of stacks of vectors, which lie along last axes unless the call says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_np.backward import summed_to
from tinygrad_np.core import defvjp, primitive
from tinygrad_np.rules.handlers import composite
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.products import adjoint

# With vectors and matrices: a rule may leave batch axes that were broadcast, for the walk to sum over.

vecdot = primitive(np.vecdot)
defvjp(
    vecdot,
    lambda g, _y, _x0, x1: g.conjugate()[..., None] * x1,
    lambda g, _y, x0, _x1: g[..., None] * x0,
)


@composite(np.vecdot)
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1, axes: Any = None, keepdims: bool = False) -> Any:
    axes = [axis, axis, axis] if axes is None else axes
    product = _with_axes(vecdot, [*axes[:2], ()], x1, x2)
    return np.expand_dims(product, axes[2]) if keepdims else product


def _with_axes(product: Callable[..., Any], axes: Any, *operands: Any) -> Any:
    """A product of operands that have their vectors and matrices along other axes than the last, and its result too."""
    if axes is None:
        return product(*operands)
    *sources, target = [part if isinstance(part, tuple) else (part,) for part in axes]
    moved = [
        np.moveaxis(arrayed(a), source, range(-len(source), 0)) for a, source in zip(operands, sources, strict=True)
    ]
    return np.moveaxis(product(*moved), range(-len(target), 0), target)


if hasattr(np, "matvec"):  # new in NumPy 2.2
    matvec, vecmat = primitive(np.matvec), primitive(np.vecmat)
    defvjp(
        matvec,
        lambda g, _y, _x0, x1: g[..., :, None] * x1.conjugate()[..., None, :],
        lambda g, _y, x0, _x1: (adjoint(x0) @ g[..., None])[..., 0],
    )
    defvjp(
        vecmat,
        lambda g, _y, _x0, x1: (x1 @ g.conjugate()[..., None])[..., 0],
        lambda g, _y, x0, _x1: x0[..., :, None] * g[..., None, :],
    )

    @composite(np.matvec)
    def _matvec(x1: Any, x2: Any, /, *, axes: Any = None) -> Any:
        return _with_axes(matvec, axes, x1, x2)

    @composite(np.vecmat)
    def _vecmat(x1: Any, x2: Any, /, *, axes: Any = None) -> Any:
        return _with_axes(vecmat, axes, x1, x2)


# Cross products


@primitive(name="np.cross")
def crossed(a: Any, b: Any) -> Any:
    """The cross product of vectors of length 3, which lie along last axes."""
    return np.cross(a, b)


defvjp(
    crossed,
    lambda g, _y, _a, b: summed_to(crossed(b.conjugate(), g), _a.shape),
    lambda g, _y, a, _b: summed_to(crossed(g, a.conjugate()), _b.shape),
)


@composite(np.cross)
def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    if axis is not None:
        axisa, axisb, axisc = axis, axis, axis
    a, b = np.moveaxis(arrayed(a), axisa, -1), np.moveaxis(arrayed(b), axisb, -1)
    lengths = a.shape[-1], b.shape[-1]
    if lengths != (3, 3):
        np.cross(np.zeros(lengths[0]), np.zeros(lengths[1]))  # raises or warns as NumPy does for these lengths
    product = crossed(_in_space(a), _in_space(b))
    return product[..., 2] if lengths == (2, 2) else np.moveaxis(product, -1, axisc)


def _in_space(a: Any) -> Any:
    """Vectors of length 2 as vectors of length 3."""
    return a if a.shape[-1] == 3 else np.concatenate([a, np.zeros_like(a[..., :1])], axis=-1)
