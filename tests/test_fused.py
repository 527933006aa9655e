"""The gradients that were derived by hand: equal to the composed and the numerical ones, as stable, and faster.

Values, edge cases and errors are those of ``functions.py``, and stand in ``test_functions.py``.
"""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from kit import check_gradient, gradient_of

import tinygrad_np as tg
from tinygrad_np import functions, fused

SIDES = st.integers(1, 4)
VALUES = st.floats(-4, 4, width=32)
AWAY_FROM_0 = st.floats(0.125, 4, width=16) | st.floats(-4, -0.125, width=16)
LEADING = hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)


def arrays(shape, elements=VALUES):
    return hnp.arrays(np.float64, shape, elements=elements)


@st.composite
def dense_arguments(draw):
    leading, inputs, outputs = draw(LEADING), draw(SIDES), draw(SIDES)
    return [draw(arrays((*leading, inputs))), draw(arrays((inputs, outputs))), draw(arrays(outputs))]


@st.composite
def logits_and_classes(draw, elements=VALUES):
    leading, classes = draw(LEADING), draw(SIDES)
    labels = draw(hnp.arrays(np.int64, leading, elements=st.integers(0, classes - 1)))
    return draw(arrays((*leading, classes), elements)), labels


@st.composite
def logits_and_probabilities(draw):
    shape = (*draw(LEADING), draw(SIDES))
    return [draw(arrays(shape)), draw(arrays(shape, st.floats(0.125, 0.875, width=16)))]


def assert_agree(composed, by_hand, inputs, order):
    """The gradient of that order is the same for both, and the numerical one."""
    check_gradient(by_hand, inputs, order)
    expected, found = composed, by_hand
    for level in range(1, order + 1):
        expected, found = gradient_of(expected, level), gradient_of(found, level)
    for ours, theirs in zip(found(*inputs), expected(*inputs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11, strict=True)


orders = pytest.mark.parametrize("order", [1, 2])


# ------------------------------------------------------------------------------ composed = derived by hand = numerical


@orders
@given(inputs=dense_arguments())
def test_dense_has_one_gradient_however_it_is_computed(order, inputs):
    assert_agree(functions.dense, fused.dense, inputs, order)
    assert_agree(functions.dense, fused.dense, inputs[:2], order)


@orders
@given(x=arrays(LEADING, AWAY_FROM_0))
def test_relu_has_one_gradient_however_it_is_computed(order, x):
    assert_agree(functions.relu, fused.relu, [x], order)


@orders
@given(pair=logits_and_classes())
def test_cross_entropy_has_one_gradient_however_it_is_computed(order, pair):
    logits, labels = pair
    composed, by_hand = (lambda z, f=f: f(z, labels) for f in (functions.cross_entropy, fused.cross_entropy))
    assert_agree(composed, by_hand, [logits], order)


@orders
@given(inputs=logits_and_probabilities())
def test_cross_entropy_of_probabilities_has_one_gradient_too(order, inputs):
    assert_agree(functions.cross_entropy, fused.cross_entropy, inputs, order)


def test_the_gradient_of_cross_entropy_is_softmax_less_one_hot_over_n():
    rng = np.random.default_rng(0)
    logits, labels = tg.tensor(rng.normal(size=(6, 4)), requires_grad=True), rng.integers(0, 4, 6)
    fused.cross_entropy(logits, labels).backward()
    expected = (functions.softmax(logits.data) - np.eye(4)[labels]) / 6
    np.testing.assert_allclose(logits.grad, expected, rtol=1e-12, atol=1e-16)


def test_the_hessian_of_cross_entropy_is_the_covariance_of_the_softmax():
    rng = np.random.default_rng(0)
    z = tg.tensor(rng.normal(size=4), requires_grad=True)
    slope = tg.gradients(fused.cross_entropy(z, 2), z, create_graph=True)
    hessian = [tg.gradients(slope[i], z, retain_graph=True) for i in range(4)]
    p = functions.softmax(z.data)
    np.testing.assert_allclose(hessian, np.diag(p) - np.outer(p, p), rtol=1e-12)


def test_complex_weights_follow_the_convention():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape) + 1j * rng.normal(size=shape) for shape in ((4, 3), (3, 2), (2,))]
    for order in (1, 2):
        check_gradient(fused.dense, inputs, order)


# ----------------------------------------------------------------------------------------------- at least as stable


HUGE = st.sampled_from([1e4, -1e4, 0.0, 3.0, 1e4 - 1, 1e300, -1e300, 1e308, -np.inf])


@given(pair=logits_and_classes(HUGE))
def test_huge_logits_give_what_exact_arithmetic_would(pair):
    """As do mixed ones, and those that are masked out: the gradient is (softmax - one-hot) / n, and never NaN."""
    logits, labels = pair
    z = tg.tensor(logits, requires_grad=True)
    loss = fused.cross_entropy(z, labels)
    slope = tg.gradients(loss, z, create_graph=True)
    one_hot = np.eye(logits.shape[-1])[labels]
    np.testing.assert_allclose(slope.data, (functions.softmax(logits) - one_hot) / max(labels.size, 1), atol=1e-15)
    np.testing.assert_allclose(loss.data, functions.cross_entropy(logits, labels), rtol=1e-14)
    assert np.isfinite(tg.gradients(np.sum(slope * slope), z)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1e4, -1e4])
def test_the_rounding_errors_are_no_larger_than_the_composed_ones(dtype, offset):
    rng = np.random.default_rng(0)
    logits, labels = (rng.normal(0, 5, (50, 8)) + offset).astype(dtype), rng.integers(0, 8, 50)
    exact = logits.astype(np.longdouble)
    exact = exact - exact.max(axis=1, keepdims=True)
    p = np.exp(exact) / np.exp(exact).sum(axis=1, keepdims=True)
    loss = -np.mean(np.log(p)[np.arange(50), labels])
    slope = (p - np.eye(8)[labels]) / 50
    errors = []
    for module in (fused, functions):
        z = tg.tensor(logits, requires_grad=True)
        y = module.cross_entropy(z, labels)
        y.backward()
        errors.append((float(abs(y.item() - loss)), float(np.abs(z.grad - slope).max())))
    eps = float(np.finfo(dtype).eps)
    assert errors[0][0] <= max(errors[1][0], 2 * eps * float(loss))
    assert errors[0][1] <= max(errors[1][1], 2 * eps / 50)


@pytest.mark.parametrize("shape", [(), (3,), (2, fused.ROW - 1), (2, fused.ROW), (3, 2, 100), (0, 50)])
@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint16, np.float16, np.float32, np.float64])
def test_relu_is_the_maximum_with_0_bit_for_bit(dtype, shape):
    x = (np.random.default_rng(0).normal(size=shape) * 2).astype(dtype)
    if dtype().dtype.kind == "f" and x.size > 4:
        x.flat[:5] = 0.0, -0.0, np.inf, -np.inf, np.nan
    result, expected = fused.relu(x), np.maximum(x, 0)
    assert (result.dtype, result.tobytes()) == (expected.dtype, expected.tobytes())


def test_relu_stops_infinite_and_nan_cotangents_where_it_is_0():
    """The square root is infinitely steep at 0, where relu is flat."""
    for module in (fused, functions):
        x = tg.tensor([-1.0, 0.0, 4.0], requires_grad=True)
        np.sum(np.sqrt(module.relu(x))).backward()
        np.testing.assert_array_equal(x.grad, [0, 0, 0.25])
    cotangent = np.array([np.inf, np.nan, np.inf])
    found = tg.gradients(fused.relu(x), x, cotangent)
    np.testing.assert_array_equal(found, [0, 0, np.inf])


def test_relu_cleans_the_gradient_of_what_it_ignores():
    x = tg.tensor([-1.0, 3.0], requires_grad=True)
    np.sum(fused.relu(x * np.array([np.inf, 2.0]))).backward()
    np.testing.assert_array_equal(x.grad, [0, 2])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_relu_passes_cotangents_on_bit_for_bit_in_every_dtype(dtype):
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 100)).astype(dtype)
    x[:3] = 0, -0.0, np.finfo(dtype).tiny
    leaf = tg.tensor(x, requires_grad=True)
    found = tg.gradients(fused.relu(leaf), leaf, g)
    np.testing.assert_array_equal(found, np.where(x > 0, g, 0), strict=True)


# --------------------------------------------------------------------------------------------------- dtypes and memory


@pytest.mark.parametrize("labels", [np.array([0, 1]), np.eye(3)[:2], np.eye(3, dtype=int)[:2]])
def test_float32_stays_float32(labels, monkeypatch):
    tensors = [tg.tensor(np.ones(shape, np.float32), requires_grad=True) for shape in ((2, 4), (4, 3), (3,))]
    seen = set()
    remember = tg.Tensor.__init__

    def watched(self, value, node=None):
        remember(self, value, node)
        seen.add(value.dtype)

    monkeypatch.setattr(tg.Tensor, "__init__", watched)
    loss = fused.cross_entropy(fused.relu(fused.dense(*tensors)), labels)
    slopes = tg.gradients(loss, tensors, create_graph=True)
    tg.gradients(sum(np.sum(g * g) for g in slopes), tensors, create_graph=True)
    assert {d for d in seen if d.kind == "f"} == {np.dtype(np.float32)}


def test_dense_promotes_as_numpy_does():
    x, w, b = np.ones((2, 3), np.float32), np.ones((3, 2), np.float32), np.full(2, 1e-9)
    assert fused.dense(x, w, b).dtype == functions.dense(x, w, b).dtype == np.float64
    np.testing.assert_array_equal(fused.dense(x, w, b), functions.dense(x, w, b))


def test_dense_does_not_write_to_its_arguments():
    given = [np.ones((2, 3)), np.ones((3, 2)), np.ones(2)]
    before = [a.copy() for a in given]
    fused.dense(*given)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_each_is_one_recorded_call():
    rng = np.random.default_rng(0)
    x, w, b = (tg.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((4, 3), (3, 2), (2,)))

    def calls(y):
        """How many nodes lie between the result and the leaves, outputs of one call counted as one."""
        found, left = set(), [y._node]
        while left:
            node = left.pop()
            if node.parents and node not in found:
                found.add(node)
                left += [parent for parent in node.parents if parent is not None]
        return len({node for node in found if not isinstance(node, tg.graph.Pick)})

    assert calls(fused.dense(x, w, b)) == calls(fused.relu(x)) == calls(fused.cross_entropy(x, [0, 1, 2, 0])) == 1
    assert calls(functions.dense(x, w, b)) == 2
    assert calls(functions.cross_entropy(x, [0, 1, 2, 0])) > 5


def test_dense_makes_no_array_but_its_result():
    x, w, b = np.ones((500, 4)), np.ones((4, 500)), np.ones(500)
    peaks = []
    for dense in (fused.dense, functions.dense):
        dense(x, w, b)
        tracemalloc.start()
        y = dense(x, w, b)
        peaks.append(tracemalloc.get_traced_memory()[1] / y.nbytes)
        tracemalloc.stop()
    assert peaks[0] < 1.1
    assert peaks[1] > 1.9


def test_relu_keeps_nothing_but_its_output():
    x = tg.tensor(np.ones((2, 3)), requires_grad=True)
    y = fused.relu(x)
    node = y._node
    assert node.output is y.data
    assert not any(isinstance(kept, np.ndarray) for kept in node.inputs)


# -------------------------------------------------------------------------------------------------------------- speed


def calls_made_by(function):
    """How many Python and C functions a call runs: what it costs beside the arithmetic, the same on any machine."""
    made = 0

    def count(frame, event, argument):
        nonlocal made
        made += event in ("call", "c_call")

    function()  # once before, for what is done only the first time
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return made


@pytest.mark.parametrize("name", ["dense", "relu", "cross_entropy"])
def test_forward_and_backward_take_fewer_calls_than_composed(name):
    """Which is why they are faster: how much is what ``python -m benchmarks`` measures."""
    rng = np.random.default_rng(0)
    x, w, b, rows = (
        tg.tensor(rng.normal(size=shape).astype(np.float32), requires_grad=True)
        for shape in [(128, 256), (8, 128), (128,), (64, 8)]
    )
    arguments = {"dense": (rows, w, b), "relu": (x,), "cross_entropy": (x, rng.integers(0, 256, 128))}[name]
    leaves = [t for t in arguments if isinstance(t, tg.Tensor)]
    cotangent = np.ones(getattr(functions, name)(*arguments).shape, np.float32)

    def steps(module):
        function = getattr(module, name)
        return lambda: tg.gradients(function(*arguments), leaves, cotangent)

    assert calls_made_by(steps(fused)) < calls_made_by(steps(functions))
