"""The methods and attributes of a Tensor, each against the ndarray's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import assert_tensor, leaf

import tinygrad_np as tg
from tinygrad_np.core import Tensor
from tinygrad_np.errors import LeafUpdateError, MissingMethodError
from tinygrad_np.methods import ArrayMethods

A = np.array([[3.0, -1.5, 2.0], [0.5, 4.0, -2.5]])
C = A + 1j * A[::-1]
I = np.array([[3, 1, 2], [0, 5, 4]])  # noqa: E741
SQUARE = np.arange(9.0).reshape(3, 3)

CALLS: dict[str, list[tuple[np.ndarray, Callable[[Any], Any]]]] = {
    "all": [(A, lambda t: t.all()), (A > 0, lambda t: t.all(1)), (A, lambda t: t.all(axis=0, keepdims=True))],
    "any": [(A, lambda t: t.any()), (A > 3, lambda t: t.any(0))],
    "argmax": [(A, lambda t: t.argmax()), (A, lambda t: t.argmax(1)), (A, lambda t: t.argmax(axis=0, keepdims=True))],
    "argmin": [(A, lambda t: t.argmin()), (A, lambda t: t.argmin(-1))],
    "argpartition": [(A, lambda t: t.argpartition(1)), (A, lambda t: t.argpartition(1, axis=0))],
    "argsort": [(A, lambda t: t.argsort()), (A, lambda t: t.argsort(0)), (A, lambda t: t.argsort(axis=None))],
    "astype": [
        (A, lambda t: t.astype(np.float32)),
        (A, lambda t: t.astype("complex64", "C", "unsafe")),
        (I, lambda t: t.astype(float, casting="safe", copy=False)),
    ],
    "choose": [(np.array([0, 1]), lambda t: t.choose([np.ones(2), np.zeros(2)]))],
    "clip": [(A, lambda t: t.clip(0, 1)), (A, lambda t: t.clip(min=0)), (A, lambda t: t.clip(max=1))],
    "compress": [(A, lambda t: t.compress([True, False, True], axis=1)), (A, lambda t: t.compress([False, True]))],
    "conj": [(A, lambda t: t.conj()), (C, lambda t: t.conj())],
    "conjugate": [(A, lambda t: t.conjugate()), (C, lambda t: t.conjugate())],
    "copy": [(A, lambda t: t.copy()), (A, lambda t: t.copy("F"))],
    "cumprod": [(A, lambda t: t.cumprod()), (A, lambda t: t.cumprod(axis=1))],
    "cumsum": [(A, lambda t: t.cumsum()), (A, lambda t: t.cumsum(0))],
    "diagonal": [(A, lambda t: t.diagonal()), (A, lambda t: t.diagonal(1)), (A, lambda t: t.diagonal(0, 1, 0))],
    "dot": [(A, lambda t: t.dot(SQUARE)), (A, lambda t: t.dot(2.0)), (A[0], lambda t: t.dot(A[1]))],
    "flatten": [(A, lambda t: t.flatten()), (A, lambda t: t.flatten("F"))],
    "imag": [(A, lambda t: t.imag), (C, lambda t: t.imag)],
    "max": [(A, lambda t: t.max()), (A, lambda t: t.max(1)), (A, lambda t: t.max(axis=(0, 1), keepdims=True))],
    "mean": [(A, lambda t: t.mean()), (A, lambda t: t.mean(0)), (I, lambda t: t.mean(axis=1, dtype=np.float32))],
    "min": [(A, lambda t: t.min()), (A, lambda t: t.min(0))],
    "mT": [(A, lambda t: t.mT), (np.ones((2, 3, 4)), lambda t: t.mT)],
    "nonzero": [(A > 1, lambda t: t.nonzero()), (A, lambda t: t.nonzero())],
    "prod": [(A, lambda t: t.prod()), (A, lambda t: t.prod(1))],
    "ravel": [(A, lambda t: t.ravel()), (A.T, lambda t: t.ravel("F")), (A.T, lambda t: t.ravel("K"))],
    "real": [(A, lambda t: t.real), (C, lambda t: t.real)],
    "repeat": [(A, lambda t: t.repeat(2)), (A, lambda t: t.repeat([1, 2, 0], axis=1))],
    "reshape": [
        (A, lambda t: t.reshape(3, 2)),
        (A, lambda t: t.reshape((6,))),
        (A, lambda t: t.reshape(-1)),
        (A, lambda t: t.reshape(3, -1, order="F")),
        (A[:1, :1], lambda t: t.reshape(())),
    ],
    "round": [(A, lambda t: t.round()), (A / 7, lambda t: t.round(2)), (A / 7, lambda t: t.round(decimals=1))],
    "searchsorted": [(np.arange(5.0), lambda t: t.searchsorted(2.5)), (A[0], lambda t: t.searchsorted([1.0], "right"))],
    "squeeze": [(A[:1], lambda t: t.squeeze()), (A[:, :1], lambda t: t.squeeze(1))],
    "std": [(A, lambda t: t.std()), (A, lambda t: t.std(axis=0, ddof=1))],
    "sum": [(A, lambda t: t.sum()), (A, lambda t: t.sum(1)), (A, lambda t: t.sum(axis=(0,), keepdims=True))],
    "swapaxes": [(A, lambda t: t.swapaxes(0, 1)), (np.ones((2, 3, 4)), lambda t: t.swapaxes(-1, 0))],
    "T": [(A, lambda t: t.T), (np.ones((2, 3, 4)), lambda t: t.T), (A[0], lambda t: t.T)],
    "take": [(A, lambda t: t.take([0, 5])), (A, lambda t: t.take(1, axis=1)), (A, lambda t: t.take([7], mode="wrap"))],
    "trace": [(SQUARE, lambda t: t.trace()), (SQUARE, lambda t: t.trace(1))],
    "transpose": [
        (A, lambda t: t.transpose()),
        (A, lambda t: t.transpose(1, 0)),
        (np.ones((2, 3, 4)), lambda t: t.transpose((2, 0, 1))),
        (np.ones((2, 3, 4)), lambda t: t.transpose(None)),
    ],
    "var": [(A, lambda t: t.var()), (A, lambda t: t.var(1, ddof=1)), (C, lambda t: t.var())],
}

PLAIN: dict[str, list[tuple[np.ndarray, Callable[[Any], Any]]]] = {
    "dtype": [(A, lambda t: t.dtype), (I, lambda t: t.dtype), (A > 0, lambda t: t.dtype)],
    "item": [(A[:1, :1], lambda t: t.item()), (A, lambda t: t.item(4)), (A, lambda t: t.item(1, 2))],
    "itemsize": [(A, lambda t: t.itemsize), (A.astype(np.float32), lambda t: t.itemsize)],
    "nbytes": [(A, lambda t: t.nbytes), (np.ones((0, 2)), lambda t: t.nbytes)],
    "ndim": [(A, lambda t: t.ndim), (np.array(1.0), lambda t: t.ndim)],
    "shape": [(A, lambda t: t.shape), (np.array(1.0), lambda t: t.shape)],
    "size": [(A, lambda t: t.size), (np.ones((0, 2)), lambda t: t.size), (np.array(1.0), lambda t: t.size)],
    "tolist": [(A, lambda t: t.tolist()), (I, lambda t: t.tolist()), (np.array(1.0), lambda t: t.tolist())],
}

UPDATES: dict[str, list[tuple[np.ndarray, Callable[[Any], Any]]]] = {
    "fill": [(A, lambda t: t.fill(7))],
    "partition": [(A, lambda t: t.partition(1)), (A, lambda t: t.partition(1, axis=0))],
    "put": [(A, lambda t: t.put([0, 4], [10.0, 20.0])), (A, lambda t: t.put(5, 1.0))],
    "sort": [(A, lambda t: t.sort()), (A, lambda t: t.sort(axis=0)), (A, lambda t: t.sort(0, "stable"))],
}


def cases(group: dict[str, Any], dtypes: str = "biufc") -> pytest.MarkDecorator:
    """One test a call, of arrays of these kinds."""
    calls = [(f"{name}-{i}", *case) for name in group for i, case in enumerate(group[name])]
    chosen = [pytest.param(array, call, id=name) for name, array, call in calls if array.dtype.kind in dtypes]
    return pytest.mark.parametrize(("array", "call"), chosen)


@cases(CALLS)
def test_methods_do_what_the_arrays_do(array: np.ndarray, call: Callable[[Any], Any]) -> None:
    assert_tensor(call(tg.tensor(array)), call(array))


@cases({name: CALLS[name] for name in CALLS if name not in ("nonzero", "round")}, "fc")
def test_methods_of_leaves_are_recorded_if_differentiable(array: np.ndarray, call: Callable[[Any], Any]) -> None:
    result = call(leaf(array))
    assert_tensor(result, call(array))
    assert result.requires_grad is (result.dtype.kind in "fc")


@cases(PLAIN)
def test_attributes_and_numbers_are_plain_python(array: np.ndarray, call: Callable[[Any], Any]) -> None:
    for t in (tg.tensor(array), tg.tensor(array) + 0 if array.dtype != bool else tg.tensor(array)):
        found = call(t)
        assert found == call(array)
        assert type(found) is type(call(array))


@cases(UPDATES)
def test_updates_rebind_the_object_that_all_names_stand_for(array: np.ndarray, call: Callable[[Any], Any]) -> None:
    expected = array.copy()
    assert call(expected) is None
    x = leaf(array)
    y = other_name = x * 1
    before = y * 1
    assert call(y) is None
    assert_tensor(other_name, expected)
    assert_tensor(before, array)
    assert_tensor(x, array)
    with pytest.raises(LeafUpdateError):
        call(x)
    assert_tensor(x, array)


@pytest.mark.parametrize("name", sorted(n for n in dir(np.ndarray) if not n.startswith("_")))
def test_every_method_of_arrays_is_tested_here_or_refused(name: str) -> None:
    if name in {*CALLS, *PLAIN, *UPDATES, "data"}:
        assert hasattr(tg.tensor(A), name)
        return
    with pytest.raises(MissingMethodError, match=rf"a tensor has no \.{name}: [a-z]"):
        getattr(tg.tensor(A), name)


def test_every_method_here_is_one_of_arrays() -> None:
    assert [n for n in vars(ArrayMethods) if not n.startswith("_") and not hasattr(np.ndarray, n)] == ["precedence"]


def test_data_is_the_array_itself() -> None:
    x = leaf(A)
    assert type(x.data) is np.ndarray
    x.data[0, 0] = 7
    assert x.data[0, 0] == 7
    assert type(np.sum(x).data) is np.ndarray


def test_a_real_tensor_is_its_own_conjugate_and_real_part() -> None:
    x = leaf(A)
    assert x.conj() is x
    assert x.real is x
    np.testing.assert_array_equal(tg.gradients(np.sum(x * 2 + x.imag), x), np.full((2, 3), 2.0))


def test_gradients_flow_through_copies_and_conversions() -> None:
    x = leaf(A)
    np.testing.assert_array_equal(tg.gradients(np.sum(x.copy() * 2), x), np.full((2, 3), 2.0))
    gradient = tg.gradients(np.sum(x.astype(np.float32) * 2), x)
    np.testing.assert_array_equal(gradient, np.full((2, 3), 2.0), strict=True)


def test_methods_have_names_and_docstrings() -> None:
    for name in {*CALLS, *PLAIN, *UPDATES, "data"}:
        assert getattr(Tensor, name).__doc__, name
    assert Tensor.sum.__qualname__ == "Tensor.sum"
