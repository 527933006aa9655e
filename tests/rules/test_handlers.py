"""What happens to a function that is no primitive of its own: spelled in others, constant, a query, or refused."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from tensors import assert_tensor, leaf

import tinygrad_np as tg
from tinygrad_np.core import Tensor, table
from tinygrad_np.errors import (
    BadAxisError,
    BadIndexError,
    DtypeError,
    EscapeError,
    MissingRuleError,
    ShapeError,
    UnsupportedArgumentError,
)
from tinygrad_np.rules.handlers import as_tensor, composite, constant, plain, query, refuse

pytestmark = pytest.mark.usefixtures("scratch_table")

A = np.arange(6.0).reshape(2, 3)


def norm(x: Any, out: Any = None) -> Any:
    """A function of NumPy's, as far as the tests are concerned."""
    return np.sqrt(np.sum(x * x))


def another(x: Any) -> Any:
    return norm(x)


def call(*args: Any, **kwargs: Any) -> Any:
    return tg.apply(norm, args, kwargs)


# --------------------------------------------------------------------------------------------------------- composite


def test_a_composite_is_recorded_as_what_it_is_spelled_in() -> None:
    @composite(norm, another)
    def spelling(x: Any) -> Any:
        return np.sqrt(np.sum(x * x))

    x = leaf([3.0, 4.0])
    for function in (norm, another):
        y = tg.apply(function, (x,))
        assert_tensor(y, 5.0)
        assert repr(y) == "tensor(5., from=np.sqrt)"
        np.testing.assert_allclose(tg.gradients(y, x), [0.6, 0.8])
    assert spelling(np.array([3.0, 4.0])) == 5


NO_OUT = {
    "concatenate": lambda x: np.concatenate([x, x], out=None),
    "concatenate by position": lambda x: np.concatenate([x, x], 1, None),
    "stack": lambda x: np.stack([x, x], 0, None),
    "nancumsum": lambda x: np.nancumsum(x, out=None),
    "nancumprod by position": lambda x: np.nancumprod(x, 0, None, None),
    "fftn": lambda x: np.fft.fftn(x, out=None),
    "irfft2 by position": lambda x: np.fft.irfft2(x, None, (0, 1), None, None),
    "var, and an option after it": lambda x: np.var(x, 0, None, None, 1),
    "nanvar, and an option after it": lambda x: np.nanvar(x, 0, None, None, 1),
    "choose, and an option after it": lambda x: np.choose([3, 0, 1], x, None, "wrap"),
    "quantile, and an option after it": lambda x: np.quantile(x, 0.3, 0, None, False, "lower"),
    "multi_dot": lambda x: np.linalg.multi_dot([x, x.T, x], out=None),
}


@pytest.mark.parametrize("function", NO_OUT.values(), ids=NO_OUT)
def test_no_out_asks_for_nothing(function: Any) -> None:
    np.testing.assert_allclose(function(tg.tensor(A)).data, function(A), strict=True)


def test_an_option_that_there_is_not_is_none_of_numpys() -> None:
    @composite(norm)
    def _private(x: Any) -> Any:
        return x

    with pytest.raises(DtypeError, match=r"norm\(\) got an unexpected keyword argument 'foo'") as raised:
        call(leaf(), foo=1)
    assert "_private" not in str(raised.value)


def test_a_composite_gets_the_arguments_as_they_were_given() -> None:
    seen: list[Any] = []
    composite(norm)(lambda *args, **kwargs: seen.append((args, kwargs)) or 1)
    x = leaf()
    assert call([x, 2], axis=(0, 1)) == 1
    assert seen == [(([x, 2],), {"axis": (0, 1)})]


def test_what_a_composite_returns_becomes_tensors() -> None:
    for returned in (A, A[0, 0], (A, A), [A, 1, None], {"a": A}):
        composite(norm)(lambda _x, returned=returned: returned)
        found = call(leaf())
        assert type(found) is (Tensor if isinstance(returned, np.ndarray | np.generic) else type(returned))
    composite(norm)(lambda _x: [A, 1, None])
    array, number, nothing = call(leaf())
    assert_tensor(array, A)
    assert (number, nothing) == (1, None)


@pytest.mark.parametrize(
    ("spelling", "error", "message"),
    [
        (lambda x: x + np.ones(7), ShapeError, r"norm\(float64\(2, 3\)\): operands could not be broadcast .* Reshape"),
        (lambda x: np.ones(4) + np.ones(5), ShapeError, r"norm\(float64\(2, 3\)\): operands could not be broadcast"),
        (lambda x: np.sum(x, axis=5), BadAxisError, r"norm\(float64\(2, 3\)\): axis 5 is out of bounds"),
        (lambda x: x[7], BadIndexError, r"norm\(float64\(2, 3\)\): index 7 is out of bounds"),
        (lambda x: x & 1, DtypeError, r"norm\(float64\(2, 3\)\): ufunc 'bitwise_and' not supported"),
        (lambda x: np.stack([x, x[0]]), ShapeError, r"norm\(float64\(2, 3\)\): .*same shape"),
        (lambda x: int("x"), ShapeError, r"norm\(float64\(2, 3\)\): invalid literal"),
    ],
)
def test_errors_of_a_composite_are_about_the_call_that_was_written(
    spelling: Any, error: type[Exception], message: str
) -> None:
    composite(norm)(spelling)
    with pytest.raises(error, match=rf"^{message}") as caught:
        call(leaf(A))
    assert type(caught.value.__cause__).__module__ in ("builtins", "numpy.exceptions")


def test_errors_that_a_composite_raises_on_purpose_keep_their_words() -> None:
    def spelling(x: Any) -> Any:
        raise ValueError(f"norm: vectors only, not {x.ndim} axes; write np.ravel(t)")

    composite(norm)(spelling)
    with pytest.raises(ShapeError, match=r"^norm\(float64\(2, 3\)\): vectors only, not 2 axes; write np.ravel\(t\)$"):
        call(leaf(A))


@pytest.mark.parametrize("error", [EscapeError("out"), MissingRuleError("none"), np.linalg.LinAlgError("singular")])
def test_errors_that_say_enough_pass_through_a_composite(error: Exception) -> None:
    def spelling(x: Any) -> Any:
        raise error

    composite(norm)(spelling)
    with pytest.raises(type(error)) as caught:
        call(leaf(A))
    assert caught.value is error


# ---------------------------------------------------------------------------------------------------------- constant


def test_a_constant_has_no_gradient() -> None:
    constant(norm)
    y = call(leaf([3.0, 4.0]))
    assert_tensor(y, 5.0)
    assert not y.requires_grad


def test_a_constant_is_computed_from_arrays() -> None:
    seen: list[Any] = []

    def look(*args: Any, **kwargs: Any) -> Any:
        seen.extend([args, kwargs])
        return A

    constant(look)
    x = tg.tensor(1.0)
    assert_tensor(tg.apply(look, ([x, (x, 2)],), {"key": {"x": x}, "part": slice(x, None)}), A)
    value = x._value
    assert seen == [([value, (value, 2)],), {"key": {"x": value}, "part": slice(value, None)}]
    assert type(seen[0][0][0]) is np.ndarray


def test_several_results_of_a_constant() -> None:
    class Pair(NamedTuple):
        first: Any
        second: Any

    def pair(x: Any) -> Pair:
        return Pair(x, 3)

    constant(pair)
    found = tg.apply(pair, (leaf(A),))
    assert type(found) is Pair
    assert_tensor(found.first, A)
    assert found.second == 3


def test_errors_of_a_constant_describe_the_call() -> None:
    constant(norm)
    with pytest.raises(DtypeError, match=r"norm\(float64\(2, 3\), key=1\): .*unexpected keyword argument 'key'"):
        call(leaf(A), key=1)


def test_a_constant_of_objects_is_refused() -> None:
    def objects(x: Any) -> Any:
        return np.array([None]), 1

    constant(objects)
    with pytest.raises(DtypeError, match=r"objects\(float64\(2, 3\)\) returned objects: tensors hold numbers"):
        tg.apply(objects, (leaf(A),))


@pytest.mark.parametrize("register", [constant, lambda function: composite(function)(function)])
def test_neither_writes_into_an_array(register: Any) -> None:
    register(norm)
    for args, kwargs in (((leaf(A), np.ones(())), {}), ((leaf(A),), {"out": np.ones(())})):
        with pytest.raises(UnsupportedArgumentError, match=r"norm\(float64\(2, 3\), .*as out= asks for.*y = norm\("):
            call(*args, **kwargs)
    assert_tensor(call(leaf([3.0, 4.0]), out=None), 5.0)


# ------------------------------------------------------------------------------------------------------------- query


def test_a_query_answers_with_a_plain_value() -> None:
    query(norm)
    answer = call(leaf([3.0, 4.0]))
    assert type(answer) is np.float64
    assert answer == 5
    for t in (leaf(A), tg.tensor(A)):
        assert (np.shape(t), np.ndim(t), np.size(t), np.result_type(t, 1.0)) == ((2, 3), 2, 6, np.float64)


# ----------------------------------------------------------------------------------------------------------- refused


def test_a_refusal_says_why_and_what_to_write() -> None:
    refuse("write np.linalg.norm", norm, another)
    for function in (norm, another):
        with pytest.raises(MissingRuleError, match=r"(norm|another) does not take tensors: write np.linalg.norm"):
            tg.apply(function, (leaf(A),))


def test_the_last_registration_counts() -> None:
    refuse("never", norm)
    constant(norm)
    assert_tensor(call(leaf([3.0, 4.0])), 5.0)
    assert sum(function is norm for function in table) == 1


# --------------------------------------------------------------------------------------------------- arrays and tensors


def test_plain_replaces_tensors_wherever_they_are() -> None:
    x = leaf(A)
    value = x.data
    assert plain(x) is value
    assert plain([x, (x, {"x": x}), 1]) == [value, (value, {"x": value}), 1]
    assert plain(slice(x, 1, None)) == slice(value, 1, None)


def test_as_tensor_leaves_alone_what_is_no_array() -> None:
    x = leaf()
    assert as_tensor(x) is x
    assert_tensor(as_tensor(A), A)
    assert_tensor(as_tensor(np.float32(1)), np.float32(1))
    assert [as_tensor(thing) for thing in (1, 1.0, None, "x")] == [1, 1.0, None, "x"]
