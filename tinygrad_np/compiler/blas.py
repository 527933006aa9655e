"""What NumPy's API does not reach of the BLAS under it: sums without a temporary, and the number of threads.

NumPy's wheels bring their own OpenBLAS, whose functions can be called through ctypes. Their names are private, so all
of this is optional: where they are not found, or do not do what they should, SciPy's wrapper takes their place, and
where that is not installed, NumPy's own calls do.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["accumulation", "available", "combination", "combines", "one_thread"]

Array = np.ndarray[Any, Any]

_ROW_MAJOR, _AS_IS, _TRANSPOSED = 101, 111, 112
_lock = threading.Lock()
_before: list[int] = []  # how many threads there were, once for each run that asked for one: the last brings them back
FOLDERS = ("../numpy.libs", ".dylibs")  # where wheels for Linux and Windows, and for macOS, keep their libraries
_LETTERS: dict[Any, tuple[str, Any]] = {
    np.dtype(np.float32): ("s", ctypes.c_float),
    np.dtype(np.float64): ("d", ctypes.c_double),
}


def available() -> str:
    """Who adds a product to an array: "NumPy's OpenBLAS", "SciPy", or "NumPy", with a temporary."""
    if _library() is not None:
        return "NumPy's OpenBLAS"
    return "NumPy" if _scipy() is None else "SciPy"


def accumulation(total: Array, a: Array, b: Array) -> Callable[[], Any]:
    """A function that does ``total += a @ b`` each time that it is called.

    Parameters
    ----------
    total, a, b : ndarray, two-dimensional, of one dtype
        They are read and written wherever they are now. `total` is C-contiguous, the others contiguous either way.
    """
    library = _library()
    if library is not None:
        return _call(library, total, a, b)
    gemm = _scipy()
    if gemm is not None:
        # SciPy takes arrays in Fortran's order, which the transposed ones are in: total.T += b.T @ a.T.
        left, right = (x.T if x.flags.c_contiguous else x for x in (b, a))
        trans = {"trans_a": int(left is b), "trans_b": int(right is a)}
        return functools.partial(gemm[_LETTERS[total.dtype][0]], 1.0, left, right, 1.0, total.T, overwrite_c=1, **trans)
    product = np.empty_like(total)

    def add() -> None:
        np.matmul(a, b, out=product)
        np.add(total, product, out=total)

    return add


def combines() -> bool:
    """Whether there is a BLAS for `combination`: SciPy's wrapper has no such function."""
    return _library() is not None


def combination(x: Array, y: Array, a: float | Array, b: float) -> Callable[[], Any]:
    """A function that does ``y[...] = a * x + b * y`` each time that it is called, in one pass.

    Parameters
    ----------
    x, y : ndarray
        Of one dtype and layout, without gaps. They are read and written wherever they are now.
    a : float, or ndarray of no dimensions and that dtype
        An array is read anew on each call.
    b : float
        A number that does not change.
    """
    return _multiples(_library(), x, y, a, b)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's BLAS use one thread, in this process, as long as this lasts."""
    library = _library()
    if library is None:
        yield
        return
    with _lock:
        _before.append(_before[0] if _before else library.scipy_openblas_get_num_threads64_())
        library.scipy_openblas_set_num_threads64_(1)
    try:
        yield
    finally:
        with _lock:
            before = _before.pop()
            if not _before:
                library.scipy_openblas_set_num_threads64_(before)


def _call(library: Any, total: Array, a: Array, b: Array) -> Callable[[], Any]:
    """A call of OpenBLAS with all arguments made beforehand."""
    letter, number = _LETTERS[total.dtype]
    (m, n), k = total.shape, a.shape[1]
    (of_a, step_a), (of_b, step_b) = _layout(a), _layout(b)
    integer, address, one = ctypes.c_int64, ctypes.c_void_p, number(1)
    call = functools.partial(
        getattr(library, f"scipy_cblas_{letter}gemm64_"),
        *(_ROW_MAJOR, of_a, of_b, integer(m), integer(n), integer(k), one),
        *(address(a.ctypes.data), integer(step_a), address(b.ctypes.data), integer(step_b)),
        *(one, address(total.ctypes.data), integer(n)),
    )
    call.arrays = (total, a, b)  # type: ignore[attr-defined]  # their memory has to stay
    return call


def _multiples(library: Any, x: Array, y: Array, a: float | Array, b: float) -> Callable[[], Any]:
    """The same for ``y = a * x + b * y``."""
    letter, number = _LETTERS[y.dtype]
    integer, address, one = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64(1)
    factor = number.from_buffer(a) if isinstance(a, np.ndarray) else number(a)
    name, of_y = ("axpy", ()) if b == 1 else ("axpby", (number(b),))
    call = functools.partial(
        getattr(library, f"scipy_cblas_{letter}{name}64_"),
        *(integer(y.size), factor, address(x.ctypes.data), one),
        *(*of_y, address(y.ctypes.data), one),
    )
    call.arrays = (x, y)  # type: ignore[attr-defined]  # their memory has to stay
    return call


def _layout(x: Array) -> tuple[int, int]:
    """Whether BLAS has to transpose an array in C's order, and the distance of its rows."""
    if x.flags.c_contiguous:
        return _AS_IS, max(1, x.shape[1])
    return _TRANSPOSED, max(1, x.shape[0])


@functools.cache
def _library() -> Any:
    """The OpenBLAS with 64-bit integers that came with NumPy, if what is called here does as it should."""
    here = Path(np.__file__).parent
    for path in sorted(p for folder in FOLDERS for p in (here / folder).glob("libscipy_openblas64_*")):
        try:
            library = ctypes.CDLL(str(path))
            names = [f"scipy_cblas_{letter}{name}64_" for letter in "sd" for name in ("gemm", "axpy", "axpby")]
            for name in (*names, "scipy_openblas_set_num_threads64_"):
                getattr(library, name).restype = None
            library.scipy_openblas_get_num_threads64_.restype = ctypes.c_int
        except (OSError, AttributeError):
            continue
        if all(_adds_up(library, dtype) for dtype in _LETTERS):
            return library
    return None


def _adds_up(library: Any, dtype: np.dtype[Any]) -> bool:
    a, b = np.arange(6, dtype=dtype).reshape(2, 3), np.arange(12, dtype=dtype).reshape(4, 3).T
    total = np.ones((2, 4), dtype)
    _call(library, total, a, b)()
    added = np.array_equal(total, 1 + a @ b)
    x, y = np.arange(3, dtype=dtype), np.ones(3, dtype)
    _multiples(library, x, y, 2.0, 1.0)()
    _multiples(library, x, y, 2.0, 4.0)()
    return added and np.array_equal(y, 4 + 10 * x)


@functools.cache
def _scipy() -> dict[str, Any] | None:
    try:
        from scipy.linalg import blas
    except ImportError:
        return None
    return {"s": blas.sgemm, "d": blas.dgemm}
