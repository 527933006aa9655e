"""Initial values: their distribution, and where their randomness comes from."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.nn import init


@pytest.mark.parametrize(("shape", "inputs"), [((3, 5), 3), ((2, 3, 5), 6), ((1, 9), 1)])
def test_fan_in_counts_the_inputs_of_each_output(shape, inputs):
    assert init.fan_in(shape) == inputs


@pytest.mark.parametrize("shape", [(), (3,), (0, 5)])
def test_fan_in_of_what_has_no_inputs_is_an_error(shape):
    with pytest.raises(tg.errors.ShapeError, match=r"has no fan-in: it must be \(inputs, outputs\)"):
        init.fan_in(shape)


@pytest.mark.parametrize(("shape", "outputs"), [((3, 5), 5), ((2, 3, 5), 10), ((9, 1), 1)])
def test_fan_out_counts_the_outputs_of_each_input(shape, outputs):
    assert init.fan_out(shape) == outputs


@pytest.mark.parametrize("shape", [(), (3,), (5, 0)])
def test_fan_out_of_what_has_no_outputs_is_an_error(shape):
    with pytest.raises(tg.errors.ShapeError, match=r"has no fan-out: it must be \(inputs, outputs\)"):
        init.fan_out(shape)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("xavier", 2 / (200 + 500)), ("he", 2 / 200), ("lecun", 1 / 200)],
)
@pytest.mark.parametrize("shape", [(200, 500), (10, 20, 50)])
def test_the_variance_follows_from_the_shape(name, variance, shape):
    for distribution in ("uniform", "normal"):
        w = getattr(init, f"{name}_{distribution}")(shape, np.float64)
        assert w.shape == shape
        np.testing.assert_allclose(np.mean(w**2), variance, rtol=0.02)
        if distribution == "uniform":
            np.testing.assert_allclose(np.abs(w).max(), np.sqrt(3 * variance), rtol=1e-3)
        else:
            assert np.abs(w).max() > 2 * np.sqrt(3 * variance)


def test_he_normal_is_normal_with_variance_2_over_fan_in():
    w = init.he_normal((200, 500), np.float64)
    scaled = np.sort(w.ravel() * np.sqrt(100))
    # The largest distance to the normal distribution is 1.6 / sqrt(n) in one sample of a hundred (Kolmogorov-Smirnov).
    quantiles = np.searchsorted(scaled, [-1.96, -1, 0, 1, 1.96]) / w.size
    np.testing.assert_allclose(quantiles, [0.025, 0.1587, 0.5, 0.8413, 0.975], atol=1.6 / np.sqrt(w.size))


def test_he_normal_keeps_the_scale_through_relu_layers():
    x = np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32)
    before = np.mean(x**2)
    for _ in range(10):
        x = tg.functions.relu(x @ init.he_normal((300, 300)))
    assert 0.5 < np.mean(x**2) / before < 2


def test_uniform_and_normal_are_what_is_asked_for():
    w = init.uniform((100, 100), -0.5, 1.5, np.float64)
    assert -0.5 <= w.min() < -0.49
    assert 1.49 < w.max() <= 1.5
    np.testing.assert_allclose([w.mean(), w.var()], [0.5, 4 / 12], rtol=0.05)
    w = init.normal((100, 100), 3, 0.5, np.float64)
    np.testing.assert_allclose([w.mean(), w.std()], [3, 0.5], rtol=0.05)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4)])
def test_orthogonal_columns_or_rows_have_the_length_of_the_gain(shape):
    w = init.orthogonal(shape, 2.0, np.float64).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-14)


def test_orthogonal_matrices_are_drawn_uniformly():
    """So that a rotation of the space changes nothing: the trace of one is 0 on average, and its square 1."""
    traces = np.array([np.trace(init.orthogonal((3, 3), dtype=np.float64)) for _ in range(2000)])
    np.testing.assert_allclose([traces.mean(), np.mean(traces**2)], [0, 1], atol=0.1)


ALL = [
    *(init.uniform, init.normal, init.xavier_uniform, init.xavier_normal, init.he_uniform, init.he_normal),
    *(init.lecun_uniform, init.lecun_normal, init.orthogonal),
]


@pytest.mark.parametrize("initialise", ALL, ids=lambda f: f.__name__)
def test_a_layer_takes_any_of_them(initialise):
    tg.manual_seed(4)
    weight = tg.nn.Dense(6, 5, init=initialise).weight.data
    tg.manual_seed(4)
    np.testing.assert_array_equal(weight, initialise((6, 5)))
    assert weight.dtype == np.float32


@pytest.mark.parametrize("initialise", ALL, ids=lambda f: f.__name__)
def test_one_seed_gives_the_same_numbers_in_every_dtype(initialise):
    draws = {}
    for dtype in (np.float16, np.float32, np.float64):
        tg.manual_seed(3)
        draws[dtype] = initialise((3, 4), dtype=dtype)
        assert draws[dtype].dtype == dtype
    np.testing.assert_array_equal(draws[np.float32], draws[np.float64].astype(np.float32))
    np.testing.assert_array_equal(draws[np.float16], draws[np.float64].astype(np.float16))
