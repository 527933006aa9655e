"""What property tests of gradients draw from, and `for_all`, which makes one of a function.

    from tinygrad_np.testing import strategies as ts

    @ts.for_all(ts.broadcastable_arrays(2), order=2)
    def test_my_product(x, w):
        return my_product(x, w)

Needs hypothesis, which the extra ``testing`` brings. All numbers lie on a grid, so that what fails
shrinks to the smallest array of the simplest numbers; and away from 0, where many functions have a kink.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_np._extras import need
from tinygrad_np.testing.gradcheck import LAYOUTS, gradcheck

__all__ = [
    "LAYOUTS",
    "arrays",
    "axes",
    "broadcastable_arrays",
    "broadcastable_shapes",
    "distinct",
    "dtypes",
    "for_all",
    "layouts",
    "matmul_shapes",
    "numbers",
    "positive_definite",
    "shapes",
    "signed",
    "subscripts",
    "well_conditioned",
]

hypothesis = need("hypothesis", "Drawing arrays for property tests", extra="testing")
hnp = need("hypothesis.extra.numpy", "Drawing arrays for property tests", extra="testing")
st = hypothesis.strategies

Strategy = Any  # hypothesis' SearchStrategy
Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]

SIDES = {"min_side": 0, "max_side": 3}


# ------------------------------------------------------------------------------------------------- shapes, axes, dtypes


def shapes(max_dims: int = 3) -> Strategy:
    """Shapes of none to several axes, some of them empty."""
    return hnp.array_shapes(min_dims=0, max_dims=max_dims, **SIDES)


def broadcastable_shapes(count: int, max_dims: int = 3) -> Strategy:
    """That many shapes that broadcast against one another, as a tuple."""
    return hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, **SIDES).map(
        lambda found: found.input_shapes
    )


def matmul_shapes() -> Strategy:
    """Two shapes that ``np.matmul`` takes."""
    return hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, **SIDES).map(
        lambda found: found.input_shapes
    )


def axes(ndim: int, fewest: int = 0) -> Strategy:
    """None, one axis, or a tuple of axes; negative ones too."""
    several = hnp.valid_tuple_axes(ndim, min_size=fewest)
    return st.none() | several | st.integers(-ndim, ndim - 1) if ndim else st.none() | several


def dtypes(*, complex: bool = False) -> Strategy:
    """float64 or float32; and their complex relatives, if asked."""
    return st.sampled_from([np.dtype(t) for t in ("d", "f", *(("D", "F") if complex else ()))])


def layouts() -> Strategy:
    """The identity, or a function from `LAYOUTS`."""
    return st.just(_unchanged) | st.sampled_from(list(LAYOUTS.values()))


def _unchanged(x: Any) -> Any:
    return x


# --------------------------------------------------------------------------------------------------------------- arrays


def numbers(shape: Shape, low: float = 0.4, high: float = 1.6) -> Strategy:
    """An array of numbers in an interval, on a grid of a hundred points."""
    return hnp.arrays(np.int64, shape, elements=st.integers(0, 100)).map(lambda k: low + (high - low) * k / 100)


def signed(shape: Shape) -> Strategy:
    """An array of numbers of both signs, some way from zero."""
    return st.builds(np.where, hnp.arrays(np.bool_, shape), numbers(shape), numbers(shape, -1.6, -0.4))


def distinct(shape: Shape, position: int = 0) -> Strategy:
    """An array of numbers well apart from one another, and from those at other positions."""
    size = math.prod(shape)
    return st.permutations(range(size)).map(lambda order: 0.2 * np.array(order, float).reshape(shape) + 0.07 * position)


def arrays(
    shape: Any = None, *, dtype: Any = None, elements: Callable[[Shape], Strategy] = signed, layout: bool = True
) -> Strategy:
    """An array away from kinks.

    Parameters
    ----------
    shape : tuple of int, or strategy for one
        By default any of `shapes`.
    dtype : dtype, or strategy for one
        By default float64; see `dtypes`. A complex one adds an imaginary part.
    elements : callable
        From a shape to a strategy of real arrays: `signed`, `numbers`, `distinct`.
    layout : bool
        Draw how the array lies in memory, too.
    """
    found = shapes() if shape is None else shape if hasattr(shape, "flatmap") else st.just(shape)
    dtype = st.just(np.dtype(np.float64 if dtype is None else dtype)) if not hasattr(dtype, "flatmap") else dtype
    order = layouts() if layout else st.just(_unchanged)
    return st.tuples(found, dtype, order).flatmap(lambda drawn: _array(elements, *drawn))


def _array(elements: Callable[[Shape], Strategy], shape: Shape, dtype: np.dtype[Any], layout: Any) -> Strategy:
    parts = st.tuples(elements(shape), elements(shape) if dtype.kind == "c" else st.none())
    return parts.map(lambda pair: layout((pair[0] if pair[1] is None else pair[0] + 1j * pair[1]).astype(dtype)))


def broadcastable_arrays(count: int, **options: Any) -> Strategy:
    """A tuple of arrays whose shapes broadcast against one another; options as for `arrays`."""
    return broadcastable_shapes(count).flatmap(lambda found: st.tuples(*(arrays(shape, **options) for shape in found)))


def well_conditioned(size: Any = None) -> Strategy:
    """A square matrix with singular values between 1/2 and 2, far from singular; of size 1 to 4 by default."""
    return _of_size(size).flatmap(
        lambda n: st.tuples(_orthogonal(n), numbers((n,), 0.5, 2.0), _orthogonal(n)).map(
            lambda usv: usv[0] * usv[1] @ usv[2]
        )
    )


def positive_definite(size: Any = None) -> Strategy:
    """A symmetric matrix with eigenvalues between 1/2 and 2; of size 1 to 4 by default."""
    return _of_size(size).flatmap(
        lambda n: st.tuples(_orthogonal(n), numbers((n,), 0.5, 2.0)).map(lambda us: _symmetric(us[0] * us[1] @ us[0].T))
    )


def _symmetric(matrix: Array) -> Array:
    both: Array = (matrix + matrix.T) / 2
    return both


def _of_size(size: Any) -> Strategy:
    return st.integers(1, 4) if size is None else size if hasattr(size, "flatmap") else st.just(size)


def _orthogonal(n: int) -> Strategy:
    """A product of reflections, which shrinks to few of them."""
    return st.lists(numbers((n,), -1.0, 1.0), max_size=n).map(lambda normals: _reflected(n, normals))


def _reflected(n: int, normals: Sequence[Array]) -> Array:
    matrix = np.eye(n)
    for v in normals:
        if v @ v:
            matrix = matrix - 2 * np.outer(matrix @ v, v) / (v @ v)
    return matrix


def _subscripts(draw: Any) -> tuple[str, list[Shape]]:
    """An einsum of one to three operands, with the operands' shapes: repeated, summed and stretched indices."""
    letters = string.ascii_lowercase[:4]
    lengths = {c: draw(st.integers(0, 3)) for c in letters}
    inputs = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = "".join(draw(st.permutations(used))[: draw(st.integers(0, len(used)))])
    operands = [tuple(lengths[c] for c in labels) for labels in inputs]
    return f"{','.join(inputs)}->{output}", operands


subscripts: Callable[[], Strategy] = st.composite(_subscripts)


# ---------------------------------------------------------------------------------------------------------------- tests


def for_all(*strategies: Strategy, max_examples: int | None = None, **options: Any) -> Callable[..., Any]:
    """Make a property test of a function: its gradient is right, whatever is drawn.

    What fails is shrunk to the smallest arrays that still fail, and the report of those is printed.

    Parameters
    ----------
    *strategies
        One for each argument. One that draws a tuple, as `broadcastable_arrays` does, stands for several.
    max_examples : int, optional
        How many examples to try; by default what hypothesis' profile says.
    **options
        For `gradcheck`: ``order=2``, ``kinks="move"``, ...

    Returns
    -------
    callable
        A decorator. The test that it makes takes no arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_np.testing import strategies as ts
    >>> @ts.for_all(ts.broadcastable_arrays(2), max_examples=10)
    ... def test_hypot(x, y):
    ...     return np.hypot(x, y)
    >>> test_hypot()
    """

    def decorate(function: Callable[..., Any]) -> Callable[[], None]:
        def test(drawn: tuple[Any, ...]) -> None:
            inputs = [x for part in drawn for x in (part if isinstance(part, tuple) else (part,))]
            gradcheck(function, *inputs, progress=False, **options)

        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(test, name, getattr(function, name))
        # Explaining means to trace every line, many times over, and the report says more.
        phases = [phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain]
        settings = {"deadline": None, "phases": phases} | (
            {} if max_examples is None else {"max_examples": max_examples}
        )
        wrapped: Callable[[], None] = hypothesis.settings(**settings)(hypothesis.given(st.tuples(*strategies))(test))
        return wrapped

    return decorate
