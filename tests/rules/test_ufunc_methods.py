"""All ways to call a ufunc, and what its methods do beyond what ``tests/cases/ufunc_methods.py`` holds them to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import (
    BadAxisError,
    BadIndexError,
    DtypeError,
    EscapeError,
    LeafUpdateError,
    MissingRuleError,
    ShapeError,
    UnsupportedArgumentError,
)

X = np.array([1.0, 2.0, 4.0])
MASK = np.array([True, False, True])


def leaf(x: Any = X) -> tg.Tensor:
    return tg.tensor(x, requires_grad=True)


# ------------------------------------------------------------------------------------------------- keyword arguments


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": np.float32},
        {"dtype": np.complex128},
        {"signature": "ff->f", "casting": "unsafe"},
        {"signature": "dd->d"},
        {"sig": "dd->d"},
        {"signature": (None, None, np.float64)},
        {"casting": "no"},
        {"order": "F"},
        {"subok": False},
        {"where": True},
        {"out": None},
        {"out": (None,)},
    ],
    ids=repr,
)
def test_options_choose_how_a_ufunc_computes(options: dict[str, Any]) -> None:
    x = leaf()
    y = np.multiply(x, X, **options)
    expected = np.multiply(X, X, **options)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y.data, expected)
    np.testing.assert_array_equal(tg.gradients(np.sum(np.real(y)), x), X)


@pytest.mark.filterwarnings("ignore:'where' used without 'out'")
@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda x: np.exp(x, where=MASK), "np.where(mask, f(x), other)"),
        (lambda x: np.exp(x, where=x > 1), "np.where(mask, f(x), other)"),
        (lambda x: np.divmod(x, 3.0, where=MASK), "np.where(mask, f(x), other)"),
        (lambda x: np.add(x, 1, np.empty(3)), "Write y = np.add(...)"),
        (lambda x: np.add(x, 1, out=np.empty(3)), "Write y = np.add(...)"),
        (lambda x: np.modf(x, np.empty(3), None), "Write y = np.modf(...)"),
        (lambda x: np.less(x, 1, out=np.empty(3, bool)), "Write y = np.less(...)"),
        (lambda x: np.add.reduce(x, out=np.empty(())), "Write y = np.add.reduce(...)"),
        (lambda x: np.subtract.accumulate(x, 0, None, np.empty(3)), "Write y = np.subtract.accumulate(...)"),
        (lambda x: np.maximum.reduce(x, dtype=np.float32), "t.astype(dtype)"),
        (lambda x: np.matmul(x, x, axes=[(0,), (0,), ()]), "np.moveaxis"),
    ],
)
def test_options_that_lose_a_gradient_say_what_to_write(call: Callable[..., Any], advice: str) -> None:
    with pytest.raises(UnsupportedArgumentError) as caught:
        call(leaf())
    assert advice in str(caught.value)


def test_a_tensor_as_mask_is_a_plain_mask() -> None:
    x = leaf()
    total = np.add.reduce(x, where=x > 1)
    np.testing.assert_array_equal(tg.gradients(total, x), [0, 1, 1])
    values = np.full(3, 7.0)
    np.testing.assert_array_equal(np.add.reduce(values, where=x > 1).data, 14)


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "name"),
    [
        (lambda x: np.add.reduce(x, axis=1), BadAxisError, "np.add.reduce("),
        (lambda x: np.subtract.reduce(x, axis=1), BadAxisError, "np.subtract.reduce("),
        (lambda x: np.subtract.reduce(np.outer(x, x), axis=None), ShapeError, "np.subtract.reduce("),
        (lambda x: np.subtract.reduce(x, where=MASK), ShapeError, "np.subtract.reduce("),
        (lambda x: np.divide.reduce(x[:0]), ShapeError, "np.divide.reduce("),
        (lambda x: np.power.accumulate(x, axis=1), BadAxisError, "np.power.accumulate("),
        (lambda x: np.hypot.accumulate(x[0]), DtypeError, "np.hypot.accumulate("),
        (lambda x: np.add.reduceat(x, [5]), BadIndexError, "np.add.reduceat("),
        (lambda x: np.add.outer(x, "word"), DtypeError, "np.add"),
        (lambda x: np.add.at(+x, [5], 1), BadIndexError, "np.add.at("),
        (lambda x: np.add.at(+x, [0, 1], [1, 2, 3]), ShapeError, "np.add.at("),
        (lambda x: np.equal.reduce(x), DtypeError, "np.equal.reduce("),
        (lambda x: np.ldexp.reduce(x), MissingRuleError, "np.ldexp.reduce "),
        (lambda x: np.floor.at(+x, [0]), MissingRuleError, "np.floor.at "),
    ],
)
def test_errors_name_the_method(call: Callable[..., Any], error: type[Exception], name: str) -> None:
    with pytest.raises(error) as caught:
        call(leaf())
    assert str(caught.value).startswith(name)


# ---------------------------------------------------------------------------------------------------- the edge cases


def test_an_extremum_is_shared_evenly_and_not_with_nan() -> None:
    x = leaf([2.0, np.nan, 2.0, 1.0, 2.0])
    np.testing.assert_allclose(tg.gradients(np.fmax.reduce(x), x), [1 / 3, 0, 1 / 3, 0, 1 / 3])
    np.testing.assert_allclose(tg.gradients(np.fmin.reduce(x), x), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(tg.gradients(np.fmax.reduce(x[1:2]), x), np.zeros(5))


@pytest.mark.parametrize("ufunc", [np.logaddexp, np.logaddexp2])
def test_exponentials_of_any_size_have_shares_that_sum_to_one(ufunc: np.ufunc) -> None:
    for values in ([1e4, 1e4 + 0.5, -1e4], [-1e300, 0.0, -1e300], [3e7, 3e7 + 1, 3e7], [-np.inf, 1.0, 2.0]):
        x = leaf(np.array(values, np.float32 if max(values) > 1e6 else np.float64))
        shares = tg.gradients(ufunc.reduce(x), x)
        np.testing.assert_allclose(np.sum(shares), 1, rtol=1e-6)
    x = leaf([-np.inf, -np.inf])
    np.testing.assert_array_equal(tg.gradients(ufunc.reduce(x), x), [0, 0])


def test_the_length_of_nothing_has_no_direction() -> None:
    x = leaf(np.zeros((2, 3)))
    np.testing.assert_array_equal(tg.gradients(np.sum(np.hypot.reduce(x, axis=1)), x), np.zeros((2, 3)))


def test_elements_that_a_mask_leaves_out_may_be_anything() -> None:
    x = leaf([1.0, np.inf, np.nan])
    for ufunc in (np.add, np.multiply, np.logaddexp, np.hypot, np.fmax):
        (slope,) = tg.gradients(ufunc.reduce(x, where=[True, False, False], initial=0.5), [x])
        np.testing.assert_array_equal(slope[1:], [0, 0])
        assert np.isfinite(slope[0])


# ---------------------------------------------------------------------------------------------------------------- at


def test_at_gives_the_tensor_a_new_value_and_changes_no_earlier_result() -> None:
    x = leaf()
    y = +x
    before = y * 2
    np.multiply.at(y, [0, 0, 2], [3.0, 5.0, 7.0])
    np.testing.assert_array_equal(y.data, [15, 2, 28])
    np.testing.assert_array_equal(before.data, [2, 4, 8])
    np.testing.assert_array_equal(tg.gradients(np.sum(y), x), [15, 1, 7])


def test_at_takes_indices_that_are_tensors() -> None:
    y = tg.tensor(X)
    np.add.at(y, tg.tensor([1, 1]), tg.tensor(1.0))
    np.testing.assert_array_equal(y.data, [1, 4, 4])


def test_at_refuses_a_leaf() -> None:
    with pytest.raises(LeafUpdateError, match=r"np\.add\.at on a leaf"):
        np.add.at(leaf(), [0], 1.0)


def test_at_writes_numbers_into_a_plain_array_but_no_gradient() -> None:
    counts = np.zeros(3)
    np.add.at(counts, tg.tensor([0, 2, 2]), tg.tensor(1.0))
    np.testing.assert_array_equal(counts, [1, 0, 2])
    with pytest.raises(EscapeError, match=r"np\.add\.at: .* tg\.tensor\(array\)"):
        np.add.at(counts, [0], leaf(1.0))


def test_at_adds_up_a_histogram_in_one_go() -> None:
    rng = np.random.default_rng(0)
    places, weights = rng.integers(0, 3, 10_000), leaf(rng.normal(size=10_000))
    bins = tg.tensor(np.zeros(3))
    np.add.at(bins, places, weights)
    np.testing.assert_allclose(bins.data, np.bincount(places, weights.data))
    np.testing.assert_array_equal(tg.gradients(bins, weights, X), X[places])


# ------------------------------------------------------------------------------------------- compiled, and in batches


def _at(ufunc: np.ufunc, x: Any) -> Any:
    y = x * 2.0
    ufunc.at(y, [0, 0, 2], x[::-1])
    return y


METHODS: dict[str, Callable[[Any], Any]] = {
    "np.logaddexp.reduce": lambda x: np.logaddexp.reduce(np.multiply.outer(x, x), axis=1),
    "np.subtract.reduce": lambda x: np.subtract.reduce(
        np.multiply.outer(x, x), axis=(0,), where=np.eye(3) < 1, initial=2.0
    ),
    "np.multiply.accumulate": np.multiply.accumulate,
    "np.hypot.accumulate": np.hypot.accumulate,
    "np.multiply.reduceat": lambda x: np.multiply.reduceat(x, [0, 2, 1]),
    "np.add.at": lambda x: _at(np.add, x),
    "np.multiply.at": lambda x: _at(np.multiply, x),
}
each_method = pytest.mark.parametrize("call", METHODS.values(), ids=METHODS)


@each_method
def test_a_method_does_the_same_when_compiled(call: Callable[[Any], Any]) -> None:
    weights = leaf()

    def step() -> Any:
        loss = np.sum(call(weights) ** 2)
        weights.grad = None
        loss.backward()
        return loss

    compiled = tg.compile(step)
    for _ in range(3):
        loss, slope = compiled().data, np.copy(weights.grad)
        assert loss == step().data
        np.testing.assert_array_equal(slope, weights.grad)
        weights.data[...] += 0.1
        weights.mark_updated()


@each_method
def test_a_method_has_the_jacobian_of_its_rows(call: Callable[[Any], Any]) -> None:
    rows = [tg.grad(lambda x, i=i: call(x)[i])(X) for i in range(call(X).size)]
    np.testing.assert_allclose(tg.jacobian(call)(X), rows, rtol=1e-12)
