"""Activations, the dense layer and losses: their values, gradients, and what they do at the edges of the numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np import functions, fused
from tinygrad_np.testing.strategies import numbers, signed

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
VALUES = st.floats(-4, 4, width=32)
ARRAYS = hnp.arrays(np.float64, SHAPES, elements=VALUES)
HUGE = [0.0, 1.0, -1.0, 1e4, -1e4, 1e30, -1e30, 1e308, -1e308]

ELEMENTWISE = {
    functions.relu: lambda x: max(x, 0.0),
    functions.leaky_relu: lambda x: max(x, 0.01 * x),
    functions.elu: lambda x: x if x > 0 else math.expm1(x),
    functions.gelu: lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    functions.silu: lambda x: x / (1 + math.exp(-x)),
    functions.tanh: math.tanh,
    functions.sigmoid: lambda x: 1 / (1 + math.exp(-x)),
    functions.softplus: lambda x: math.log(1 + math.exp(x)),
}
KINKED = {functions.relu, functions.leaky_relu, functions.elu}
ALONG_AXIS = {
    functions.softmax: lambda row: [math.exp(x) / math.fsum(map(math.exp, row)) for x in row],
    functions.log_softmax: lambda row: [x - math.log(math.fsum(map(math.exp, row))) for x in row],
    functions.logsumexp: lambda row: math.log(math.fsum(map(math.exp, row))),
}


def labelled(function):
    """A loss of logits alone, for class numbers that go round."""
    return lambda logits: function(logits, np.arange(logits.size // logits.shape[-1]).reshape(logits.shape[:-1]) % 2)


def gradient(function, *arrays):
    """Of the sum of the results, which itself may be beyond the largest float."""
    leaves = [tg.tensor(x, requires_grad=True) for x in arrays]
    y = function(*leaves)
    return tg.gradients(y, leaves, np.ones(y.shape))


named = pytest.mark.parametrize("function", [*ELEMENTWISE, *ALONG_AXIS], ids=lambda f: f.__name__)
losses = pytest.mark.parametrize("module", [functions, fused], ids=["composed", "fused"])


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("function", ELEMENTWISE, ids=lambda f: f.__name__)
@given(x=ARRAYS)
def test_elementwise_functions_are_their_formula(function, x):
    expected = np.array([ELEMENTWISE[function](v) for v in x.flat]).reshape(x.shape)
    np.testing.assert_allclose(function(x), expected, rtol=1e-14, strict=True)


@pytest.mark.parametrize("function", ALONG_AXIS, ids=lambda f: f.__name__)
@given(x=ARRAYS, data=st.data())
def test_functions_along_an_axis_are_their_formula(function, x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    expected = np.apply_along_axis(lambda row: ALONG_AXIS[function](row.tolist()), axis, x)
    np.testing.assert_allclose(function(x, axis=axis), expected, rtol=1e-13, atol=1e-14, strict=True)


def test_softmax_is_along_the_last_axis_unless_told():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    np.testing.assert_array_equal(functions.softmax(x), functions.softmax(x, axis=2))
    np.testing.assert_array_equal(functions.log_softmax(x), functions.log_softmax(x, axis=2))


def test_logsumexp_is_over_everything_unless_told():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    assert functions.logsumexp(x).shape == ()
    assert functions.logsumexp(x, keepdims=True).shape == (1, 1, 1)
    assert functions.logsumexp(x, axis=(0, -1), keepdims=True).shape == (1, 3, 1)
    np.testing.assert_allclose(functions.logsumexp(x, axis=(0, 2)), np.log(np.exp(x).sum(axis=(0, 2))), rtol=1e-14)
    np.testing.assert_allclose(functions.logsumexp(x), np.log(np.exp(x).sum()), rtol=1e-14)


def test_sigmoid_and_softplus_keep_their_relative_precision_in_the_tails():
    x = np.array([-700.0, -40.0, -1.0])
    np.testing.assert_allclose(functions.sigmoid(x), np.exp(x) / (1 + np.exp(x)), rtol=1e-13)
    np.testing.assert_allclose(functions.softplus(x), np.log1p(np.exp(x)), rtol=1e-13)


def test_gelu_keeps_its_relative_precision_in_the_tail():
    x = np.array([-20.0, -10.0, -3.0, -0.5])
    expected = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x]
    np.testing.assert_allclose(functions.gelu(x), expected, rtol=1e-13)
    np.testing.assert_allclose(functions.gelu(x[2:].astype(np.float32)), expected[2:], rtol=2e-6)


def test_slopes_and_scales_can_be_chosen():
    x = np.array([-2.0, 2.0])
    np.testing.assert_array_equal(functions.leaky_relu(x, 0.25), [-0.5, 2])
    np.testing.assert_allclose(functions.elu(x, alpha=3.0), [3 * math.expm1(-2), 2], rtol=1e-15)


def test_normalised_float16_does_not_overflow_in_the_squares():
    x = tg.tensor(np.array([0, 300, 600, 900], np.float16), requires_grad=True)
    y = functions.normalise(x)
    y.backward(np.array([1, 0, 0, 0], np.float16))
    assert y.dtype == x.grad.dtype == np.float16
    np.testing.assert_allclose(y.data, [-1.342, -0.447, 0.447, 1.342], atol=1e-3)
    expected = tg.grad(lambda x: functions.normalise(x)[0])(np.array([0.0, 300, 600, 900]))
    np.testing.assert_allclose(x.grad, expected, atol=1e-6)



@given(x=ARRAYS, data=st.data())
def test_normalised_numbers_have_mean_0_and_variance_1_but_for_eps(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = functions.normalise(x, axis, eps=0.01)
    variance = np.var(x, axis=axis)
    np.testing.assert_allclose(np.mean(y, axis=axis), 0, atol=1e-13)
    np.testing.assert_allclose(np.var(y, axis=axis), variance / (variance + 0.01), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("axis", [-1, 0, (0, 2)])
@pytest.mark.parametrize("order", [1, 2])
def test_normalising_has_the_numerical_gradient(order, axis):
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    check_gradient(lambda x: functions.normalise(x, axis, eps=0.1), [x], order)


def test_normalising_equal_numbers_gives_0_with_gradient_0():
    (found,) = gradient(lambda x: functions.normalise(x) * np.array([1.0, 2.0]), np.full((3, 2), 7.0))
    np.testing.assert_allclose(found, np.array([[-1, 1]] * 3) / 2 / np.sqrt(1e-5), rtol=1e-10)
    np.testing.assert_array_equal(functions.normalise(np.full((3, 2), 7.0)), 0)


@losses
@pytest.mark.parametrize("bias", [None, np.array([0.5, -1.0])], ids=["no bias", "bias"])
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3), (0, 3)])
def test_dense_is_a_product_and_a_sum(module, shape, bias):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=(3, 2))
    expected = np.einsum("...i,ij->...j", x, w) + (0 if bias is None else bias)
    np.testing.assert_allclose(module.dense(x, w, bias), expected, rtol=1e-13, strict=True)


def test_mse_loss_is_the_mean_of_the_squares():
    assert functions.mse_loss(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 2], [3, 8]])) == 4.0


def test_binary_cross_entropy_is_its_formula():
    p, y = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 0.25])
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    np.testing.assert_allclose(functions.binary_cross_entropy(np.log(p / (1 - p)), y), expected, rtol=1e-14)


@losses
def test_cross_entropy_is_its_formula(module):
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    expected = -(math.log(0.2) + math.log(0.8)) / 2
    np.testing.assert_allclose(module.cross_entropy(np.log(p) + 5, np.array([1, 2])), expected, rtol=1e-14)


@losses
def test_class_numbers_and_one_hot_rows_mean_the_same(module):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(2, 5, 4)), rng.integers(0, 4, (2, 5))
    expected = module.cross_entropy(logits, labels)
    for dtype in (np.uint8, np.int8, np.int64):
        assert module.cross_entropy(logits, labels.astype(dtype)) == expected
        assert module.cross_entropy(logits, tg.tensor(labels.astype(dtype))).item() == expected
    for dtype in (bool, np.int64, np.float32, np.float64):
        one_hot = np.eye(4, dtype=dtype)[labels]
        np.testing.assert_allclose(module.cross_entropy(logits, one_hot), expected, rtol=1e-14)


@named
def test_lists_and_numbers_and_integers_are_taken(function):
    expected = function(np.array([1.0, 2.0, 3.0]))
    for x in ([1.0, 2.0, 3.0], [1, 2, 3], np.array([1, 2, 3], np.uint8)):
        np.testing.assert_array_equal(function(x), expected)
    options = {} if function in ELEMENTWISE else {"axis": None}
    assert np.ndim(function(np.array(0.5), **options)) == 0


@named
@given(x=ARRAYS)
def test_tensors_and_arrays_give_the_same(function, x):
    result = function(tg.tensor(x, requires_grad=True))
    assert isinstance(result, tg.Tensor)
    assert result.requires_grad
    np.testing.assert_array_equal(result.data, function(x), strict=True)


# ---------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("order", [1, 2])
@named
@given(x=ARRAYS)
def test_gradients_are_the_numerical_ones(function, order, x):
    if function in KINKED:
        x = np.where(np.abs(x) < 0.1, 0.5, x)  # away from the kink
    check_gradient(function, [x], order)


@pytest.mark.parametrize("order", [1, 2])
@given(data=st.data(), shape=SHAPES)
def test_losses_have_the_numerical_gradients(order, data, shape):
    logits, other = data.draw(signed(shape)), data.draw(numbers(shape, 0.1, 0.9))
    check_gradient(functions.mse_loss, [logits, other], order)
    check_gradient(functions.binary_cross_entropy, [logits, other], order)
    check_gradient(functions.cross_entropy, [logits, other], order)


def test_relu_has_gradient_0_at_0():
    np.testing.assert_array_equal(gradient(functions.relu, np.array([-1.0, -0.0, 0.0, 1.0]))[0], [0, 0, 0, 1])


def test_the_slope_at_0_is_that_of_the_left():
    np.testing.assert_array_equal(gradient(functions.leaky_relu, np.array([-1.0, 0.0, 1.0]))[0], [0.01, 0.01, 1])
    np.testing.assert_array_equal(gradient(lambda x: functions.leaky_relu(x, 0.5), np.array([0.0]))[0], [0.5])
    np.testing.assert_array_equal(gradient(lambda x: functions.elu(x, 2.0), np.array([-0.0, 1.0]))[0], [2, 1])


def test_softmax_gradient_ignores_what_is_masked_out():
    x = np.array([[1.0, -np.inf, 2.0]])
    (found,) = gradient(lambda x: functions.softmax(x)[0, 0], x)
    p = functions.softmax(x)[0]
    np.testing.assert_allclose(found, [[p[0] * (1 - p[0]), 0, -p[0] * p[2]]], rtol=1e-14)


# ----------------------------------------------------------------------------- any finite size, no warning, no NaN


@named
@given(x=hnp.arrays(np.float64, SHAPES, elements=st.sampled_from(HUGE)))
def test_values_and_gradients_are_finite_for_finite_input(function, x):
    if function is functions.log_softmax:
        x = np.clip(x, -1e300, 1e300)  # beyond, the result itself is no finite number
    assert np.isfinite(function(x)).all()
    assert np.isfinite(gradient(function, x)[0]).all()


@given(x=hnp.arrays(np.float32, SHAPES, elements=st.sampled_from([0.0, 1.0, 1e4, -1e4, 2.0**127, -(2.0**127)])))
def test_the_same_in_float32(x):
    for function in (functions.relu, functions.sigmoid, functions.softplus, functions.softmax, functions.logsumexp):
        assert np.isfinite(function(x)).all()
        assert np.isfinite(gradient(function, x)[0]).all()


@losses
@given(x=hnp.arrays(np.float64, (3, 4), elements=st.sampled_from([1e4, -1e4, 0.0, 5.0, 1e300, -1e300])))
def test_losses_are_finite_for_finite_logits(module, x):
    for loss in (labelled(module.cross_entropy), lambda z: functions.binary_cross_entropy(z, np.full(z.shape, 0.5))):
        assert np.isfinite(loss(x))
        assert np.isfinite(gradient(loss, x)[0]).all()


@losses
def test_the_loss_of_a_sure_guess_is_what_is_left_of_it(module):
    """Not 1e4 - 1e4, which is 0: the terms are subtracted where they are small."""
    np.testing.assert_allclose(
        module.cross_entropy(np.array([[1e4, 1e4 - 10]]), np.array([0])), math.log1p(math.exp(-10)), rtol=1e-11
    )
    np.testing.assert_allclose(
        module.cross_entropy(np.array([[1e4, 1e4 - 8]], np.float32), np.array([0])), math.log1p(math.exp(-8)), rtol=1e-4
    )
    np.testing.assert_allclose(
        functions.binary_cross_entropy(np.array([40.0]), np.array([1])), math.log1p(math.exp(-40)), rtol=1e-13
    )


ROWS_OF_MINUS_INFINITY = np.array([[-np.inf, -np.inf, -np.inf], [0.0, -np.inf, 0.0]])


def test_logsumexp_of_minus_infinities_is_minus_infinity_with_gradient_0():
    np.testing.assert_allclose(functions.logsumexp(ROWS_OF_MINUS_INFINITY, axis=1), [-np.inf, math.log(2)])
    (found,) = gradient(lambda x: functions.logsumexp(x, axis=1), ROWS_OF_MINUS_INFINITY)
    np.testing.assert_array_equal(found, [[0, 0, 0], [0.5, 0, 0.5]])


def test_softmax_of_minus_infinities_is_0_with_gradient_0():
    np.testing.assert_array_equal(functions.softmax(ROWS_OF_MINUS_INFINITY), [[0, 0, 0], [0.5, 0, 0.5]])
    (found,) = gradient(lambda x: functions.softmax(x)[:, 0], ROWS_OF_MINUS_INFINITY)
    np.testing.assert_array_equal(found, [[0, 0, 0], [0.25, 0, -0.25]])
    np.testing.assert_allclose(functions.log_softmax(ROWS_OF_MINUS_INFINITY)[1], [-math.log(2), -np.inf, -math.log(2)])
    np.testing.assert_array_equal(functions.log_softmax(ROWS_OF_MINUS_INFINITY)[0], -np.inf)


@losses
def test_cross_entropy_of_masked_logits(module):
    logits = np.array([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf]])
    first = logits[:1]
    for label in (np.array([0]), np.eye(3)[[0]]):
        np.testing.assert_allclose(module.cross_entropy(first, label), math.log(2), rtol=1e-14)
        np.testing.assert_allclose(gradient(lambda z, y=label: module.cross_entropy(z, y), first)[0], [[-0.5, 0, 0.5]])
    labels = np.array([0, 1])
    assert module.cross_entropy(logits, labels) == np.inf
    found = gradient(lambda z: module.cross_entropy(z, labels), logits)[0]
    np.testing.assert_allclose(found, [[-0.25, 0, 0.25], [0, -0.5, 0]])


def test_nan_is_not_hidden():
    with np.errstate(invalid="ignore"):  # np.logaddexp warns of it
        for function in (*ELEMENTWISE, *ALONG_AXIS, fused.relu):
            assert np.isnan(function(np.array([np.nan]))).all()


# ------------------------------------------------------------------------------------------------- dtypes, zero size


@pytest.mark.parametrize(
    "loss",
    [
        functions.mse_loss,
        functions.binary_cross_entropy,
        lambda x, y: functions.cross_entropy(np.stack([x, -x], axis=1), y),
        lambda x, y: fused.cross_entropy(np.stack([x, -x], axis=1), y),
    ],
    ids=["mse_loss", "binary_cross_entropy", "cross_entropy", "fused.cross_entropy"],
)
def test_float16_means_over_more_than_it_can_count(loss):
    x, y = (np.arange(70_000) % 5 / 8).astype(np.float16), np.arange(70_000) % 2
    found, expected = tg.value_and_grad(loss)(x, y), tg.value_and_grad(loss)(x.astype(float), y)
    assert found[1].dtype == found[0].dtype == np.float16
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-3)
    np.testing.assert_allclose(found[1], expected[1], rtol=0.05, atol=2e-7)


@named
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(function, dtype, monkeypatch):
    """In the value, in first and second gradients, and in everything on the way to them."""
    x = tg.tensor(np.array([[0.5, -1.0], [2.0, 1.0]], dtype), requires_grad=True)
    seen = set()
    remember = tg.Tensor.__init__

    def watched(self, value, node=None):
        remember(self, value, node)
        seen.add(value.dtype)

    monkeypatch.setattr(tg.Tensor, "__init__", watched)
    y = function(x)
    slope = tg.gradients(np.sum(y * y), x, create_graph=True)
    tg.gradients(np.sum(slope * slope), x, create_graph=True)
    monkeypatch.undo()
    assert function(x.data).dtype == y.dtype == slope.dtype == dtype
    assert {d for d in seen if d.kind == "f"} == {np.dtype(dtype)}


@losses
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_have_the_dtype_of_the_logits(module, dtype):
    logits = tg.tensor(np.ones((2, 3), dtype), requires_grad=True)
    for labels in (np.array([0, 1]), np.eye(3)[:2], np.eye(3, dtype=int)[:2]):
        loss = module.cross_entropy(logits, labels)
        assert loss.dtype == module.cross_entropy(logits.data, labels).dtype == dtype
        assert tg.gradients(loss, logits).dtype == dtype
    for loss in (functions.mse_loss, functions.binary_cross_entropy):
        assert loss(logits, np.ones((2, 3), int)).dtype == loss(logits.data, np.ones((2, 3))).dtype == dtype


@named
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_zero_size_arrays_have_zero_size_gradients(function, shape):
    (found,) = gradient(function, np.ones(shape))
    assert found.shape == shape


def test_logsumexp_of_nothing_is_minus_infinity():
    np.testing.assert_array_equal(functions.logsumexp(np.ones((2, 0)), axis=1), [-np.inf, -np.inf])


@losses
def test_an_empty_batch_has_loss_0(module):
    for labels in (np.zeros(0, int), np.zeros((0, 3))):
        assert module.cross_entropy(np.ones((0, 3)), labels) == 0
        assert gradient(lambda z, y=labels: module.cross_entropy(z, y), np.ones((0, 3)))[0].shape == (0, 3)
    assert functions.mse_loss(np.ones(0), np.ones(0)) == functions.binary_cross_entropy(np.ones(0), np.ones(0)) == 0


# ------------------------------------------------------------------------------------------------------------- errors


LOGITS = np.zeros((4, 3))


@losses
@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor, lambda x: tg.tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("logits", "labels", "error", "complaint"),
    [
        (LOGITS, [0, 1, 2, 3], ValueError, r"from 0 to 2 for logits of shape \(4, 3\), but 1 of 4 are not, .* 3$"),
        (LOGITS, [0, -1, 2, -2], ValueError, r"from 0 to 2 .* but 2 of 4 are not, the first of them -1$"),
        (LOGITS, [0, 1, 2], ValueError, r"shape \(4,\) \(class numbers\) or \(4, 3\) \(one-hot\), not \(3,\)"),
        (LOGITS, [[0], [1], [2], [0]], ValueError, r"not \(4, 1\)"),
        (LOGITS, np.eye(4), ValueError, r"logits of shape \(4, 3\) .* not \(4, 4\)"),
        (LOGITS, 2 * np.eye(4)[:, :3], ValueError, r"of shape \(4, 3\) must be from 0 to 1, but 3 of 12 .* 2\.0$"),
        (LOGITS, np.full((4, 3), np.nan), ValueError, r"from 0 to 1, but 12 of 12 are not, the first of them nan"),
        (LOGITS, [0.0, 1.0, 2.0, 0.0], TypeError, r"labels of shape \(4,\) .* must be integers, not float64: .*astype"),
        (LOGITS, [True, False, True, True], TypeError, "must be integers, not bool"),
        (np.zeros(()), 0, ValueError, r"logits of shape \(\) must have a last axis"),
        (np.zeros((4, 0)), [0, 0, 0, 0], ValueError, r"logits of shape \(4, 0\) must have a last axis"),
    ],
)
def test_cross_entropy_says_what_is_wrong_with_labels(module, wrap, logits, labels, error, complaint):
    with pytest.raises(error, match=f"^cross_entropy: .*{complaint}") as caught:
        module.cross_entropy(wrap(logits), np.asarray(labels))
    assert isinstance(caught.value, tg.errors.TinygradError)


@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor])
def test_other_losses_say_what_is_wrong(wrap):
    with pytest.raises(tg.errors.ShapeError, match=r"mse_loss: prediction of shape \(4, 1\) and target .* \(4,\)"):
        functions.mse_loss(wrap(np.ones((4, 1))), np.ones(4))
    with pytest.raises(tg.errors.ShapeError, match=r"binary_cross_entropy: logits of shape \(3,\) and labels .* \(\)"):
        functions.binary_cross_entropy(wrap(np.ones(3)), 1)
    with pytest.raises(tg.errors.ShapeError, match=r"must be from 0 to 1, but 1 of 2 are not, the first of them 7\.0"):
        functions.binary_cross_entropy(wrap(np.ones(2)), np.array([0, 7]))


@losses
@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor, lambda x: tg.tensor(x, requires_grad=True)])
@pytest.mark.parametrize(
    ("x", "weight", "bias", "complaint"),
    [
        ((5, 4), (3, 2), (2,), r"x of shape \(5, 4\) does not fit a weight of shape \(3, 2\)"),
        ((), (3, 2), (2,), r"x of shape \(\) does not fit a weight of shape \(3, 2\)"),
        ((5, 3), (3,), (2,), r"x of shape \(5, 3\) does not fit a weight of shape \(3,\)"),
        ((5, 3), (3, 2), (3,), r"a bias of shape \(3,\) does not fit a weight of shape \(3, 2\): it must be \(2,\)"),
        ((5, 3), (3, 2), (1,), r"a bias of shape \(1,\) does not fit"),
    ],
)
def test_dense_says_which_shapes_do_not_fit(module, wrap, x, weight, bias, complaint):
    with pytest.raises(tg.errors.ShapeError, match=f"^dense: {complaint}"):
        module.dense(wrap(np.ones(x)), wrap(np.ones(weight)), wrap(np.ones(bias)))
