"""Special functions against the ones of the standard library; their derivatives are in ``test_rules.py``."""

import math

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.special import erfc

X = np.linspace(-6, 26, 20_001)


def test_erfc_is_exact_but_for_rounding_far_into_the_tail():
    np.testing.assert_allclose(erfc(X), [math.erfc(x) for x in X], rtol=1e-15)


@pytest.mark.parametrize(("dtype", "precision"), [(np.float32, 1e-6), (np.float16, 1e-3)])
def test_erfc_in_fewer_digits(dtype, precision):
    x = X[np.abs(X) < (9 if dtype == np.float32 else 2.5)].astype(dtype)
    y = erfc(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, [math.erfc(v) for v in x.tolist()], rtol=precision)


def test_erfc_at_the_ends_of_the_numbers():
    x = np.array([-np.inf, -1e308, -0.0, 0.0, 1e308, np.inf, np.nan])
    np.testing.assert_array_equal(erfc(x), [2, 2, 1, 1, 0, 0, np.nan])
    t = tg.tensor(x[:-1], requires_grad=True)
    np.sum(erfc(t)).backward()
    np.testing.assert_allclose(t.grad, [0, 0, -2 / math.sqrt(math.pi), -2 / math.sqrt(math.pi), 0, 0])


def test_erfc_takes_numbers_and_integers():
    assert erfc(1) == erfc(1.0) == erfc(np.array([1], np.uint8))[0] == pytest.approx(math.erfc(1))
    with pytest.raises(tg.errors.DtypeError, match=r"erfc: takes real numbers, not complex128\(2,\)"):
        erfc(np.ones(2, complex))
