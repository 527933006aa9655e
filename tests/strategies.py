"""What random tests draw from: shapes, axes, subscripts, layouts in memory, and arrays away from kinks."""

import string
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]

SIDES = {"min_side": 0, "max_side": 3}

LAYOUTS = {
    "strided": lambda x: np.stack([x, x], axis=-1)[..., 0],
    "reversed": lambda x: np.flip(np.copy(np.flip(x), order="C")),
    "Fortran": lambda x: np.transpose(np.copy(np.transpose(x), order="C")),
}
"""The same array otherwise laid out in memory; each takes arrays and Tensors."""


def shapes(max_dims: int = 3) -> Strategy:
    """Shapes of none to several axes, some of them empty."""
    return hnp.array_shapes(min_dims=0, max_dims=max_dims, **SIDES)


def broadcastable_shapes(count: int) -> Strategy:
    """That many shapes that broadcast against one another."""
    return hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, **SIDES).map(
        lambda found: found.input_shapes
    )


def matmul_shapes() -> Strategy:
    """Two shapes that ``np.matmul`` takes."""
    return hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, **SIDES).map(
        lambda found: found.input_shapes
    )


def layouts() -> Strategy:
    """The identity, or a function from `LAYOUTS`."""
    return st.just(lambda x: x) | st.sampled_from(list(LAYOUTS.values()))


def axes(ndim: int, fewest: int = 0) -> Strategy:
    """None, one axis, or a tuple of axes; negative ones too."""
    several = hnp.valid_tuple_axes(ndim, min_size=fewest)
    return st.none() | several | st.integers(-ndim, ndim - 1) if ndim else st.none() | several


def numbers(shape: tuple[int, ...], low: float = 0.4, high: float = 1.6) -> Strategy:
    """An array of numbers in an interval, on a grid of a hundred points."""
    return hnp.arrays(np.int64, shape, elements=st.integers(0, 100)).map(lambda k: low + (high - low) * k / 100)


def signed(shape: tuple[int, ...]) -> Strategy:
    """An array of numbers of both signs, some way from zero."""
    return st.builds(np.where, hnp.arrays(np.bool_, shape), numbers(shape), numbers(shape, -1.6, -0.4))


def distinct(shape: tuple[int, ...], position: int = 0) -> Strategy:
    """An array of numbers well apart from one another, and from those at other positions."""
    size = int(np.prod(shape))
    return st.permutations(range(size)).map(lambda order: 0.2 * np.array(order, float).reshape(shape) + 0.07 * position)


@st.composite
def subscripts(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """An einsum of one to three operands, with the operands' shapes: repeated, summed and stretched indices."""
    letters = string.ascii_lowercase[:4]
    lengths = {c: draw(st.integers(0, 3)) for c in letters}
    inputs = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = "".join(draw(st.permutations(used))[: draw(st.integers(0, len(used)))])
    operands = [tuple(lengths[c] for c in labels) for labels in inputs]
    return f"{','.join(inputs)}->{output}", operands
