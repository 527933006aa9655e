"""Every transform against its adjoint, for any length, axis and scaling."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_np as tg
from tinygrad_np.errors import ShapeError

TRANSFORMS = {
    function.__name__: function
    for function in (np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, np.fft.hfft, np.fft.ihfft)
}
TAKING_REAL = ("rfft", "ihfft")


def inner(a: np.ndarray, b: np.ndarray) -> float:
    """The inner product of the real vectors that complex arrays are."""
    return float(np.sum(a.real * b.real + a.imag * b.imag))


@pytest.mark.parametrize("name", TRANSFORMS)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    n=st.none() | st.integers(1, 12),
    axis=st.sampled_from([0, 1, -1, -2]),
    norm=st.sampled_from([None, "backward", "ortho", "forward"]),
    is_complex=st.booleans(),
    seed=st.integers(0, 100),
)
def test_the_gradient_is_the_adjoint(
    name: str, shape: Any, n: int | None, axis: int, norm: Any, is_complex: bool, seed: int
) -> None:
    """``<F x, g> = <x, F* g>``, which for a linear function is the whole truth."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if is_complex and name not in TAKING_REAL:
        x = x + 1j * rng.normal(size=shape)
    leaf = tg.tensor(x, requires_grad=True)
    y = TRANSFORMS[name](leaf, n, axis, norm)
    g = (rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape)).astype(complex)
    g = g if y.dtype.kind == "c" else g.real
    found = tg.gradients(y, leaf, g)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(inner(y.data, g), inner(x, found), atol=1e-12 * x.size * y.size)


def test_a_spectrum_of_real_numbers_has_a_real_gradient() -> None:
    x = tg.tensor(np.arange(1, 6, dtype=np.float32), requires_grad=True)
    np.sum(np.absolute(np.fft.fft(x)) ** 2).backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad, 2 * 5 * x.data, rtol=1e-5)  # Parseval


def test_frequencies_of_a_spacing_that_has_a_gradient() -> None:
    spacing = tg.tensor(0.5, requires_grad=True)
    for frequencies in (np.fft.fftfreq, np.fft.rfftfreq):
        slope = tg.gradients(np.sum(frequencies(5, spacing) ** 2), spacing)
        np.testing.assert_allclose(slope, -2 / 0.5 * np.sum(frequencies(5, 0.5) ** 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.fft.fft(t, norm="loud"), ShapeError, r"np\.fft\.fft\(float64\(2, 3\).*norm='loud'"),
        (lambda t: np.fft.hfft(t, norm="loud"), ShapeError, r"np\.fft\.hfft.*norm='loud'"),
        (lambda t: np.fft.rfft(t, n=0), ShapeError, r"np\.fft\.rfft.*n=0"),
        (lambda t: np.fft.fftn(t, s=(2, 2), axes=(0,)), ValueError, r"s=\(2, 2\) and axes=\(0,\)"),
    ],
)
def test_errors_repeat_the_call(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(tg.tensor(np.ones((2, 3)), requires_grad=True))
