"""What `gradcheck` and `check_gradient` find, and what they leave in peace."""

import sys

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.testing import GradcheckError, check_gradient, gradcheck

pytestmark = pytest.mark.usefixtures("scratch_table")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def report_on(fn, *inputs, **options):
    return gradcheck(fn, *inputs, raise_on_failure=False, **options)


def sine(factor):
    """The sine, with its gradient multiplied."""
    return tg.defvjp(lambda x: np.sin(x), lambda g, _y, x: g * np.cos(x) * np.asarray(factor, x.dtype))


def wrong_at(shape, index, factor):
    factors = np.ones(shape)
    factors[index] = factor
    return sine(factors)


REDUCTIONS = {
    "not reduced": lambda y: y,
    "sum": np.sum,
    "squares": lambda y: np.sum(y**2),
    "mean": np.mean,
}


# -------------------------------------------------------------------------------------------------------- sensitivity


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_tenth_in_one_of_100_000_elements(rng, reduction, dtype):
    index = int(rng.integers(100_000))
    wrong = wrong_at(100_000, index, 0.9)
    report = report_on(lambda x: REDUCTIONS[reduction](wrong(x)), rng.normal(size=100_000).astype(dtype))
    assert [mistake.index for mistake in report.mistakes] == [(index,)]
    assert report.mistakes[0].relative == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("value", [1e-4, 1.5, 5.0])
def test_a_tenth_in_the_element_that_matters_least_or_most(rng, value):
    x = rng.normal(size=100_000)
    x[777] = value
    wrong = wrong_at(100_000, 777, 0.9)
    assert [mistake.index for mistake in report_on(lambda x: np.sum(wrong(x)), x).mistakes] == [(777,)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_sign_in_one_of_1000_elements(reduction, dtype):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        index = int(rng.integers(1000))
        wrong = wrong_at(1000, index, -1.0)
        report = report_on(lambda x, wrong=wrong: REDUCTIONS[reduction](wrong(x)), rng.normal(size=1000).astype(dtype))
        assert [mistake.index for mistake in report.mistakes] == [(index,)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", [1e-6, 1e-30])
def test_a_zero_gradient_of_a_small_function(rng, reduction, size):
    small = tg.defvjp(lambda x: size * x, lambda g, _y, _x: g * 0)
    report = report_on(lambda x: REDUCTIONS[reduction](small(x)), rng.normal(size=10))
    assert not report
    assert report.mistakes[0].analytic == 0


def test_a_zero_gradient_beside_outputs_that_are_1e12_times_as_large(rng):
    small = tg.defvjp(lambda x: 1e-6 * x, lambda g, _y, _x: g * 0)
    x, w = rng.normal(size=(2, 50))
    assert not report_on(lambda x, w: np.stack([1e6 * np.sin(x), small(w)]), x, w)
    assert not report_on(lambda x, w: np.sum(1e6 * np.sin(x)) + np.sum(small(w)), x, w)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_errors_in_small_and_large_inputs(rng, scale):
    for function, derivative in ((np.square, lambda x: 2 * x), (lambda x: np.cos(x / scale), None)):
        if derivative is None:
            wrong = tg.defvjp(function, lambda g, _y, x: -1.1 * g * np.sin(x / scale) / scale)
        else:
            wrong = tg.defvjp(lambda x: np.square(x), lambda g, _y, x: 1.1 * g * (2 * x))
        assert not report_on(wrong, scale * rng.normal(size=30))


def test_a_zero_gradient_where_the_function_is_almost_flat(rng):
    flat = tg.defvjp(lambda x: np.cos(x), lambda g, _y, _x: g * 0)
    assert not report_on(flat, 1e-8 * rng.normal(size=30))


def test_several_wrong_elements_are_all_found_worst_first(rng):
    factors = np.ones((40, 50))
    factors[3, 4], factors[20, 1], factors[39, 49] = 1.1, -1, 3
    report = report_on(lambda x: np.sum(sine(factors)(x)), rng.normal(size=(40, 50)))
    assert [mistake.index for mistake in report.mistakes] == [(20, 1), (39, 49), (3, 4)]


def test_the_wrong_output_is_found(rng):
    product = tg.defvjp(lambda x: x @ x, lambda g, _y, x: g @ x.T + np.triu(x.T @ g, 1) + np.tril(x.T @ g, -1))
    report = report_on(product, rng.normal(size=(30, 30)))
    mistake = report.mistakes[0]
    output = eval(mistake.output.partition("[")[2].rstrip("]"))
    assert output[0] != mistake.index[0] or output[1] == mistake.index[1]
    assert not report


def test_a_wrong_conjugate(rng):
    square = tg.defvjp(lambda z: z * z, lambda g, _y, z: g * 2 * z)
    report = report_on(square, rng.normal(size=4) + 1j * rng.normal(size=4))
    assert not report
    assert ".real" in report.mistakes[0].output or ".imag" in report.mistakes[0].output


def test_a_gradient_that_is_right_but_whose_derivative_is_not(rng):
    def derivative(g, _y, x):
        return g * 3 * (x.data if isinstance(x, tg.Tensor) else x) ** 2

    cube = tg.defvjp(lambda x: x**3, derivative)
    x = rng.normal(size=3)
    assert report_on(cube, x)
    report = report_on(lambda x: np.sum(cube(x)), x, order=2)
    assert not report
    assert report.order == 2
    assert (report.blame.rule.partition(" ")[0], report.blame.order) == ("derivative", 2)


def test_a_gradient_that_forgets_its_cotangent_at_second_order(rng):
    def doubled(g, _y, _x):
        return 2 * (g.detach() if isinstance(g, tg.Tensor) else g)

    assert not report_on(tg.defvjp(lambda x: 2 * x, doubled), rng.normal(size=3), order=2)


# ---------------------------------------------------------------------------------------------------------- linearity

COTANGENTS = {
    "forgotten": lambda g: 1.0 + 0 * g,
    "sign": np.sign,
    "square": lambda g: g * g,
    "signed square": lambda g: g * np.abs(g),
    "shifted": lambda g: g + 0.5,
    "hardly shifted": lambda g: g + 1e-3,
    "clipped": lambda g: np.clip(g, -0.3, 0.3),
    "normalised": lambda g: g / np.sqrt(np.sum(g * g)),
    "squashed": np.tanh,
    "absolute": np.abs,
    "positive part": lambda g: np.maximum(g, 0),
    "relative cube": lambda g: g**3 / (np.sum(g * g) + (np.sum(g * g) == 0)),
}
"""What rules make of their cotangent that should leave it as it is."""


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 3), (1000,)], ids=str)
@pytest.mark.parametrize("reduction", ["not reduced", "sum", "squares", "mean"])
@pytest.mark.parametrize("change", COTANGENTS)
def test_rules_are_linear_in_the_cotangent(rng, change, reduction, shape, dtype):
    def nonlinear(g, _y, x):
        return COTANGENTS[change](g) * np.cos(x)

    if change == "relative cube" and (shape in ((), (1,)) or reduction != "not reduced"):
        pytest.skip("of multiples of one cotangent this is linear")
    wrong = tg.defvjp(lambda x: np.sin(x), nonlinear)
    report = report_on(lambda x: REDUCTIONS[reduction](wrong(x)), rng.normal(size=shape).astype(dtype))
    assert report.nonlinear
    assert "the gradient of f by x is not linear in the cotangent: at x" in str(report)
    assert report.blame.rule.startswith("nonlinear (test_gradcheck.py:")
    assert (report.blame.argument, report.blame.order) == (0, 1)


@pytest.mark.parametrize("order", [1, 2])
def test_a_loss_whose_rule_forgets_its_cotangent(rng, order):
    mse = tg.defvjp(lambda p: np.mean(p**2), lambda _g, _y, p: 2 * p / p.size)
    report = report_on(lambda x: 5 * mse(x), rng.normal(size=3), order=order)
    assert (report.nonlinear, report.order) == (True, 1)


def test_one_cotangent_of_1000_that_is_not_linear_beside_outputs_that_are_1e12_times_as_large(rng):
    def nonlinear(g, _y, x):
        return np.where(np.arange(1000) == 777, g * np.abs(g), g) * 1e-6 * np.cos(x)

    small = tg.defvjp(lambda x: 1e-6 * np.sin(x), nonlinear)
    report = report_on(lambda x: np.stack([1e6 * np.cos(x), small(x)]), rng.normal(size=1000))
    assert report.nonlinear
    assert "at x[777]" in report.problems[0]


def test_a_second_derivative_that_is_not_linear(rng):
    def outer(g, _y, x):
        return derivative(x) * g

    derivative = tg.defvjp(lambda x: 3 * x * x, lambda g, _y, x: 6 * x * np.sign(g))
    cube = tg.defvjp(lambda x: x * x * x, outer)
    assert report_on(cube, rng.normal(size=3))
    report = report_on(cube, rng.normal(size=3), order=2)
    assert (report.nonlinear, report.order) == (True, 2)


@pytest.mark.parametrize("seed", range(10))
def test_cotangents_that_cancel_are_no_mistake(seed):
    gradcheck(np.tril, np.random.default_rng(seed).normal(size=3))  # an element's gradient is the sum of a column


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("size", [1e-12, 1.0, 1e3])
def test_rounding_of_what_is_linear_is_no_mistake(rng, dtype, size):
    a = rng.normal(size=(200, 30))
    a[:, ::2] += 30 * a[:, 1::2]
    size = min(size, 10) if dtype is np.float16 else size
    for function in (
        lambda x: size * (a.astype(x.dtype) @ x),  # much cancels, and none of it is an input
        lambda x: np.sum(size * (a.astype(x.dtype) @ x)),
        lambda x: size * np.cumsum(x - np.mean(x)),
        lambda x: size * np.sin(x.astype(np.float32)).astype(x.dtype),
        lambda x: size * (np.sin(x.astype(np.float32)).astype(x.dtype) + np.cos(x)),
    ):
        assert not report_on(function, rng.normal(size=30).astype(dtype)).nonlinear


# ------------------------------------------------------------------------------------------------------- false alarms


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(dtype, scale) for dtype in (np.float64, np.float32) for scale in (1e-8, 1e-3, 1.0, 1e3, 1e8)]
    + [(np.float16, scale) for scale in (0.01, 1.0, 30.0)],
)
@pytest.mark.parametrize(
    "function",
    [
        lambda x, _: x * x,
        lambda x, scale: np.exp(-x / scale),
        lambda x, _: np.sum(np.cos(x)),
        lambda x, _: np.sum(x),
        lambda x, scale: np.linalg.norm(x / scale),
        lambda x, scale: tg.functions.softmax(x / scale),
        lambda x, _: tg.functions.relu(x),
        lambda x, scale: np.var(x / scale, axis=0),
    ],
    ids=["square", "exp", "cos", "sum", "norm", "softmax", "relu", "var"],
)
def test_right_gradients_of_any_scale_and_dtype(rng, function, scale, dtype):
    gradcheck(lambda x: function(x, scale), (scale * rng.normal(size=(6, 5))).astype(dtype))


def test_outputs_that_differ_by_1e12_in_scale(rng):
    x, w = rng.normal(size=(2, 20))
    gradcheck(lambda x, w: np.stack([1e6 * np.sin(x), 1e-6 * np.cos(w), np.exp(w)]), x, w, order=2)
    gradcheck(lambda x, w: np.sum(1e6 * np.sin(x) + 1e-6 * np.cos(w)), x, w)


STAIRS = {
    "rounded input": (lambda w: float(np.sum(np.sin(w.astype(np.float32)))), np.cos),
    "rounded output": (lambda w: float(np.float32(np.sum(np.sin(w)))), np.cos),
    "mean": (lambda w: float(np.mean(np.exp(w.astype(np.float32)))), lambda w: np.exp(w) / w.size),
    "squares": (lambda w: float(np.sum(w.astype(np.float32) ** 2)), lambda w: 2 * w),
}


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("name", STAIRS)
def test_stairs_of_single_precision_are_neither_kinks_nor_mistakes_and_hide_none(rng, name, size):
    function, gradient = STAIRS[name]
    for w in rng.normal(size=(20, size)):
        for factor in (1, 0.9, 0):
            report = check_gradient(
                function, lambda w, factor=factor: factor * gradient(w), w, elements=1, raise_on_failure=False
            )
            assert (report.passed, report.kinks) == (factor == 1, [])


def test_a_network_in_single_precision_of_parameters_in_double(rng):
    x, y = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=20).astype(np.float32)

    def loss(w):
        return float(np.mean((np.tanh(x @ w.astype(np.float32)) - y) ** 2))

    def gradient(w):
        t = np.tanh(x.astype(float) @ w)
        return x.T.astype(float) @ (2 * (t - y) * (1 - t**2)) / 20

    for w in rng.normal(size=(20, 4)):
        for factor in (1, 0.9, 0):
            report = check_gradient(
                loss, lambda w, factor=factor: factor * gradient(w), w, elements=1, raise_on_failure=False
            )
            assert (report.passed, report.kinks) == (factor == 1, [])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("size", [1e-20, 1e-16, 1e-15, 1e-12, 1e-8, 1e-5])
@pytest.mark.parametrize(
    "function",
    [
        np.log,
        np.sqrt,
        np.reciprocal,
        lambda x: np.sum(np.log(x)),
        lambda x: np.sum(1 / x),
        lambda p: -np.sum(p * np.log(p)),
        lambda x: x**1.5,
    ],
    ids=["log", "sqrt", "inverse", "sum of logs", "sum of inverses", "entropy", "power"],
)
def test_one_element_that_is_tiny_beside_the_others(function, size, order):
    gradcheck(function, np.array([size, 0.3, 0.7]), order=order)
    gradcheck(function, np.array([1.0, size, 2.0]), order=order)


@pytest.mark.parametrize("size", [1e-20, 1e-12, 1e-5])
@pytest.mark.parametrize("function", [np.log, np.reciprocal, np.sin], ids=["log", "inverse", "sin"])
def test_a_tenth_in_an_element_that_is_tiny_beside_the_others(function, size):
    wrong = tg.defvjp(lambda x: x * 1.0, lambda g, _y, _x: g * np.array([1.1, 1, 1]))
    report = report_on(lambda x: function(wrong(x)), np.array([size, 0.3, 0.7]))
    assert [mistake.index for mistake in report.mistakes] == [(0,)]
    assert report_on(lambda x: np.sum(function(wrong(x))), np.array([size, 0.3, 0.7])).mistakes


def test_an_operation_whose_input_is_tiny_is_not_to_blame():
    def entropy(z):
        p = tg.functions.softmax(z)
        return -np.sum(p * np.log(p))

    def doubled(g, _y, _x):
        return 2 * g

    last = tg.defvjp(lambda x: x * 1.0, doubled)
    report = report_on(lambda z: last(entropy(z)), np.array([0.0, -60.0, -1.0]))
    assert report.blame.rule.startswith("doubled (")
    assert gradcheck(entropy, np.array([0.0, -60.0, -1.0]), order=2)


def test_a_function_that_rounds_to_single_precision(rng):
    gradcheck(lambda x: np.sum(np.sin(x.astype(np.float32)).astype(np.float64)), rng.normal(size=20))


def test_values_that_are_not_finite_are_left_out(rng):
    report = gradcheck(lambda x: np.nan_to_num(x) * 2, np.array([1.0, np.nan, 3.0]))
    assert "1 elements of x are not finite: left out" in report.notes
    gradcheck(lambda x: np.stack([x, x + np.inf]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,)])
def test_shapes_at_the_edge(shape):
    gradcheck(lambda x: np.exp(x) * 2, np.full(shape, 0.3), order=2)


# -------------------------------------------------------------------------------------------- where differences are bad

MIXED = np.array([0.0, 1.0, 2.0] * 4)


def sums_to_one(p):
    if not np.allclose(np.sum(p, axis=1), 1):
        raise ValueError("rows must sum to 1")
    return np.sum(p**2)


def log_or_zero(x):
    with np.errstate(divide="ignore"):
        return np.where(x > 0, np.log(x), 0)


@pytest.mark.parametrize(
    ("function", "gradient", "x"),
    [
        (lambda x: np.sum(x + x**1.5), lambda x: 1 + 1.5 * x**0.5, MIXED),
        (lambda x: np.sum(log_or_zero(x) + x), lambda x: np.where(x > 0, 1 / np.where(x > 0, x, 1), 0) + 1, MIXED),
        (lambda x: np.sum(np.sign(x) * x**3 + np.sign(x)), lambda x: 3 * x**2 * np.sign(x), MIXED),
        (lambda x: np.sum(np.sqrt(1 - x) * x), lambda x: np.sqrt(1 - x) - x / np.sqrt(1 - x) / 2, MIXED / 2.1),
        (lambda x: np.sum(np.floor(x) + x), lambda x: 1 + 0 * x, MIXED),
        (lambda x: np.sum(np.mod(x, 1.0)), lambda x: 1 + 0 * x, np.array([-333.33333, 341.33333])),
    ],
    ids=["ends of a domain", "jumps to minus infinity", "jumps up", "another end", "jumps by 1", "many periods"],
)
def test_elements_with_a_derivative_are_checked_beside_those_without(function, gradient, x):
    assert check_gradient(function, gradient, x)
    assert check_gradient(function, lambda x: 3 * gradient(x), x, raise_on_failure=False).mistakes
    factors = np.where(np.arange(x.size) == 1, 1.001, 1.0)
    report = check_gradient(function, lambda x: factors * gradient(x), x, raise_on_failure=False)
    assert [mistake.index for mistake in report.mistakes] == [(1,)]


def test_what_cannot_be_checked_is_not_called_right():
    report = check_gradient(sums_to_one, np.full((3, 3), 99.0), np.full((3, 3), 1 / 3), raise_on_failure=False)
    assert not report
    assert "x could not be checked" in str(report)
    report = check_gradient(lambda x: np.sum(np.sign(x) + x), np.array([1.0, 1.0]), np.array([0.0, 1.0]))
    assert report.notes == ["no derivative by differences at x[0]: not checked"]


def test_labels_at_the_ends_of_their_range():
    wrong, z = sine(3.0), np.random.default_rng(0).normal(size=(3, 3))
    assert gradcheck(tg.nn.cross_entropy, z, np.eye(3))
    assert gradcheck(tg.nn.cross_entropy, z.astype(np.float32), np.eye(3, dtype=np.float32))
    assert gradcheck(tg.nn.binary_cross_entropy, np.float32([0.2, 0.7]), np.float32([0, 1]))
    assert report_on(lambda z, y: tg.nn.cross_entropy(wrong(z), y), z, np.eye(3)).mistakes
    doubled = tg.defvjp(lambda y: y * 1.0, lambda g, _y, _x: 2 * g)
    mistakes = report_on(lambda z, y: tg.nn.cross_entropy(z, doubled(y)), z, np.eye(3)).mistakes
    assert {mistake.input[0] for mistake in mistakes} == {"y"}


@pytest.mark.parametrize("index", [(0, 0), (37, 4), (63, 9)])
def test_one_wrong_label_of_many(rng, index):
    factors = np.ones((64, 10))
    factors[index] = 1.1
    wrong = tg.defvjp(lambda y: y * 1.0, lambda g, _y, _x: g * factors)
    labels = np.eye(10)[rng.integers(0, 10, 64)]
    report = report_on(lambda z, y: tg.nn.cross_entropy(z, wrong(y)), rng.normal(size=(64, 10)), labels)
    assert [mistake.index for mistake in report.mistakes] == [index]
    assert not report.notes


def test_mixed_dtypes_keep_their_own(rng):
    x, w = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4)
    gradcheck(lambda x, w: x @ w, x, w, order=2)


# --------------------------------------------------------------------------------------------------------------- kinks


def test_a_kink_is_named_with_both_slopes():
    x = np.ones((5, 2))
    x[3, 1] = 0
    report = gradcheck(lambda x: np.sum(tg.functions.relu(x)), x)
    assert [str(kink) for kink in report.kinks] == ["not differentiable at x[3, 1]: left slope 0, right slope 1"]


@pytest.mark.parametrize(("slope", "passes"), [(0, True), (0.5, True), (1, True), (-0.1, False), (1.1, False)])
def test_any_value_between_the_slopes_is_accepted(slope, passes):
    relu = tg.defvjp(
        lambda x: np.maximum(x, 0), lambda g, _y, x: g * np.where(x > 0, 1.0, np.where(x == 0, slope, 0.0))
    )
    assert report_on(relu, np.array([1.0, 0.0, -1.0])).passed is passes
    assert report_on(lambda x: np.sum(relu(x)), np.array([1.0, 0.0, -1.0])).passed is passes


def test_a_kink_hides_no_error_beside_it():
    wrong = tg.defvjp(lambda x: np.maximum(x, 0), lambda g, _y, x: g * (x > 0) * np.array([1, 1, 1.0, 0.9]))
    report = report_on(lambda x: np.sum(wrong(x)), np.array([0.0, -1.0, 0.0, 2.0]))
    assert [mistake.index for mistake in report.mistakes] == [(3,)]
    assert len(report.kinks) == 2


def test_a_point_can_be_moved_from_its_kinks():
    relu = tg.defvjp(lambda x: np.maximum(x, 0), lambda g, _y, x: g * np.where(x == 0, 7.0, x > 0))
    x = np.array([[1.0, 0.0], [2.0, -1.0]])
    assert not report_on(relu, x)
    report = gradcheck(relu, x, kinks="move")
    assert [kink.moved for kink in report.kinks] == [True]
    assert x[0, 1] == 0


def test_kinks_fail_if_asked_to():
    with pytest.raises(GradcheckError, match=r"not differentiable at x\[1\]: left slope -1, right slope 1"):
        gradcheck(np.abs, np.array([1.0, 0.0]), kinks="fail")
    with pytest.raises(ValueError, match="'between', 'move' or 'fail'"):
        gradcheck(np.abs, np.array([1.0]), kinks="ignore")


@pytest.mark.parametrize("function", [tg.functions.relu, np.abs, lambda x: np.max(x, axis=-1), np.sort])
def test_nothing_but_kinks(function):
    report = gradcheck(function, np.zeros((4, 5)))
    assert len(report.kinks) == 20


@pytest.mark.parametrize("function", [np.median, lambda x: np.quantile(x, 0.3)], ids=["median", "quantile"])
@pytest.mark.parametrize("size", [4, 7])
def test_kinks_that_no_element_shows_by_itself(function, size):
    doubled = tg.defvjp(lambda x: x * 1.0, lambda g, _y, _x: 2 * g)
    assert gradcheck(function, np.ones(size))
    assert not report_on(lambda x: doubled(function(x)), np.ones(size))


def test_the_slopes_of_a_kink_are_told_from_their_neighbours():
    def selu(x):
        return 1.0507 * np.where(x > 0, x, 1.67326 * np.expm1(x))

    def gradient(x, at_zero):
        return 1.0507 * np.where(x > 0, 1, 1.67326 * np.exp(x)) * np.where(x == 0, at_zero, 1)

    for at_zero, right in ((1, True), (1 + 1e-6, False)):
        gradients = gradient(x := np.array([0.0, 1.0, -1.0]), at_zero)
        assert check_gradient(lambda x: np.sum(selu(x)), gradients, x, raise_on_failure=False).passed is right
    assert gradcheck(tg.functions.elu, np.zeros((3, 4)), order=2)


@pytest.mark.parametrize("speed", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("size", [1, 3])
def test_a_fast_curve_has_no_kinks(speed, size):
    for seed in range(2, 5):
        x = np.random.default_rng(seed).normal(size=size)
        for factor in (1, 0.5):
            report = check_gradient(
                lambda x: float(np.sum(np.sin(speed * x))),
                lambda x, factor=factor: factor * speed * np.cos(speed * x),
                x,
                raise_on_failure=False,
            )
            assert (report.passed, report.kinks) == (factor == 1, [])


@pytest.mark.parametrize("distance", [-1.0, -0.3, 0.5, 1.2])
def test_a_narrow_peak_has_no_kinks(distance):
    middle, width = 0.3, 1e-6

    def peak(x):
        return float(np.sum(np.exp(-(((x - middle) / width) ** 2))))

    for factor in (1, 0.9):
        report = check_gradient(
            peak,
            lambda x, factor=factor: -2 * factor * (x - middle) / width**2 * np.exp(-(((x - middle) / width) ** 2)),
            np.array([middle + width * distance]),
            raise_on_failure=False,
        )
        assert (report.passed, report.kinks) == (factor == 1, [])


def test_a_jump_is_no_kink():
    assert not check_gradient(lambda x: np.sum(np.floor(x)), np.array([99.0]), np.array([1.0]), raise_on_failure=False)


@pytest.mark.parametrize("function", [np.sqrt, np.cbrt])
def test_an_infinite_slope_is_no_mistake(function):
    report = gradcheck(function, np.array([0.0, 1.0]))
    assert [str(kink) for kink in report.kinks] == [
        "not differentiable at x[0]: left slope undefined, right slope undefined"
    ]


def test_an_infinite_gradient_of_a_finite_slope_is():
    broken = tg.defvjp(lambda x: np.sin(x), lambda g, _y, x: g * np.cos(x) / (x != 0))
    report = report_on(broken, np.array([0.0, 1.0]))
    assert [mistake.index for mistake in report.mistakes] == [(0,)]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("function", "x"),
    [
        (np.unique, np.array([1.3, 1.3, 2.1], np.float32)),  # a little off, there are three
        (np.linalg.det, np.array([[-0.740816593170166]], np.float32)),  # 1e-16 in double precision for nothing at all
        (np.sinc, np.float32(1.4319948)),  # where the slope is the difference of numbers a hundred times as large
    ],
)
def test_few_digits_are_no_mistake(function, x, order):
    assert report_on(function, x, order=order, layouts=False)


@pytest.mark.parametrize("size", [1e-15, 1e-12])
def test_inputs_that_drown_in_what_they_are_added_to_are_no_mistake(size):
    assert report_on(tg.fused.cross_entropy, np.full((3, 4), size), np.full((3, 4), 0.5), order=2)


# ------------------------------------------------------------------------------------------------------------ conduct


def problems(fn, *inputs, **options):
    report = report_on(fn, *inputs, **options)
    assert not report
    return " ".join(report.problems)


def test_a_function_that_is_not_deterministic(rng):
    assert "not deterministic" in problems(lambda x: x * rng.random(), np.ones(3))


def test_a_gradient_that_is_not_deterministic(rng):
    noisy = tg.defvjp(lambda x: 2 * x, lambda g, _y, _x: g * (2 + rng.random()))
    assert "the gradient of f is not deterministic" in problems(noisy, np.ones(3))


def test_the_librarys_random_numbers_can_be_seeded():
    def dropout(x):
        return x * (tg.random.uniform(x.shape) < 0.5)

    assert "not deterministic" in problems(dropout, np.ones(50))
    gradcheck(dropout, np.ones(50), seed=0)


def test_an_input_changed_in_place():
    def careless(x):
        x.data[0] += 1
        return x * 2

    assert "changes its input x in place" in problems(careless, np.ones(3))


def test_an_input_changed_in_place_by_the_gradient():
    def careless(g, _y, x):
        x *= 2
        return g * x

    assert "gradient of f changes its input x in place" in problems(
        tg.defvjp(lambda x: x * x / 2 + x / 2, careless), np.ones(3)
    )


@pytest.mark.parametrize("lose", [lambda x: x.detach(), lambda x: x.data], ids=["detach", "data"])
def test_a_dropped_gradient(lose):
    report = report_on(lambda x, w: np.sum(lose(x) * w), np.ones(3), np.arange(3.0) + 1)
    assert {mistake.analytic for mistake in report.mistakes} == {0}
    assert "no gradient comes back to x" in report.advice
    assert report.advice in str(report)


def test_a_gradient_dropped_in_one_of_two_ways():
    report = report_on(lambda x: np.sum(x.data**2 * x), np.array([1.0, 2.0]))
    assert "part of the gradient is lost" in report.advice


def test_a_gradient_of_a_wrong_shape():
    outer = tg.defvjp(lambda x: np.sum(x), lambda g, _y, _x: g)
    assert "returned shape () for an input of shape (3,)" in problems(outer, np.ones(3))


def test_strided_input():
    def memory(x):
        return np.frombuffer(x.base if x.base is not None else x, x.dtype, x.size).reshape(x.shape).copy()

    peek = tg.defvjp(memory, lambda g, _y, _x: g)
    assert "depends on how its input lies in memory" in problems(peek, np.arange(6.0).reshape(2, 3))
    gradcheck(peek, np.arange(6.0).reshape(2, 3), layouts=False)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_cancels_may_depend_on_the_order(rng, dtype):
    x = rng.normal(size=(30, 40)).astype(dtype)
    gradcheck(lambda x: np.sum(x), x - x.mean())
    gradcheck(lambda x: np.sum(tg.functions.normalise(x)), x[:8, :4])
    a, b = rng.normal(size=(20, 5)), rng.normal(size=20)
    gradcheck(lambda w: np.sum((a @ w - b) ** 2), np.linalg.lstsq(a, b)[0])


def test_strided_input_to_a_gradient():
    def flat(g, _y, x):
        return g * 2 * np.ravel(x, order="K").reshape(x.shape)

    assert "the gradient of f depends on how" in problems(
        tg.defvjp(lambda x: x * x, flat), np.arange(6.0).reshape(2, 3) + 1
    )


# ------------------------------------------------------------------------------------------------------------- inputs


def test_a_module_and_all_its_parameters(rng):
    model = tg.nn.Sequential(tg.nn.Dense(4, 8), tg.nn.ReLU(), tg.nn.Dense(8, 3))
    before = model.state_dict()
    x, labels = rng.normal(size=(5, 4)).astype(np.float32), np.array([0, 1, 2, 0, 1])
    gradcheck(model, x)
    gradcheck(lambda x: tg.nn.cross_entropy(model(x), labels), x, parameters=model, order=2)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_a_wrong_gradient_of_a_parameter(rng):
    class Layer(tg.nn.Module):
        def __init__(self):
            self.weight = tg.tensor(rng.normal(size=3), requires_grad=True)
            self.bias = tg.tensor(rng.normal(size=3), requires_grad=True)

        def forward(self, x):
            return x * self.weight.detach() + self.bias

    report = report_on(Layer(), rng.normal(size=3))
    assert {mistake.input.partition("[")[0] for mistake in report.mistakes} == {"weight"}


def test_parameters_without_a_module():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    assert gradcheck(lambda: np.sum(w**2), parameters=[w])
    assert not report_on(lambda: np.sum(w.data * w), parameters={"w": w})
    with pytest.raises(ValueError, match="no leaf tensor"):
        gradcheck(lambda: np.sum(w**2), parameters=[w * 2])


def test_nested_arguments_and_results(rng):
    tree = {"w": rng.normal(size=3), "b": [rng.normal(size=()), np.arange(3)]}
    gradcheck(lambda t, scale: {"y": t["w"] * t["b"][1] * scale, "z": (t["b"][0],)}, tree, scale=np.float32(2))
    wrong = sine(2.0)
    report = report_on(lambda t: wrong(t["w"]), tree)
    assert report.mistakes[0].input.startswith("t['w'][")


def test_numbers_within_arguments_are_passed_on_and_that_is_said():
    report = gradcheck(lambda p, y: p["a"] * y, {"a": 2.0}, np.ones(2))
    assert report.notes == ["numbers within arguments, 2.0, are passed on unchecked: np.array(2.0) is checked"]
    assert report_on(lambda p, y: sine(2.0)(p["a"]) * y, {"a": np.array(2.0)}, np.ones(2)).mistakes


def test_what_is_no_float_is_passed_on():
    gradcheck(lambda x, axis, flag: np.sum(x, axis=axis) if flag else None, np.ones((2, 3)), 1, True)
    with pytest.raises(ValueError, match="nothing to check"):
        gradcheck(lambda x: x, np.arange(3))
    with pytest.raises(ValueError, match=r"nothing to check.*write np\.array"):
        gradcheck(lambda x: x[0] * x[1], [1.0, 2.0])
    with pytest.raises(ValueError, match="counted from 1"):
        gradcheck(np.sin, np.ones(3), order=0)
    with pytest.raises(ValueError, match="counted from 1"):
        gradcheck(np.sin, np.ones(3), elements=0)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: None, "returned None"),
        (lambda x: iter([x]), "returned a list_iterator"),
        (lambda x: [], "returned a list"),
        (np.argmax, "returned a Tensor of int64"),
    ],
)
def test_a_function_has_to_return_something(function, what):
    with pytest.raises(GradcheckError, match=f"{what}, which has no derivative"):
        gradcheck(function, np.ones(3))


def test_a_gradient_in_an_array_stays_at_its_point():
    with pytest.raises(ValueError, match="pass a function"):
        check_gradient(lambda x: np.sum(np.abs(x)), np.ones(2), np.array([0.0, 1.0]), kinks="move")


# -------------------------------------------------------------------------------------------------------------- blame


def test_the_first_wrong_rule_is_to_blame(rng):
    def backwards(g, _y, _x, w):
        return -g * w

    product = tg.defvjp(lambda x, w: x * w, lambda g, _y, _x, w: g * w, backwards)
    report = report_on(lambda x, w: np.sum(np.tanh(product(np.exp(x), w)) ** 2), *rng.normal(size=(2, 3)))
    assert report.blame.rule.startswith("backwards (test_gradcheck.py:")
    assert report.blame.argument == 1
    assert "float64(3,), float64(3,)" in report.blame.operation
    assert str(report.blame) in str(report)


def test_the_report_prints_everything():
    report = report_on(sine(np.array([1.0, 0.5])), np.array([0.0, 0.5]))
    text = str(report)
    (mistake,) = report.mistakes
    for part in (
        "analytic   ",
        "numerical  ",
        "absolute",
        "relative",
        "ulps",
        "step",
        "noise",
        "to blame",
        "reproduce",
    ):
        assert part in text
    assert mistake.absolute == pytest.approx(0.5 * np.cos(0.5))
    assert mistake.relative == pytest.approx(0.5)
    assert mistake.ulps == pytest.approx(mistake.absolute / np.spacing(np.cos(0.5)))
    with pytest.raises(GradcheckError) as failure:
        report.raise_on_failure()
    assert failure.value.report is report
    assert isinstance(failure.value, AssertionError)


def test_the_snippet_reproduces_the_mistake():
    wrong = sine(2.0)
    report = report_on(wrong, np.array([0.25, 0.5], np.float32))
    names = {"f": wrong}
    exec(report.snippet, names)
    assert names["worst"] == report.mistakes[0]


# ---------------------------------------------------------------------------------------------- plain NumPy functions


def test_a_gradient_by_hand(rng):
    a = rng.normal(size=(4, 4))
    check_gradient(lambda x: float(x @ a @ x), lambda x: (a + a.T) @ x, rng.normal(size=4))
    report = check_gradient(lambda x: float(x @ a @ x), lambda x: 2 * a @ x, rng.normal(size=4), raise_on_failure=False)
    assert len(report.mistakes) == 4
    assert "check_gradient" in report.snippet


def test_a_gradient_that_is_an_array_or_nested(rng):
    x = {"w": rng.normal(size=3), "b": rng.normal(size=())}
    check_gradient(lambda x: np.sum(x["w"] ** 2) * x["b"], {"w": 2 * x["w"] * x["b"], "b": np.sum(x["w"] ** 2)}, x)


def test_a_tenth_in_one_of_100_000_elements_by_hand(rng):
    factors = np.ones(100_000)
    factors[31_415] = 1.1
    x = rng.normal(size=100_000)
    report = check_gradient(lambda x: np.sum(x**3), lambda x: 3 * x**2 * factors, x, raise_on_failure=False)
    assert [mistake.index for mistake in report.mistakes] == [(31_415,)]


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (lambda x: np.sum(2 * x, keepdims=True), r"has shape \(1,\), and x has \(3,\)"),
        (lambda x: (2 * x).astype(np.float64), "has dtype float64, and x has float32"),
    ],
    ids=["shape", "dtype"],
)
def test_a_gradient_by_hand_of_a_wrong_shape_or_dtype(gradient, message):
    with pytest.raises(GradcheckError, match=message):
        check_gradient(lambda x: np.sum(x * x), gradient, np.ones(3, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.complex64])
@pytest.mark.parametrize(
    "number", [float, np.float32, np.float64, np.array], ids=["float", "float32", "float64", "own"]
)
def test_a_function_by_hand_may_return_a_number_of_any_kind(dtype, number):
    x = np.linspace(0.3, 1, 3).astype(dtype)

    def function(x):
        return number(np.sum(np.real(x) ** 2 + np.imag(x) ** 2))

    report = check_gradient(function, lambda x: 2 * x, x)
    if not report.notes:  # too few digits to check anything
        assert check_gradient(function, lambda x: 2 * x + x.dtype.type(0.02), x, raise_on_failure=False).mistakes


def test_a_function_that_changes_its_input_by_hand():
    def careless(x):
        x += 1
        return np.sum(x)

    with pytest.raises(GradcheckError, match="changes its input x in place"):
        check_gradient(careless, np.ones_like, np.zeros(3))


def test_only_numbers_have_a_gradient():
    with pytest.raises(ValueError, match="must return a single number"):
        check_gradient(np.sin, np.cos, np.ones(3))
    with pytest.raises(TypeError, match="has no gradient: pass floats"):
        check_gradient(np.sum, np.ones_like, np.arange(3))


# ----------------------------------------------------------------------------------------------------------- progress


def test_a_progress_bar_if_asked_for(capsys):
    gradcheck(np.sin, np.zeros(3), progress=True)
    assert "gradcheck" in capsys.readouterr().err
    gradcheck(np.sin, np.zeros(3))
    assert capsys.readouterr().err == ""


def test_without_tqdm_there_is_none(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    gradcheck(np.sin, np.zeros(3), progress=True)
    assert capsys.readouterr().err == ""


def test_a_model_is_left_as_it_was(rng):
    model = tg.nn.BatchNorm(2)
    before = model.state_dict()
    assert gradcheck(model, rng.normal(size=(4, 2)).astype(np.float32) + 9)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("order", [1, 2])
def test_few_digits_that_terms_as_large_as_the_cotangent_leave_are_rounding(order):
    gradcheck(lambda x: 1 / (1 + np.exp(-x)) * 1.0, np.array([32.0, 0.5, -1.0]), order=order)
    gradcheck(tg.functions.sigmoid, np.array([32.0, 32.5, 33.0]), order=order)
