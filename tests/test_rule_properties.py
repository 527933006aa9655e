"""The rules on random shapes, axes, indices and layouts, which no list of cases can foresee."""

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np.testing.strategies import (
    axes,
    broadcastable_shapes,
    distinct,
    layouts,
    matmul_shapes,
    numbers,
    shapes,
    signed,
    subscripts,
)

Draw = st.DataObject


def check(function: Callable[..., Any], arrays: list[np.ndarray], data: Draw) -> None:
    """Check first and second order, with every argument in a layout of its own."""
    arranged = [data.draw(layouts()) for _ in arrays]

    def laid_out(*inputs: Any) -> Any:
        return function(*(layout(x) for layout, x in zip(arranged, inputs, strict=True)))

    check_gradient(laid_out, arrays, order=2)


# ------------------------------------------------------------------------------------------------------- elementwise

SMOOTH = [np.exp, np.log, np.sqrt, np.square, np.sin, np.tanh, np.arctan, np.log1p, np.reciprocal, np.cbrt]
SMOOTH_PAIRS = [np.add, np.subtract, np.multiply, np.divide, np.power, np.logaddexp, np.hypot, np.arctan2]
CHOICES = [np.maximum, np.minimum, np.fmax, np.fmin]


@given(st.sampled_from(SMOOTH), shapes(), st.data())
def test_ufuncs_of_one_array(ufunc: np.ufunc, shape: tuple[int, ...], data: Draw) -> None:
    check(ufunc, [data.draw(numbers(shape))], data)


@pytest.mark.parametrize("ufunc", SMOOTH_PAIRS)
@given(broadcastable_shapes(2), st.data())
def test_ufuncs_of_two_arrays_broadcast(ufunc: np.ufunc, shapes: tuple[tuple[int, ...], ...], data: Draw) -> None:
    check(ufunc, [data.draw(numbers(shape)) for shape in shapes], data)


@given(st.sampled_from(CHOICES), broadcastable_shapes(2), st.data())
def test_choices_between_two_arrays_broadcast(
    ufunc: np.ufunc, shapes: tuple[tuple[int, ...], ...], data: Draw
) -> None:
    check(ufunc, [data.draw(distinct(shape, i)) for i, shape in enumerate(shapes)], data)


@given(broadcastable_shapes(3), st.data())
def test_where_and_clip_broadcast(shapes: tuple[tuple[int, ...], ...], data: Draw) -> None:
    mask = data.draw(hnp.arrays(np.bool_, shapes[2]))
    check(lambda x, z: np.where(mask, x, z), [data.draw(signed(shape)) for shape in shapes[:2]], data)
    check(np.clip, [data.draw(distinct(shape, i)) for i, shape in enumerate(shapes)], data)


# --------------------------------------------------------------------------------------------------------- reductions


@pytest.mark.parametrize("function", [np.sum, np.prod, np.max, np.min])
@given(shapes(), st.data())
def test_reductions(function: Callable[..., Any], shape: tuple[int, ...], data: Draw) -> None:
    options = {"axis": data.draw(axes(len(shape)), "axis"), "keepdims": data.draw(st.booleans(), "keepdims")}
    if data.draw(st.booleans(), "with where="):
        options["where"] = data.draw(hnp.arrays(np.bool_, shape) | hnp.arrays(np.bool_, shape[-1:]), "where")
    extremum = function in (np.max, np.min)
    if extremum and ("where" in options or 0 in shape):
        options["initial"] = 0.45  # NumPy asks for one wherever there may be nothing else
    x = data.draw(distinct(shape) if extremum else signed(shape))
    check(lambda a: function(a, **options), [x], data)


@pytest.mark.parametrize("function", [np.mean, np.var, np.std])
@given(hnp.array_shapes(max_dims=3, min_side=3, max_side=4), st.data())
def test_moments(function: Callable[..., Any], shape: tuple[int, ...], data: Draw) -> None:
    """Each of three numbers at least: the deviation of two is their distance, which has a kink."""
    options = {"axis": data.draw(axes(len(shape), fewest=1), "axis"), "keepdims": data.draw(st.booleans(), "keepdims")}
    if options["axis"] is None and data.draw(st.booleans(), "with where="):
        options["where"] = data.draw(hnp.arrays(np.bool_, shape), "where")
        options["where"].flat[:3] = True
    check(lambda a: function(a, **options), [data.draw(distinct(shape))], data)


# ------------------------------------------------------------------------------------------- indices and subscripts


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """What ``x[...]`` takes: slices, integers, None, Ellipsis, arrays of integers, masks."""
    ways = [hnp.basic_indices(shape, allow_newaxis=True), hnp.arrays(np.bool_, shape)]
    if shape and 0 not in shape:
        ways.append(hnp.integer_array_indices(shape))
    return st.one_of(ways)


@given(shapes(), st.data())
def test_reading_by_index(shape: tuple[int, ...], data: Draw) -> None:
    index = data.draw(indices(shape))
    check(lambda x: x[index], [data.draw(signed(shape))], data)


@given(shapes(), st.data())
def test_writing_by_index(shape: tuple[int, ...], data: Draw) -> None:
    index = data.draw(indices(shape))
    target = np.zeros(shape)[index].shape
    stretched = tuple(1 if data.draw(st.booleans()) else length for length in target)

    def write(x: Any, value: Any) -> Any:
        y = np.copy(x)
        y[index] = value
        return y

    check(write, [data.draw(signed(shape)), data.draw(signed(stretched))], data)


@given(matmul_shapes(), st.data())
def test_matmul(shapes: tuple[tuple[int, ...], ...], data: Draw) -> None:
    check(np.matmul, [data.draw(signed(shape)) for shape in shapes], data)


@given(subscripts(), st.data())
def test_einsum(call: tuple[str, list[tuple[int, ...]]], data: Draw) -> None:
    text, shapes = call
    arrays = [data.draw(signed(shape)) for shape in shapes]
    check(lambda *operands: np.einsum(text, *operands), arrays, data)
    np.testing.assert_allclose(np.einsum(text, *map(tg.tensor, arrays)).data, np.einsum(text, *arrays), atol=1e-12)
