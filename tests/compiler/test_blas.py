"""What is called in BLAS beside NumPy's API does what NumPy does, whoever does it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_np.compiler import blas

LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"C": np.ascontiguousarray, "F": np.asfortranarray}


@pytest.fixture(params=["as it is", "SciPy", "NumPy"])
def provider(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who adds up: all that may have to."""
    if request.param == "as it is":
        return blas.available()
    monkeypatch.setattr(blas, "_library", lambda: None)
    if request.param == "NumPy":
        monkeypatch.setattr(blas, "_scipy", lambda: None)
    else:
        pytest.importorskip("scipy")
        assert blas.available() == "SciPy"
    return str(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 7, 3), (5, 1, 3), (5, 7, 1), (1, 1, 1)])
def test_a_product_is_added(provider: str, shape: tuple[int, int, int], left: str, right: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    m, k, n = shape
    a = LAYOUTS[left](rng.normal(size=(m, k)).astype(dtype))
    b = LAYOUTS[right](rng.normal(size=(k, n)).astype(dtype))
    total = rng.normal(size=(m, n)).astype(dtype)
    add = blas.accumulation(total, a, b)
    for _ in range(2):
        expected = total.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
        add()
        np.testing.assert_allclose(total, expected, rtol=0, atol=20 * np.finfo(dtype).eps * max(1, k))
        a[...] = rng.normal(size=(m, k))  # what is there when it is called counts


@pytest.mark.skipif(not blas.combines(), reason="NumPy is built with another BLAS")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("b", [1.0, 0.5, -2.0])
@pytest.mark.parametrize("size", [1, 7, 20_001])
def test_multiples_are_added(size: int, b: float, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, size)).astype(dtype)
    factor = np.array(0.25, dtype)
    for a in (0.75, factor):
        combine = blas.combination(x, y, a, b)
        for _ in range(2):
            expected = float(a) * x.astype(np.float64) + b * y.astype(np.float64)
            combine()
            np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps)
            x[...] = rng.normal(size=size)  # what is there when it is called counts
            factor[...] = -0.5


@pytest.fixture
def threads() -> Callable[[], int]:
    """How many there are."""
    library = blas._library()
    if library is None:
        pytest.skip("NumPy is built with another BLAS, whose threads are not ours to set")
    found: Callable[[], int] = library.scipy_openblas_get_num_threads64_
    return found


def test_threads_are_as_they_were_afterwards(threads: Callable[[], int]) -> None:
    before = threads()

    @blas.one_thread()
    def fail() -> None:
        assert threads() == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert threads() == before


def test_whoever_ends_last_brings_the_threads_back(threads: Callable[[], int]) -> None:
    before = threads()
    first, second = blas.one_thread(), blas.one_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert threads() == 1
    second.__exit__(None, None, None)
    assert threads() == before
