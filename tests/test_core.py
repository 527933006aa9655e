"""Tensor, the handle that users hold, and the door that its calls go through."""

import copy
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import assert_tensor, leaf

import tinygrad_np as tg
from tinygrad_np.core import Tensor
from tinygrad_np.errors import (
    DtypeError,
    EscapeError,
    GradientError,
    LeafUpdateError,
    MissingMethodError,
    ShapeError,
)

A = np.array([[1.5, 2.5, 3.5], [0.5, 4.5, 2.0]])
B = np.array([[2.0, 0.5, 1.5], [1.0, 2.5, 4.0]])
I = np.array([[6, 5, 12], [1, 0, 3]])  # noqa: E741
J = np.array([[3, 1, 2], [4, 2, 1]])


# ------------------------------------------------------------------------------------------------------------ tensor()


@pytest.mark.parametrize(
    "data", [2.5, 3, True, 1j, [1.0, 2.0], [[1, 2], [3, 4]], (1.0, 2.0), np.float32(2), np.arange(3), np.zeros((0, 2))]
)
def test_tensor_holds_what_an_array_would(data: Any) -> None:
    assert_tensor(tg.tensor(data), np.array(data))


def test_tensor_takes_a_dtype() -> None:
    assert_tensor(tg.tensor([1, 2], dtype=np.float32), np.array([1, 2], np.float32))


def test_tensor_copies() -> None:
    array = np.ones(2)
    t = tg.tensor(array)
    again = tg.tensor(t)
    array[0] = 7
    assert t.data.tolist() == again.data.tolist() == [1, 1]
    assert not np.shares_memory(t.data, again.data)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128])
def test_inexact_tensors_can_require_a_gradient(dtype: Any) -> None:
    t = leaf([1, 2], dtype=dtype)
    assert t.requires_grad
    assert t.is_leaf
    assert t.grad is None
    assert t.dtype == dtype


def test_a_tensor_requires_no_gradient_unless_asked_to() -> None:
    t = tg.tensor([1.0])
    assert not t.requires_grad
    assert t.is_leaf
    assert t.grad is None
    assert not (t * 2).requires_grad


def test_rows_of_several_lengths_are_no_tensor() -> None:
    with pytest.raises(tg.errors.ShapeError, match=r"must be of one length: \[\[1\.0\], \[1\.0, 2\.0\]\]"):
        tg.tensor([[1.0], [1.0, 2.0]])


def test_results_require_a_gradient_if_an_argument_does() -> None:
    y = leaf() * tg.tensor([1.0, 2.0, 3.0])
    assert y.requires_grad
    assert not y.is_leaf


# ----------------------------------------------------------------------------------------------------------- operators

ARITHMETIC = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow),
    divmod,
]
BITWISE = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("operation", [*ARITHMETIC, *COMPARISONS])
def test_binary_operators_and_their_reflections(operation: Callable[..., Any]) -> None:
    for a, b in ((A, B), (A, A), (A, 2.0), (2.0, A), (A, [1.0, 2.0, 0.5]), ([1.0, 2.0, 0.5], A), (A, np.float32(2))):
        expected = operation(np.asarray(a), np.asarray(b)) if isinstance(a, list) else operation(a, b)
        if isinstance(a, np.ndarray):
            assert_tensor(operation(tg.tensor(a), b), expected)
        if isinstance(b, np.ndarray):
            assert_tensor(operation(a, tg.tensor(b)), expected)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            assert_tensor(operation(tg.tensor(a), tg.tensor(b)), expected)


@pytest.mark.parametrize("operation", [*ARITHMETIC, *BITWISE])
def test_binary_operators_on_integers(operation: Callable[..., Any]) -> None:
    assert_tensor(operation(tg.tensor(I), tg.tensor(J)), operation(I, J))
    assert_tensor(operation(tg.tensor(I), 2), operation(I, 2))
    assert_tensor(operation(2, tg.tensor(J)), operation(2, J))


def test_matmul_and_its_reflection() -> None:
    assert_tensor(tg.tensor(A) @ tg.tensor(B.T), A @ B.T)
    assert_tensor(tg.tensor(A) @ B.T, A @ B.T)
    assert_tensor(A @ tg.tensor(B.T), A @ B.T)
    assert_tensor([1.0, 2.0] @ tg.tensor(A), [1.0, 2.0] @ A)


@pytest.mark.parametrize(
    ("operation", "array"),
    [(operator.neg, A), (operator.pos, A), (abs, -A), (operator.invert, I), (operator.invert, I > 3)],
)
def test_unary_operators(operation: Callable[..., Any], array: np.ndarray) -> None:
    assert_tensor(operation(tg.tensor(array)), operation(array))


def test_reflected_operators_have_the_gradients_of_their_order() -> None:
    x = leaf([2.0])
    for y, slope in ((5 - x, -1), (1 / x, -0.25), (3**x, 9 * np.log(3)), (7 % x, -3), (np.array([5.0]) - x, -1)):
        np.testing.assert_allclose(tg.gradients(np.sum(y), x), [slope])


def test_python_numbers_do_not_widen() -> None:
    x = leaf(dtype=np.float32)
    for y in (x + 1, 1 - x, x * 0.5, 2.0**x, x / 3):
        assert y.dtype == np.float32


def test_comparisons_are_tensors_without_a_gradient() -> None:
    x = leaf()
    mask = (x > 1.5) & ~(x == 3)
    assert_tensor(mask, [False, True, False])
    assert not mask.requires_grad
    assert x[mask].data.tolist() == [2.0]


def test_equality_with_none_is_elementwise() -> None:
    assert_tensor(leaf() == None, [False] * 3)  # noqa: E711
    assert_tensor(leaf() != None, [True] * 3)  # noqa: E711


# -------------------------------------------------------------------------------------------------- updates in place

IN_PLACE = [
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow),
]


@pytest.mark.parametrize("operation", IN_PLACE)
def test_in_place_operators_rebind_the_object_that_all_names_stand_for(operation: Callable[..., Any]) -> None:
    y = tg.tensor(A)
    other_name = y
    before = y + 0.0
    view = y[0]
    y = operation(y, B)
    assert y is other_name
    assert_tensor(y, operation(A.copy(), B))
    assert_tensor(before, A)  # earlier results do not change
    assert_tensor(view, A[0])


@pytest.mark.parametrize("operation", [operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift])
def test_in_place_operators_on_integers(operation: Callable[..., Any]) -> None:
    y = other_name = tg.tensor(I)
    y = operation(y, J)
    assert y is other_name
    assert_tensor(y, operation(I.copy(), J))


def test_in_place_matmul() -> None:
    square = np.arange(4.0).reshape(2, 2)
    y = other_name = tg.tensor(square)
    y @= square
    assert y is other_name
    assert_tensor(y, square @ square)


def test_in_place_operators_are_differentiated() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    earlier = y * y
    y += x
    y *= y
    np.testing.assert_array_equal(tg.gradients(np.sum(y), x, retain_graph=True), 32 * x.data)
    np.testing.assert_array_equal(tg.gradients(np.sum(earlier), x), 18 * x.data)


def test_an_in_place_operator_makes_a_constant_depend_on_a_leaf() -> None:
    x = leaf([1.0, 2.0])
    total = tg.tensor(np.zeros(2))
    for _ in range(3):
        total += x * x
    total.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad, 6 * x.data)


def test_in_place_operators_keep_the_dtype() -> None:
    y = leaf(dtype=np.float32) * 1
    y += np.ones(3)
    assert y.dtype == np.float32
    with pytest.raises(DtypeError, match="in-place add would turn dtype int64 into float64: write t = t"):
        tg.tensor([1, 2]).__iadd__(0.5)


def test_in_place_operators_keep_the_shape() -> None:
    with pytest.raises(ShapeError, match=r"in-place add would turn shape \(3,\) into \(2, 3\): write t = t"):
        tg.tensor([1.0, 2.0, 3.0]).__iadd__(A)


@pytest.mark.parametrize("operation", [*IN_PLACE, operator.imatmul])
def test_in_place_operators_on_a_leaf_raise(operation: Callable[..., Any]) -> None:
    x = leaf(np.eye(2) + 1)
    with pytest.raises(LeafUpdateError, match=r"on a leaf of shape \(2, 2\) that requires a gradient.*t.data.*\+t"):
        operation(x, np.eye(2) + 1)
    assert_tensor(x, np.eye(2) + 1)
    assert x.is_leaf


# ----------------------------------------------------------------------------------------------- writing by index

INDICES = [
    1, -1, slice(None), slice(None, None, -1), (0, 2), (slice(None), 1), ..., (..., 0), None, (slice(0, 1), None),
    [0, 1], ([1, 0], [2, 2]), A > 2, (A[:, 0] > 1, slice(1, 3)), np.array([[0, 1], [1, 1]]), (), slice(0, 0),
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_reading_by_index(index: Any) -> None:
    assert_tensor(tg.tensor(A)[index], A[index])


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_writing_by_index_rebinds_the_object_that_all_names_stand_for(index: Any) -> None:
    x = leaf(A)
    y = other_name = x * 1
    before = y * 1
    value = leaf(np.full(np.shape(A[index]), 9.0))
    y[index] = value
    expected = A.copy()
    expected[index] = 9.0
    assert y is other_name
    assert_tensor(y, expected)
    assert_tensor(before, A)
    assert_tensor(x, A)
    untouched = np.ones_like(A)
    untouched[index] = 0
    by_x, by_value = tg.gradients(np.sum(y * B), [x, value])
    np.testing.assert_array_equal(by_x, untouched * B)
    assert by_value.sum() == pytest.approx((B * (1 - untouched)).sum())


TO_INTEGERS: dict[str, Callable[[Tensor], Tensor]] = {
    "astype(int)": lambda x: x.astype(int),
    "astype(bool)": lambda x: x.astype(bool),
    "sum(dtype=int)": lambda x: np.sum(x, dtype=int),
    "sum(..., int)": lambda x: np.sum(x, 0, int),
    "add(dtype=int)": lambda x: np.add(x, 1, dtype=int, casting="unsafe"),
    "frexp": lambda x: np.frexp(x)[1],
    "full_like": lambda x: np.full_like(tg.tensor(I), x),
    "t[...] = x": lambda x: _written(lambda t: t.__setitem__(..., x)),
    "copyto": lambda x: _written(lambda t: np.copyto(t, x, casting="unsafe")),
}


def _written(write: Callable[[Tensor], None]) -> Tensor:
    t = tg.tensor(I)
    write(t)
    return t


@pytest.mark.parametrize("convert", TO_INTEGERS.values(), ids=TO_INTEGERS)
def test_what_becomes_integers_or_booleans_is_constant(convert: Callable[..., Any]) -> None:
    x = leaf(A)
    integers = convert(x)
    assert integers.dtype.kind in "ib"
    assert not integers.requires_grad
    np.sum(x * integers).backward()
    np.testing.assert_array_equal(x.grad, np.broadcast_to(integers.data, A.shape))


def test_writing_by_tensors_as_index() -> None:
    y = tg.tensor(A)
    y[tg.tensor(A) > 2] = 0
    y[tg.tensor([1]), tg.tensor([0])] = 7
    y[tg.tensor(0) : tg.tensor(1), 0] = 8
    assert_tensor(y, [[8.0, 0.0, 0.0], [7.0, 0.0, 2.0]])


def test_writing_to_a_constant_makes_it_depend_on_what_was_written() -> None:
    x = leaf()
    y = tg.tensor(np.zeros(4))
    y[1:] = x * x
    y.backward(np.ones(4))
    np.testing.assert_array_equal(x.grad, 2 * x.data)


def test_updating_a_read_part_writes_it_back() -> None:
    """``y[i] += v`` is ``y[i] = y[i] + v``."""
    x = leaf()
    y = x * 2
    y[1:] += x[:2]
    assert_tensor(y, [2.0, 5.0, 8.0])
    np.testing.assert_array_equal(tg.gradients(np.sum(y), x), [3, 3, 2])


def test_writing_by_index_on_a_leaf_raises() -> None:
    x = leaf()
    with pytest.raises(LeafUpdateError, match=r"t\[index\] = v on a leaf of shape \(3,\)"):
        x[0] = 5.0
    assert_tensor(x, [1.0, 2.0, 3.0])


def test_writing_through_a_part_of_a_leaf_raises_and_leaves_it_alone() -> None:
    x = leaf()
    with pytest.raises(LeafUpdateError):
        x[0] += 5.0
    assert_tensor(x, [1.0, 2.0, 3.0])


def test_writing_converts_to_the_dtype_of_what_is_written_to() -> None:
    y = leaf(dtype=np.float32) * 1
    value = leaf(2.5)
    y[0] = value
    assert y.dtype == np.float32
    gradient = tg.gradients(np.sum(y), value)
    assert (gradient.dtype, gradient.tolist()) == (np.float64, 1.0)


# --------------------------------------------------------------------------------------------------- Python protocols


@pytest.mark.parametrize("convert", [float, int, complex, bool, Tensor.item, Tensor.tolist])
def test_a_single_element_as_a_python_number(convert: Callable[..., Any]) -> None:
    number = convert(leaf(2.5))
    assert number == (2.5 if convert not in (int, bool) else convert(2.5))
    assert type(number) in (float, int, complex, bool)
    assert convert(leaf([2.5]) * 1) == (number if convert is not Tensor.tolist else [2.5])


def test_item_takes_an_index() -> None:
    assert leaf(A).item(1, 2) == leaf(A).item(5) == leaf(A).item((1, 2)) == 2.0


def test_an_integer_tensor_is_an_index_of_lists() -> None:
    assert ["a", "b", "c"][tg.tensor(1)] == "b"
    assert list(range(tg.tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError):
        ["a"][leaf(0.0)]
    with pytest.raises(TypeError):
        ["a"][leaf(0.0) * 1]


def test_len_and_iteration() -> None:
    x = leaf(A)
    assert len(x) == 2
    rows = list(x)
    for row, expected in zip(rows, A, strict=True):
        assert_tensor(row, expected)
    np.testing.assert_array_equal(tg.gradients(np.sum(rows[1]), x), [[0, 0, 0], [1, 1, 1]])
    first, second = x
    assert_tensor(first, A[0])
    assert_tensor(second, A[1])


def test_contains() -> None:
    assert 2.0 in leaf()
    assert 5.0 not in leaf()
    assert None not in leaf()


def test_sum_max_and_sorted_of_python() -> None:
    x = leaf([3.0, 1.0, 2.0])
    assert_tensor(sum(x), 6.0)
    assert_tensor(max(x), 3.0)
    assert [float(v) for v in sorted(x)] == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(tg.gradients(max(x) * sum(x), x), [9.0, 3.0, 3.0])


def test_format() -> None:
    assert f"{leaf(2.0):.3f}" == "2.000"
    assert f"{np.sum(leaf([2.0])):>6.1f}" == "   2.0"
    assert f"{leaf([1.0])}" == str(leaf([1.0])) == "tensor([1.], requires_grad=True)"


def test_tensors_are_hashed_by_identity() -> None:
    a, b = leaf(), leaf()
    assert len({a, b, a}) == 2
    assert {a: "a", b: "b"}[b] == "b"


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (tg.tensor(2.0), "tensor(2.)"),
        (tg.tensor([1, 2]), "tensor([1, 2])"),
        (tg.tensor([True]), "tensor([ True])"),
        (tg.tensor([1.0], dtype=np.float32), "tensor([1.], dtype=float32)"),
        (tg.tensor([[1.0], [2.0]]), "tensor([[1.],\n        [2.]])"),
        (leaf([1.0]), "tensor([1.], requires_grad=True)"),
        (leaf([1.0]) * 2, "tensor([2.], from=np.multiply)"),
        (np.modf(leaf([1.5]))[0], "tensor([0.5], from=np.modf)"),
        (tg.tensor(np.zeros((0, 2))), "tensor([], dtype=float64)"),
    ],
    ids=str,
)
def test_repr(tensor: Tensor, text: str) -> None:
    if tensor.size == 0:
        assert repr(tensor).startswith("tensor([]")
    else:
        assert repr(tensor) == text


def test_copy_is_another_handle_of_the_same_graph() -> None:
    x = leaf()
    y = x * 2
    z = copy.copy(y)
    z += 1
    assert_tensor(y, [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(tg.gradients(np.sum(z), x), [2, 2, 2])


def test_deepcopy_of_a_leaf_is_a_leaf_of_its_own() -> None:
    x = leaf()
    twin, again = copy.deepcopy([x, x])
    assert twin is again
    assert twin.is_leaf
    assert twin.requires_grad
    assert not np.shares_memory(twin.data, x.data)
    np.sum(twin * 2).backward()
    assert x.grad is None
    assert not copy.deepcopy(tg.tensor([1.0])).requires_grad


def test_pickle_keeps_values_dtype_and_whether_a_gradient_is_required() -> None:
    for x in (leaf(dtype=np.float32), tg.tensor(I), leaf(2.0), np.sum(tg.tensor(A))):
        twin = pickle.loads(pickle.dumps(x))
        assert_tensor(twin, x.data)
        assert twin.requires_grad == x.requires_grad


@pytest.mark.parametrize("exit", [copy.deepcopy, pickle.dumps])
def test_recorded_tensors_are_neither_deep_copied_nor_pickled(exit: Callable[..., Any]) -> None:
    with pytest.raises(EscapeError, match=r"detach\(\)"):
        exit(leaf() * 2)


def test_detach_is_the_same_array_without_a_gradient() -> None:
    x = leaf()
    y = (x * 2).detach()
    assert_tensor(y, [2.0, 4.0, 6.0])
    assert not y.requires_grad
    assert x.detach().data is x.data
    np.testing.assert_array_equal(tg.gradients(np.sum(x * x.detach()), x), x.data)


# ---------------------------------------------------------------------------------------------------------- .grad


def test_grad_is_an_array_or_none() -> None:
    x = leaf()
    np.sum(x * x).backward()
    assert type(x.grad) is np.ndarray
    x.grad = None
    assert x.grad is None
    x.grad = np.ones(3)
    assert x.grad.tolist() == [1, 1, 1]
    x.grad = [1.0, 2.0, 3.0]
    assert type(x.grad) is np.ndarray


def test_grad_of_a_scalar_leaf_is_an_array() -> None:
    x = leaf(2.0)
    (x * x).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()
    (x * x).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad == 8


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(2), r"\(3,\) float64, not \(2,\) float64"),
        (np.ones(3, np.float32), r"\(3,\) float64, not \(3,\) float32"),
        (tg.tensor([1.0, 2.0, 3.0]), r"holds an ndarray: write t.grad = g.data"),
    ],
    ids=["shape", "dtype", "type"],
)
def test_grad_refuses_what_does_not_fit(value: Any, message: str) -> None:
    x = leaf()
    with pytest.raises(GradientError, match=message):
        x.grad = value


def test_only_leaves_that_require_a_gradient_have_one_to_set() -> None:
    for t in (tg.tensor([1.0]), leaf([1.0]) * 2):
        with pytest.raises(GradientError, match="only a leaf"):
            t.grad = np.ones(1)


def test_grad_of_an_intermediate_result_says_what_to_write() -> None:
    with pytest.raises(GradientError, match=r"np.multiply made this tensor.*tg.gradients\(loss, \[t\]\)"):
        _ = (leaf() * 2).grad


# ----------------------------------------------------------------------------------------------------- the one door


def test_apply_is_what_numpy_and_operators_go_through() -> None:
    x = leaf()
    assert_tensor(tg.apply(np.add, (x, 1.0)), [2.0, 3.0, 4.0])
    assert_tensor(tg.apply(np.sum, (x,), {"axis": 0}), 6.0)


def test_ufunc_methods_go_through_it_too() -> None:
    x = leaf(A)
    assert_tensor(np.add.reduce(x, axis=1), np.add.reduce(A, axis=1))
    assert np.add.reduce(x).requires_grad


def test_everything_numpy_offers_on_arrays_is_there_or_says_what_to_write() -> None:
    x = tg.tensor(I)
    for name in dir(np.ndarray):
        if name.startswith("_"):
            continue
        if not hasattr(x, name):
            with pytest.raises(MissingMethodError, match=rf"a tensor has no \.{name}: [a-z]"):
                getattr(x, name)


def test_public_attributes_are_those_of_arrays_and_a_few_more() -> None:
    own = {"backward", "detach", "door", "grad", "is_leaf", "mark_updated", "precedence", "requires_grad"}
    assert {name for name in dir(Tensor) if not name.startswith("__") and not hasattr(np.ndarray, name)} == {
        *own,
        *("_given", "_is_given", "_node", "_rebind", "_refuse_storing", "_value"),
    }


def test_an_attribute_that_no_array_has() -> None:
    with pytest.raises(AttributeError, match="a tensor has no attribute 'shpae'"):
        _ = leaf().shpae
