"""grad, value_and_grad, elementwise_grad, vjp, jvp, jacobian, hessian, hvp: by themselves and inside one another."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import leaf

import tinygrad_np as tg
from tinygrad_np import transforms
from tinygrad_np.errors import DtypeError, EscapeError, GradientError, MissingRuleError, ShapeError
from tinygrad_np.graph import recording
from tinygrad_np.trees import leaves, map_leaves

Function = Callable[..., Any]
Layer = namedtuple("Layer", ["weight", "bias"])

X = np.array([0.5, -1.0, 2.0])
MASKED = np.ma.array(X, mask=[False, True, False])


def assert_trees_close(found: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Assert the same structure, and equal arrays in it."""
    assert type(found) is type(expected) or not isinstance(expected, dict | list | tuple)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_trees_close(ours, theirs, tolerance)
    else:
        found = found.data if isinstance(found, tg.Tensor) else found
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# -------------------------------------------------------------------------------- what all of them have in common
#
# Each transform as a function of a scalar function of one vector, and what it makes of f(x) = exp(c . x), whose
# derivative in any direction is f again, times a number.

def jacobian_by_columns(f: Function, x: Any) -> Any:
    """The derivative along x, as one element of a Jacobian with so many outputs that it is made of tangents."""
    columns = tg.jacobian(lambda s: f(s * x) * np.ones(4, x.dtype))(x.dtype.type(1))
    return columns[:1].reshape(())


TRANSFORMS: dict[str, Callable[[Function, Any], Any]] = {
    "grad": lambda f, x: tg.grad(f)(x),
    "value_and_grad": lambda f, x: tg.value_and_grad(f)(x)[1],
    "elementwise_grad": lambda f, x: tg.elementwise_grad(f)(x),
    "vjp": lambda f, x: tg.vjp(f, x)[1](1.0),
    "jvp": lambda f, x: tg.jvp(f, (x,), (np.ones(x.shape, x.dtype),))[1],
    "jacobian": lambda f, x: tg.jacobian(f)(x),
    "jacobian by columns": jacobian_by_columns,
    "hessian": lambda f, x: tg.hessian(f)(x),
    "hvp": lambda f, x: tg.hvp(f)(x, np.ones(x.shape, x.dtype)),
    "value": lambda f, x: tg.value_and_grad(f)(x)[0],
    "checkpoint": lambda f, x: tg.checkpoint(f)(x),
}
C = np.array([0.3, -0.2])
POINT = np.array([0.7, 0.4])


def exponential(x: Any) -> Any:
    return np.exp(np.sum(C.astype(x.dtype) * x))


EXPECTED: dict[str, Function] = {
    **dict.fromkeys(("grad", "value_and_grad", "elementwise_grad", "vjp", "jacobian"), lambda f, x: C * f),
    "jvp": lambda f, x: np.sum(C) * f,
    "jacobian by columns": lambda f, x: np.sum(C * x) * f,
    "hessian": lambda f, x: np.outer(C, C) * f,
    "hvp": lambda f, x: np.sum(C) * C * f,
    **dict.fromkeys(("value", "checkpoint"), lambda f, x: f),
}
ORDERS = {"hessian": 2, "hvp": 2, "value": 0, "checkpoint": 0}  # of all others: 1
DERIVATIVES = [name for name in TRANSFORMS if name not in ("value", "checkpoint")]

every_transform = pytest.mark.parametrize("name", TRANSFORMS)
every_derivative = pytest.mark.parametrize("name", DERIVATIVES)


@every_transform
def test_of_arrays_comes_an_array_or_nested_arrays(name: str) -> None:
    found = TRANSFORMS[name](exponential, POINT)
    assert isinstance(found, np.ndarray) or name == "checkpoint"
    assert_trees_close(found, EXPECTED[name](exponential(POINT), POINT))


@every_derivative
def test_of_a_tensor_that_requires_no_gradient_comes_an_array(name: str) -> None:
    found = TRANSFORMS[name](exponential, tg.tensor(POINT))
    assert isinstance(found, np.ndarray)
    assert_trees_close(found, EXPECTED[name](exponential(POINT), POINT))


@every_transform
def test_float32_stays_float32(name: str) -> None:
    found = TRANSFORMS[name](exponential, POINT.astype(np.float32))
    assert found.dtype == np.float32
    assert_trees_close(found, EXPECTED[name](exponential(POINT), POINT), 1e-5)


@every_derivative
def test_a_result_is_the_callers_to_write_to(name: str) -> None:
    x = POINT.copy()
    found = TRANSFORMS[name](exponential, x)
    found += 1
    np.testing.assert_array_equal(x, POINT)
    assert_trees_close(TRANSFORMS[name](exponential, x) + 1, found)


@every_derivative
def test_of_no_elements_there_is_nothing(name: str) -> None:
    found = TRANSFORMS[name](lambda x: np.sum(np.exp(x)), np.ones((0, 3)))
    shapes = {"hessian": (0, 3, 0, 3), "jvp": (), "jacobian by columns": ()}
    assert found.shape == shapes.get(name, (0, 3))
    assert not found.any()


@every_derivative
def test_what_nothing_depends_on_gets_zeros(name: str) -> None:
    found = TRANSFORMS[name](lambda x: 3.0, X)
    shapes = {"hessian": (3, 3), "jvp": (), "jacobian by columns": ()}
    np.testing.assert_array_equal(found, np.zeros(shapes.get(name, (3,))))


@every_derivative
def test_no_grad_outside_makes_no_difference_to_the_numbers(name: str) -> None:
    with tg.no_grad():
        found = TRANSFORMS[name](exponential, POINT)
        assert not recording.get()
    assert_trees_close(found, EXPECTED[name](exponential(POINT), POINT))


@every_derivative
def test_under_no_grad_nothing_is_recorded(name: str) -> None:
    w = leaf(1.0)
    with tg.no_grad():
        found = TRANSFORMS[name](lambda x: w * exponential(x), leaf(POINT))
    assert isinstance(found, np.ndarray)


@every_derivative
def test_no_grad_inside_makes_a_constant(name: str) -> None:
    def with_constant(x: Any) -> Any:
        with tg.no_grad():
            slope = np.sum(TRANSFORMS[name](exponential, x))
        return slope * np.sum(x)

    slope = np.sum(EXPECTED[name](exponential(POINT), POINT))
    assert_trees_close(tg.grad(with_constant)(POINT), [slope, slope] * np.ones(2))


@every_transform
def test_the_leaves_that_are_passed_keep_their_grad(name: str) -> None:
    x = leaf(POINT)
    TRANSFORMS[name](exponential, x)
    assert x.grad is None


# An outer derivative by gradients() or backward(), as in meta-learning


@every_transform
def test_an_argument_that_requires_a_gradient_is_differentiated_further(name: str) -> None:
    x = leaf(POINT)
    found = TRANSFORMS[name](exponential, x)
    assert isinstance(found, tg.Tensor)
    assert_trees_close(found, EXPECTED[name](exponential(POINT), POINT))
    factor = np.sum(C) ** ORDERS.get(name, 1) * exponential(POINT)
    along = C.dot(POINT) * exponential(POINT)
    expected = C * (along + exponential(POINT)) if name == "jacobian by columns" else C * factor
    assert_trees_close(tg.gradients(np.sum(found), x), expected)


@every_transform
def test_a_tensor_of_an_outer_scope_is_differentiated_further(name: str) -> None:
    w = leaf(2.0)
    found = TRANSFORMS[name](lambda x: w**3 * exponential(x), POINT)
    assert isinstance(found, tg.Tensor)
    np.sum(found).backward()
    assert_trees_close(w.grad, 12.0 * np.sum(EXPECTED[name](exponential(POINT), POINT)))


@pytest.mark.parametrize("spelling", ["positional", "keyword", "unselected auxiliary"])
def test_every_way_in_is_seen(spelling: str) -> None:
    w = leaf(2.0)
    if spelling == "positional":
        found = tg.grad(lambda x, w: w**3 * exponential(x))(POINT, w)
    elif spelling == "keyword":
        found = tg.grad(lambda x, w: w**3 * exponential(x))(POINT, w=w)
    else:
        _, found = tg.grad(lambda x: (exponential(x), w**3 * exponential(x)), has_aux=True)(POINT)
    scale = np.sum(C) if spelling != "unselected auxiliary" else 1.0
    assert_trees_close(tg.gradients(np.sum(found), w), 12.0 * scale * exponential(POINT))


def test_a_step_of_training_is_differentiated_through() -> None:
    """Model-agnostic meta-learning: the gradient of the loss after a step, by what the step started from."""
    w = leaf(X)
    rate = leaf(0.1)

    def loss(w: Any) -> Any:
        return np.sum(w**4)

    adapted = w - rate * tg.grad(loss)(w)
    loss(adapted).backward()
    after = X - 0.1 * 4 * X**3
    assert_trees_close(w.grad, 4 * after**3 * (1 - 0.1 * 12 * X**2))
    assert_trees_close(rate.grad, np.sum(4 * after**3 * -4 * X**3))


def test_a_penalty_on_a_gradient_reaches_the_parameters() -> None:
    w = leaf(X)
    penalty = np.sum(tg.grad(lambda x: np.sum(np.tanh(w * x)))(np.zeros(3)) ** 2)
    penalty.backward()
    assert_trees_close(w.grad, 2 * X)


# ------------------------------------------------------------------------------------------------------- compositions


def composed(names: Sequence[str]) -> tuple[Function, int]:
    """The sum of what transforms one inside the other make of the exponential, and how often it was differentiated."""
    function: Function = exponential
    for name in names:
        function = summed(TRANSFORMS[name], function)
    return function, sum(ORDERS.get(name, 1) for name in names)


def summed(transform: Callable[[Function, Any], Any], function: Function) -> Function:
    return lambda x: np.sum(transform(function, x))


ALL_WAYS = [name for name in TRANSFORMS if name != "jacobian by columns"]  # which does not give f times a number


@pytest.mark.parametrize("inner", ALL_WAYS)
@pytest.mark.parametrize("outer", TRANSFORMS)
def test_every_transform_inside_of_every_other(outer: str, inner: str) -> None:
    function, order = composed([inner])
    found = TRANSFORMS[outer](function, POINT)
    scale = np.sum(C) ** order
    assert_trees_close(found, scale * EXPECTED[outer](exponential(POINT), POINT), 1e-10)


@given(st.lists(st.sampled_from(ALL_WAYS), min_size=3, max_size=4), st.booleans())
def test_third_and_fourth_order_in_any_mixture(names: list[str], by_backward: bool) -> None:
    function, order = composed(names)
    expected = np.sum(C) ** order * exponential(POINT)
    if by_backward:
        x = leaf(POINT)
        function(x).backward()
        assert_trees_close(x.grad, expected * C, 1e-9)
    else:
        assert_trees_close(tg.grad(function)(POINT), expected * C, 1e-9)


def test_derivatives_of_a_power_to_the_fifth_order() -> None:
    f: Function = lambda x: x**5  # noqa: E731
    for expected in (5 * 2.0**4, 20 * 2.0**3, 60 * 2.0**2, 120 * 2.0, 120.0, 0.0):
        f = tg.grad(f)
        assert_trees_close(f(2.0), expected)


def test_jacobian_of_jacobian_of_jacobian() -> None:
    found = tg.jacobian(tg.jacobian(tg.jacobian(lambda x: np.sum(x**4))))(X)
    expected = np.zeros((3, 3, 3))
    expected[range(3), range(3), range(3)] = 24 * X
    assert_trees_close(found, expected)


def test_hessian_of_a_product_of_all() -> None:
    def f(x: Any) -> Any:
        return x[0] * x[1] * x[2] + x[0] ** 2

    assert_trees_close(tg.hessian(f)(X), np.array([[2, X[2], X[1]], [X[2], 0, X[0]], [X[1], X[0], 0]]))
    third = tg.jacobian(tg.hessian(f))(X)
    assert third[0, 1, 2] == third[2, 0, 1] == 1
    assert np.count_nonzero(third) == 6


# What the derivatives of one function must not see of one another (Siskind and Pearlmutter, 2005)


def by_jvp(f: Function) -> Function:
    return lambda x: tg.jvp(f, (x,), (1.0,))[1]


@pytest.mark.parametrize("inner", [tg.grad, by_jvp, tg.jacobian], ids=["grad", "jvp", "jacobian"])
@pytest.mark.parametrize("outer", [tg.grad, by_jvp, tg.jacobian], ids=["grad", "jvp", "jacobian"])
class TestNoPerturbationIsTakenForAnother:
    def test_of_a_sum(self, outer: Function, inner: Function) -> None:
        assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1

    def test_of_a_product(self, outer: Function, inner: Function) -> None:
        assert outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0) == 6

    def test_at_the_same_point(self, outer: Function, inner: Function) -> None:
        assert outer(lambda x: inner(lambda y: y * x)(x))(3.0) == 1
        assert outer(lambda x: inner(lambda y: y**2 * x)(x))(3.0) == 12

    def test_of_the_outer_variable_alone(self, outer: Function, inner: Function) -> None:
        assert outer(lambda x: inner(lambda y: x * x)(x))(3.0) == 0
        assert outer(lambda x: x * inner(lambda y: y * y)(1.5))(3.0) == 3

    def test_three_deep(self, outer: Function, inner: Function) -> None:
        found = outer(lambda x: x * inner(lambda y: y * inner(lambda z: x * y * z)(1.0))(x))(2.0)
        assert found == 24  # x * d/dy (x y^2) at y = x is 2 x^3


# ------------------------------------------------------------------------------------------------ which arguments


def weighted(a: Any, b: Any, c: Any, *, scale: float = 1.0) -> Any:
    return scale * np.sum(a * b**2 * c**3)


A3, B3, C3 = np.array([1.0, 2.0]), np.array([3.0, -1.0]), np.array([0.5, 2.0])
SLOPES = (B3**2 * C3**3, 2 * A3 * B3 * C3**3, 3 * A3 * B3**2 * C3**2)


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, SLOPES[0]),
        (2, SLOPES[2]),
        (-1, SLOPES[2]),
        (-3, SLOPES[0]),
        (np.int64(1), SLOPES[1]),
        ((1,), (SLOPES[1],)),
        ((0, 2), (SLOPES[0], SLOPES[2])),
        ((2, 0), (SLOPES[2], SLOPES[0])),
        ([-1, 1], (SLOPES[2], SLOPES[1])),
        (range(3), SLOPES),
        ((), ()),
    ],
    ids=str,
)
def test_argnums_say_which_arguments(argnums: Any, expected: Any) -> None:
    args = (A3, B3, C3)
    assert_trees_close(tg.grad(weighted, argnums)(*args), expected)
    assert_trees_close(tg.value_and_grad(weighted, argnums)(*args), (weighted(*args), expected))
    assert_trees_close(tg.elementwise_grad(weighted, argnums)(*args), expected)
    assert_trees_close(tg.jacobian(weighted, argnums)(*args), expected)


@pytest.mark.parametrize("argnums", [1, -2, (2, 0), (-1, 1)], ids=str)
def test_second_derivatives_by_argnums(argnums: Any) -> None:
    args = (A3, B3, C3)
    zero = np.zeros((2, 2))
    blocks = [
        [zero, np.diag(2 * B3 * C3**3), np.diag(3 * B3**2 * C3**2)],
        [np.diag(2 * B3 * C3**3), np.diag(2 * A3 * C3**3), np.diag(6 * A3 * B3 * C3**2)],
        [np.diag(3 * B3**2 * C3**2), np.diag(6 * A3 * B3 * C3**2), np.diag(6 * A3 * B3**2 * C3)],
    ]
    if isinstance(argnums, int):
        expected = blocks[argnums][argnums]
        vector, product = np.array([1.0, -2.0]), expected @ [1.0, -2.0]
    else:
        expected = tuple(tuple(blocks[i][j] for j in argnums) for i in argnums)
        vector = (np.array([1.0, -2.0]), np.array([0.5, 3.0]))
        product = tuple(sum(block @ v for block, v in zip(row, vector, strict=True)) for row in expected)
    assert_trees_close(tg.hessian(weighted, argnums)(*args), expected)
    assert_trees_close(tg.hvp(weighted, argnums)(*args, vector), product)


@pytest.mark.parametrize(
    "derivative",
    [
        lambda: tg.grad(weighted, 1)(A3, B3, C3, scale=3.0),
        lambda: tg.value_and_grad(weighted, 1)(A3, B3, C3, scale=3.0)[1],
        lambda: tg.elementwise_grad(weighted, 1)(A3, B3, C3, scale=3.0),
        lambda: tg.jacobian(weighted, 1)(A3, B3, C3, scale=3.0),
        lambda: tg.vjp(weighted, A3, B3, C3, scale=3.0)[1](1.0)[1],
        lambda: np.diag(tg.hessian(weighted, 1)(A3, B3, C3, scale=3.0)) * B3,
        lambda: tg.hvp(weighted, 1)(A3, B3, C3, B3, scale=3.0),
        lambda: tg.grad(lambda c, a, b: weighted(a, b, c, scale=3.0))(C3, b=B3, a=A3) * C3 / B3 * 2 / 3,
    ],
)
def test_keyword_arguments_are_passed_on(derivative: Function) -> None:
    assert_trees_close(derivative(), 3 * SLOPES[1])


def test_arguments_that_are_not_selected_are_passed_as_they_are() -> None:
    def f(x: Any, words: Any, n: Any, flag: bool = False) -> Any:
        assert (words, n, flag) == (["a"], 2, True)
        return np.sum(x**n)

    assert_trees_close(tg.grad(f)(X, ["a"], 2, flag=True), 2 * X)


def test_one_array_for_two_arguments_is_two_arguments() -> None:
    assert_trees_close(tg.grad(lambda a, b: np.sum(a * b**2), (0, 1))(X, X), (X**2, 2 * X**2))
    x = leaf(X)
    first, second = tg.grad(lambda a, b: np.sum(a * b**2), (0, 1))(x, x)
    assert_trees_close(first, X**2)
    assert_trees_close(second, 2 * X**2)


def test_a_class_a_partial_function_and_a_ufunc_are_functions_too() -> None:
    class Cube:
        def __call__(self, x: Any) -> Any:
            return x**3

    assert tg.grad(Cube())(2.0) == 12
    assert tg.grad(np.sin)(0.0) == 1
    assert_trees_close(tg.jacobian(np.multiply, 1)(X, X), np.diag(X))


# --------------------------------------------------------------------------------------------------------- structures

PARAMETERS = {
    "layers": [Layer(np.array([[1.0, 2.0]]), np.array([0.5])), Layer(np.array([[3.0]]), np.array([-1.0]))],
    "scale": (2.0,),
}


def network(p: Any, x: Any = 1.0) -> Any:
    first, second = p["layers"]
    hidden = first.weight * x + first.bias
    return p["scale"][0] * np.sum(hidden**2) + np.sum(second.weight * second.bias)


H = np.array([[1.5, 2.5]])
NETWORK_SLOPES = {
    "layers": [Layer(4 * H, np.array([4 * np.sum(H)])), Layer(np.array([[-1.0]]), np.array([3.0]))],
    "scale": (np.sum(H**2),),
}


def test_gradients_have_the_structure_of_the_argument() -> None:
    assert_trees_close(tg.grad(network)(PARAMETERS), NETWORK_SLOPES)
    assert_trees_close(tg.value_and_grad(network)(PARAMETERS)[1], NETWORK_SLOPES)
    assert_trees_close(tg.elementwise_grad(network)(PARAMETERS), NETWORK_SLOPES)
    assert_trees_close(tg.jacobian(network)(PARAMETERS), NETWORK_SLOPES)
    assert_trees_close(tg.vjp(network, PARAMETERS)[1](1.0), NETWORK_SLOPES)
    assert_trees_close(tg.grad(network, (1, 0))(PARAMETERS, 1.0), (np.sum(4 * H * [[1, 2]]), NETWORK_SLOPES))


def test_tangents_have_the_structure_of_the_argument() -> None:
    tangents = map_leaves(lambda a: 2 * np.ones(np.shape(a)), PARAMETERS)
    _, found = tg.jvp(network, (PARAMETERS,), (tangents,))
    assert_trees_close(found, sum(2 * np.sum(slope) for slope in leaves(NETWORK_SLOPES)))


def test_hessians_have_the_structure_twice() -> None:
    found = tg.hessian(network)(PARAMETERS)
    assert_trees_close(found["layers"][0].weight["layers"][0].weight, 4.0 * np.eye(2).reshape(1, 2, 1, 2))
    assert_trees_close(found["scale"][0]["layers"][0].bias, np.array([2 * np.sum(H)]))
    assert_trees_close(found["layers"][1].weight["layers"][1].bias, np.ones((1, 1, 1)))
    assert_trees_close(found["layers"][1].weight["scale"][0], np.zeros((1, 1)))


def test_a_hessian_times_a_vector_of_the_same_structure() -> None:
    vector = map_leaves(lambda a: np.full(np.shape(a), 0.5), PARAMETERS)
    blocks = tg.hessian(network)(PARAMETERS)
    rows = [leaves(row) for row in rows_of(blocks)]
    expected = [sum(np.sum(block) * 0.5 for block in row) for row in rows]
    found = leaves(tg.hvp(network)(PARAMETERS, vector))
    assert [np.sum(f) for f in found] == pytest.approx(expected)


def rows_of(blocks: Any) -> list[Any]:
    """The rows of a Hessian that is nested like `PARAMETERS`, twice."""
    return [*(part for layer in blocks["layers"] for part in layer), blocks["scale"][0]]


def test_results_may_be_nested_too() -> None:
    def f(x: Any) -> Any:
        return {"twice": [2 * x], "square": (x**2, np.sum(x)), "constant": 5.0}

    eye = np.eye(3)
    assert_trees_close(
        tg.jacobian(f)(X), {"twice": [2 * eye], "square": (2 * eye * X, np.ones(3)), "constant": np.zeros(3)}
    )
    value, pull = tg.vjp(f, X)
    assert_trees_close(value, f(X))
    cotangents = {"constant": 7.0, "square": [X, 1.0], "twice": [[1.0, 0.0, 0.0]]}  # by key, in whatever order
    assert_trees_close(pull(cotangents), 2 * X**2 + 1 + [2.0, 0.0, 0.0])
    value, tangent = tg.jvp(f, (X,), (np.array([1.0, 0.0, 2.0]),))
    assert_trees_close(value, f(X))
    assert_trees_close(
        tangent, {"twice": [np.array([2.0, 0, 4])], "square": (2 * X * [1, 0, 2], 3.0), "constant": 0.0}
    )
    assert_trees_close(tg.elementwise_grad(f)(X), 2 + 2 * X + 1)


def test_structures_on_both_sides_of_a_jacobian() -> None:
    def f(p: Any, q: Any) -> Any:
        return [p["a"] * q, np.sum(p["b"])]

    p, q = {"a": X, "b": np.ones((2, 2))}, np.array(3.0)
    assert_trees_close(
        tg.jacobian(f, (0, 1))(p, q),
        [
            ({"a": 3 * np.eye(3), "b": np.zeros((3, 2, 2))}, X),
            ({"a": np.zeros(3), "b": np.ones((2, 2))}, np.array(0.0)),
        ],
    )


def test_special_dicts_stay_what_they_are() -> None:
    found = tg.grad(lambda p: p["w"] ** 2)(OrderedDict(w=3.0, b=1.0))
    assert type(found) is OrderedDict
    assert (found["w"], found["b"]) == (6, 0)


def test_named_tuples_that_numpy_returns() -> None:
    values, vectors = tg.jacobian(np.linalg.eigh)(np.diag([1.0, 3.0]))
    np.testing.assert_allclose(values, [[[1, 0], [0, 0]], [[0, 0], [0, 1]]], atol=1e-15)
    assert vectors.shape == (2, 2, 2, 2)


# ------------------------------------------------------------------------------------------------------ auxiliary data


def with_aux(x: Any) -> Any:
    return np.sum(x**2), {"twice": 2 * x, "name": "aux", "steps": 3}


def test_auxiliary_data_is_returned_as_it_is_but_for_tensors() -> None:
    expected = {"twice": 2 * X, "name": "aux", "steps": 3}
    for found in (
        tg.grad(with_aux, has_aux=True)(X)[1],
        tg.value_and_grad(with_aux, has_aux=True)(X)[0][1],
        tg.jacobian(with_aux, has_aux=True)(X)[1],
        tg.hessian(with_aux, has_aux=True)(X)[1],
        tg.vjp(with_aux, X, has_aux=True)[2],
        tg.jvp(with_aux, (X,), (X,), has_aux=True)[2],
    ):
        assert found.keys() == expected.keys()
        assert isinstance(found["twice"], np.ndarray)
        np.testing.assert_array_equal(found["twice"], 2 * X)
        assert (found["name"], found["steps"]) == ("aux", 3)


def test_derivatives_with_auxiliary_data() -> None:
    (value, _), slope = tg.value_and_grad(with_aux, has_aux=True)(X)
    assert_trees_close((value, slope), (np.sum(X**2), 2 * X))
    assert_trees_close(tg.grad(with_aux, has_aux=True)(X)[0], 2 * X)
    assert_trees_close(tg.jacobian(with_aux, has_aux=True)(X)[0], 2 * X)
    assert_trees_close(tg.hessian(with_aux, has_aux=True)(X)[0], 2 * np.eye(3))
    value, pull, _ = tg.vjp(with_aux, X, has_aux=True)
    assert_trees_close((value, pull(1.0)), (np.sum(X**2), 2 * X))
    assert_trees_close(tg.jvp(with_aux, (X,), (X,), has_aux=True)[:2], (np.sum(X**2), 2 * np.sum(X**2)))


def test_auxiliary_data_of_an_inner_transform_is_recorded() -> None:
    def outer(x: Any) -> Any:
        _, aux = tg.grad(with_aux, has_aux=True)(x)
        return np.sum(aux["twice"] ** 2)

    assert_trees_close(tg.grad(outer)(X), 8 * X)


# ------------------------------------------------------------------------------------------------------------ vjp, jvp


def test_a_pullback_may_be_called_again_and_again() -> None:
    _, pull = tg.vjp(np.tanh, X)
    slope = 1 - np.tanh(X) ** 2
    for cotangent in (np.ones(3), X, np.zeros(3), X):
        assert_trees_close(pull(cotangent), slope * cotangent)


def test_what_depends_on_a_cotangent_is_differentiated_by_it() -> None:
    u = leaf(X)
    _, pull = tg.vjp(np.tanh, X)
    slope = 1 - np.tanh(X) ** 2
    assert_trees_close(tg.gradients(np.sum(pull(u) ** 2), u), 2 * slope**2 * X)
    assert_trees_close(tg.jacobian(pull)(X), np.diag(slope))
    with tg.no_grad():
        assert isinstance(pull(u), np.ndarray)


def test_what_depends_on_a_tangent_is_differentiated_by_it() -> None:
    slope = 1 - np.tanh(X) ** 2
    assert_trees_close(tg.jacobian(lambda v: tg.jvp(np.tanh, (X,), (v,))[1])(X), np.diag(slope))
    v = leaf(X)
    _, tangent = tg.jvp(np.tanh, (X,), (v,))
    assert_trees_close(tg.gradients(np.sum(tangent**2), v), 2 * slope**2 * X)


def test_what_depends_on_the_vector_of_a_hessian_product_is_differentiated_by_it() -> None:
    product = tg.hvp(lambda x: np.sum(x**4))
    assert_trees_close(tg.jacobian(lambda v: product(X, v))(np.ones(3)), np.diag(12 * X**2))


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_a_tangent_forwards_and_a_cotangent_backwards_meet(rows: int, columns: int, seed: int) -> None:
    """For all u and v: <u, J v> = <J' u, v>, with the Jacobian for a witness."""
    rng = np.random.default_rng(seed)
    w, b = rng.standard_normal((rows, columns)), rng.standard_normal(rows)
    x, v, u = rng.standard_normal(columns), rng.standard_normal(columns), rng.standard_normal(rows)

    def f(x: Any) -> Any:
        return np.tanh(w @ x + b)

    value, tangent = tg.jvp(f, (x,), (v,))
    again, pull = tg.vjp(f, x)
    np.testing.assert_array_equal(value, again)
    matrix = tg.jacobian(f)(x)
    assert matrix.shape == (rows, columns)
    np.testing.assert_allclose(tangent, matrix @ v, atol=1e-12)
    np.testing.assert_allclose(pull(u), u @ matrix, atol=1e-12)


def test_a_function_may_return_its_argument() -> None:
    value, tangent = tg.jvp(lambda x: x, (X,), (2 * X,))
    assert_trees_close((value, tangent), (X, 2 * X))
    value += 1
    np.testing.assert_array_equal(X, [0.5, -1.0, 2.0])
    _, pull = tg.vjp(lambda x, y: (x, x), X, X)
    assert_trees_close(pull((X, X)), (2 * X, np.zeros(3)))
    assert_trees_close(tg.jacobian(lambda x: x)(X), np.eye(3))


def test_outputs_that_are_integers_or_constant_do_not_move() -> None:
    def f(x: Any) -> Any:
        return np.argmax(x), np.ones(2), 3, x[0] > 0, np.sum(x)

    _, tangent = tg.jvp(f, (X,), (X,))
    assert_trees_close(tangent, (0, np.zeros(2), 0, False, np.sum(X)))
    _, pull = tg.vjp(f, X)
    assert_trees_close(pull((1.0, np.ones(2), 1, 1, 2.0)), np.full(3, 2.0))
    assert_trees_close(
        tg.jacobian(f)(X), (np.zeros(3), np.zeros((2, 3)), np.zeros(3), np.zeros(3), np.ones(3))
    )


# ------------------------------------------------------------------------------------------------------------ Jacobians


def test_a_jacobian_has_the_shape_of_the_output_and_then_that_of_the_input() -> None:
    found = tg.jacobian(lambda x: np.einsum("ijk,k->ji", x, X))(np.ones((2, 4, 3)))
    assert found.shape == (4, 2, 2, 4, 3)
    assert_trees_close(found[1, 0, 0, 1], X)
    assert np.count_nonzero(found) == 4 * 2 * 3


def test_few_inputs_and_many_outputs_give_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(p: Any, q: Any) -> Any:
        return [np.outer(np.exp(p * np.arange(4.0)), np.sin(q)), p * q[0], np.ones(5)]

    args = (np.array(0.3), np.array([0.1, 0.2]))
    by_columns = tg.jacobian(f, (0, 1))(*args)
    nested = tg.jacobian(tg.jacobian(f, (0, 1)), 1)(*args)
    monkeypatch.setattr(transforms, "_has_few_inputs", lambda run: False)
    assert_trees_close(by_columns, tg.jacobian(f, (0, 1))(*args))
    assert_trees_close(nested, tg.jacobian(tg.jacobian(f, (0, 1)), 1)(*args))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_jacobians_have_the_dtype_of_the_input(dtype: type) -> None:
    x = np.ones(2, dtype)
    assert tg.jacobian(lambda x: x.astype(np.float64) * X[:2])(x).dtype == dtype
    assert tg.jacobian(lambda x: np.sum(x).astype(np.float64) * np.ones(9))(x).dtype == dtype


def test_a_jacobian_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    w = np.random.default_rng(0).standard_normal((7, 3))
    whole = tg.jacobian(lambda x: np.tanh(w @ x))(X)
    twice = tg.jacobian(tg.jacobian(lambda x: np.tanh(w @ x)))(X)
    monkeypatch.setattr(transforms, "_BATCH_ELEMENTS", 20)
    assert_trees_close(tg.jacobian(lambda x: np.tanh(w @ x))(X), whole)
    assert_trees_close(tg.jacobian(tg.jacobian(lambda x: np.tanh(w @ x)))(X), twice)


def test_jacobians_of_two_inputs_share_no_memory() -> None:
    w = np.arange(9.0).reshape(3, 3)
    for function, slope in ((np.add, np.eye(3)), (lambda a, b: w @ (a + b), w)):
        first, second = tg.jacobian(function, (0, 1))(X, X)
        first += 1
        assert_trees_close(second, slope)
    constant = tg.jacobian(np.sum)(X)
    constant[0] = 5
    assert_trees_close(constant, np.array([5.0, 1.0, 1.0]))


def test_poles_beside_what_is_used_leave_no_trace() -> None:
    x = np.array([0.0, 4.0, -1.0])
    with np.errstate(all="ignore"):
        assert_trees_close(tg.jacobian(np.sqrt)(x[:2]), np.array([[np.inf, 0], [0, 0.25]]))
        clean = tg.jacobian(lambda x: np.where(x > 0, np.sqrt(x), 0))(x)
        assert_trees_close(clean, np.diag([0, 0.25, 0]))
        assert_trees_close(tg.hessian(lambda x: np.sum(np.where(x > 0, np.log(x), 0)))(x), np.diag([0, -1 / 16, 0]))
        _, tangent = tg.jvp(lambda x: np.where(x > 0, np.sqrt(x), 0), (x,), (np.ones(3),))
    assert_trees_close(tangent, np.array([0, 0.25, 0]))


@pytest.mark.usefixtures("scratch_table")
class TestRulesThatKnowArraysOnly:
    """A rule of the user's own need not be able to handle a batch of cotangents, nor Tensors."""

    RULES: dict[str, Function] = {  # noqa: RUF012
        "with np.asarray": lambda g, _y, x: np.asarray(g) * 2 * np.asarray(x),
        "with a choice": lambda g, _y, x: 2 * x * g if np.any(g != 0) else np.zeros(x.shape),
        "with a Python number": lambda g, _y, x: np.array([float(v) * 2 * float(u) for v, u in zip(g, x, strict=True)]),
        "with a method of arrays": lambda g, _y, x: np.frombuffer(g.tobytes()) * 2 * x,
        "with a type check": lambda g, _y, x: _checked(g) * 2 * x,
        "with a function without rule": lambda g, _y, x: np.lib.scimath.sqrt(g) ** 2 * 2 * x,
        "by writing": lambda g, _y, x: _written(g, x),
    }

    @pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
    def test_has_a_jacobian(self, rule: Function) -> None:
        square = tg.defvjp(lambda x: np.asarray(x) ** 2, rule)
        np.testing.assert_allclose(tg.jacobian(square)(X), 2 * np.diag(X))
        np.testing.assert_allclose(tg.jacobian(lambda x: 3 * square(x)[:2])(X), 6 * np.diag(X)[:2])

    def test_few_inputs_are_no_obstacle(self) -> None:
        square = tg.defvjp(lambda x: np.asarray(x) ** 2, self.RULES["with np.asarray"])
        assert_trees_close(tg.jacobian(lambda x: square(x) * np.ones(9))(3.0), np.full(9, 6.0))
        other = tg.defvjp(lambda x: x**2, lambda g, _y, x: tg.primitive(np.array)(g) * 2 * x)
        assert_trees_close(tg.jacobian(lambda x: other(x) * np.ones(9))(3.0), np.full(9, 6.0))

    def test_a_wrong_rule_is_still_an_error(self) -> None:
        broken = tg.defvjp(lambda x: x**2, lambda g, _y, x: g.no_such_attribute)
        with pytest.raises(AttributeError, match="no_such_attribute"):
            tg.jacobian(broken)(X)

    def test_second_derivatives_need_rules_that_can_be_recorded(self) -> None:
        square = tg.defvjp(lambda x: np.asarray(x) ** 2, self.RULES["with np.asarray"])
        with pytest.raises(EscapeError):
            tg.hessian(lambda x: np.sum(square(x)))(X)
        other = tg.defvjp(lambda x: x**2, lambda g, _y, x: g * 2 * tg.primitive(np.array)(x))
        with pytest.raises(MissingRuleError):
            tg.hessian(lambda x: np.sum(other(x)))(X)


def _checked(g: Any) -> Any:
    if not isinstance(g, np.ndarray):
        raise TypeError(f"an ndarray, not {type(g)}")
    return g


def _written(g: Any, x: Any) -> Any:
    result = np.copy(g)
    result[0] = 2 * x[0] * g[0]
    result[1:] *= 2 * x[1:]
    return result


# ------------------------------------------------------------------------------------------------------ complex numbers

Z = np.array([1.0 + 2.0j, -0.5 + 0.3j])
V = np.array([0.3 - 1.0j, 2.0 + 0.1j])


def test_the_gradient_of_a_real_loss_is_by_real_part_plus_i_times_by_imaginary_part() -> None:
    assert_trees_close(tg.grad(lambda z: np.sum(np.abs(z) ** 2))(Z), 2 * Z)
    assert_trees_close(tg.grad(lambda z: np.sum(z.real * z.imag))(Z), Z.imag + 1j * Z.real)


def test_a_holomorphic_function_pulls_back_by_the_conjugate_and_pushes_forward_by_the_derivative() -> None:
    value, pull = tg.vjp(np.exp, Z)
    assert_trees_close(pull(V), V * np.exp(Z).conj())
    again, tangent = tg.jvp(np.exp, (Z,), (V,))
    assert_trees_close(tangent, np.exp(Z) * V)
    np.testing.assert_array_equal(value, again)
    assert_trees_close(tg.elementwise_grad(np.exp)(Z), np.exp(Z).conj())
    assert_trees_close(tg.jacobian(np.exp)(Z), np.diag(np.exp(Z).conj()))


def test_a_function_that_is_not_holomorphic_pushes_forward_both_parts() -> None:
    def f(z: Any) -> Any:
        return z * z.conjugate() + 1j * z.real

    _, tangent = tg.jvp(f, (Z,), (V,))
    assert_trees_close(tangent, 2 * (Z.conj() * V).real + 1j * V.real)


def test_complex_results_of_real_arguments_lose_no_imaginary_part() -> None:
    expected = 1j * np.exp(1j * X)
    assert_trees_close(tg.jacobian(lambda x: np.exp(1j * x))(X), np.diag(expected))
    assert_trees_close(tg.jacobian(lambda x: np.exp(1j * x * np.ones(9)))(0.5), np.full(9, 1j * np.exp(0.5j)))
    assert_trees_close(tg.jvp(lambda x: np.exp(1j * x), (X,), (np.ones(3),))[1], expected)
    single = tg.jacobian(lambda x: np.exp(1j * x))(X.astype(np.float32))
    assert single.dtype == np.complex64
    zeros = tg.jacobian(lambda x: np.zeros(2, complex))(X)
    assert (zeros.dtype, zeros.shape) == (complex, (2, 3))


def test_real_and_complex_arguments_of_one_jacobian() -> None:
    by_real, by_complex = tg.jacobian(np.multiply, (0, 1))(X[:2], Z)
    assert_trees_close(by_real, np.diag(Z))
    assert_trees_close(by_complex, np.diag(X[:2]).astype(complex))


def test_second_derivatives_of_complex_arguments() -> None:
    def f(z: Any) -> Any:
        return np.sum((z**3).real)

    step = 1e-6
    expected = (tg.grad(f)(Z + step * V) - tg.grad(f)(Z - step * V)) / (2 * step)
    assert_trees_close(tg.hvp(f)(Z, V), expected, 1e-8)
    assert_trees_close(tg.hvp(f)(Z, V), (6 * Z * V).conj())


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.grad(np.sin)(X), GradientError, r"grad\(\): the function returned float64\(3,\), and only a real"),
        (lambda: tg.grad(np.sum)(Z), GradientError, r"returned complex128\(\)"),
        (lambda: tg.grad(lambda x: 3)(1.0), GradientError, r"returned int64\(\)"),
        (lambda: tg.grad(lambda x: (x, x))(1.0), GradientError, r"returned float64\(\), float64\(\), and"),
        (lambda: tg.grad(lambda x: ())(1.0), GradientError, r"returned \(\), and"),
        (lambda: tg.value_and_grad(np.sin)(X), GradientError, r"value_and_grad\(\): the function returned"),
        (lambda: tg.hessian(np.sin)(X), GradientError, r"hessian\(\): the function returned"),
        (lambda: tg.hvp(np.sin)(X, X), GradientError, r"hvp\(\): the function returned"),
        (lambda: tg.grad(lambda x: None)(1.0), DtypeError, r"grad\(\): the function returned None"),
        (lambda: tg.vjp(lambda x: "text", 1.0), DtypeError, r"vjp\(\): the function returned 'text'"),
        (lambda: tg.grad(np.sum)(np.arange(3)), DtypeError, r"grad\(\): argument 0 is int64\(3,\).*argnums"),
        (lambda: tg.grad(network)({"w": [1.0, 2]}), DtypeError, r"argument 0\['w'\]\[1\] is int64\(\)"),
        (lambda: tg.grad(weighted, -1)(1.0, 1.0, True), DtypeError, r"argument 2 is bool\(\)"),
        (lambda: tg.grad(np.sum)(None), DtypeError, r"argument 0 is object\(\)"),
        (lambda: tg.vjp(np.multiply, X, 2), DtypeError, r"vjp\(\): argument 1 is int64\(\).*outer scope"),
        (lambda: tg.grad(np.sum, 1)(X), GradientError, "argnums=1, but the call has 1 positional"),
        (lambda: tg.jacobian(np.sum, (0, -2))(X), GradientError, r"argnums=\(0, -2\), but the call has 1"),
        (lambda: tg.grad(np.sum)(a=X), GradientError, "argnums=0, but the call has 0 positional"),
        (lambda: tg.grad(weighted, (0, -3))(A3, B3, C3), GradientError, "names an argument twice, of 3"),
        (lambda: tg.grad(np.sum, has_aux=True)(X), GradientError, r"must return a pair \(value, aux\), not Tensor"),
        (lambda: tg.hvp(lambda x: np.sum(x))(), GradientError, "the last positional argument is the vector"),
        (lambda: tg.hvp(np.sum)(X, X[:2]), ShapeError, r"hvp\(\): the vector: shape \(2,\) does not fit float64\(3,\)"),
        (lambda: tg.vjp(np.sin, X)[1](1.0), ShapeError, r"vjp\(\): the cotangent: shape \(\) does not fit"),
        (lambda: tg.vjp(np.sin, X)[1](X + 0j), DtypeError, r"the cotangent: complex128\(3,\) does not fit float64"),
        (lambda: tg.vjp(lambda x: (x, x), X)[1](X), ShapeError, r"the cotangent: a tuple of 2 was expected, not float"),
        (lambda: tg.vjp(lambda x: {"a": x}, X)[1]({"b": X}), ShapeError, "a dict with the keys"),
        (lambda: tg.jvp(np.sin, X, X), DtypeError, r"jvp\(\): primals are a tuple .* not ndarray"),
        (lambda: tg.jvp(np.sin, (X,), X), DtypeError, r"jvp\(\): tangents are a tuple .* not ndarray"),
        (lambda: tg.jvp(np.sin, (X,), (X, X)), ShapeError, r"the tangent: a list of 1 was expected, not a list of 2"),
        (lambda: tg.jvp(np.sin, (X,), (X[:1],)), ShapeError, r"the tangent: shape \(1,\) does not fit float64\(3,\)"),
        (lambda: tg.jvp(np.sin, (X,), (1j * X,)), DtypeError, "the tangent: complex128"),
        (lambda: tg.jvp(np.sin, (X,), (MASKED,)), DtypeError, r"jvp\(\): the tangent: a masked array would lose"),
        (lambda: tg.hvp(np.sum)(X, MASKED), DtypeError, r"hvp\(\): the vector: a masked array would lose its mask"),
        (lambda: tg.vjp(np.sin, MASKED), DtypeError, r"vjp\(\): a masked array would lose its mask: write np\.where"),
        (lambda: tg.grad(lambda tree: tree["a"])({"a": MASKED}), DtypeError, r"grad\(\): a masked array would lose"),
    ],
)
def test_errors_name_the_transform_and_what_was_wrong(call: Function, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@every_derivative
def test_an_error_inside_leaves_everything_as_it_was(name: str) -> None:
    def fails(x: Any) -> Any:
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        TRANSFORMS[name](fails, X)
    assert recording.get()


def test_argnums_are_integers() -> None:
    with pytest.raises(TypeError):
        tg.grad(np.sum, 0.5)(X)
