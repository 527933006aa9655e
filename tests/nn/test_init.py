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


def test_one_seed_gives_the_same_numbers_in_every_dtype():
    draws = {}
    for dtype in (np.float16, np.float32, np.float64):
        tg.manual_seed(3)
        draws[dtype] = init.he_normal((3, 4), dtype)
        assert draws[dtype].dtype == dtype
    np.testing.assert_array_equal(draws[np.float32], draws[np.float64].astype(np.float32))
    np.testing.assert_array_equal(draws[np.float16], draws[np.float64].astype(np.float16))
