"""Special functions that NumPy lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive
from tinygrad_np.errors import DtypeError
from tinygrad_np.rules.indexing import arrayed

__all__ = ["erfc"]

# Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23, 1969; numerator and
# denominator, highest power first. The first is of erf(y) / y in y**2, for y up to 0.46875.
_NEAR_0 = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
# Of erfc(y) * exp(y**2) in y, up to 4.
_MIDDLE = (
    (
        *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1),
        *(2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3),
        1.23033935479799725e3,
    ),
    (
        *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
        *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    ),
)
# Of what is left of 1 / sqrt(pi) - erfc(y) * exp(y**2) * y, times y**2, in 1 / y**2.
_FAR = (
    (
        *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1),
        *(1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4),
    ),
    (
        *(1.0, 2.56852019228982242, 1.87295284992346725),
        *(5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3),
    ),
)


@primitive
def erfc(x: Any) -> Any:
    """The complementary error function, ``2 / sqrt(pi)`` times the integral of ``exp(-t**2)`` from x on.

    To full relative precision in the right tail; that of the normal distribution is ``erfc(x / sqrt(2)) / 2``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.special.erfc(np.array([-np.inf, 0.0, 1.0, 10.0]))
    array([2.00000000e+00, 1.00000000e+00, 1.57299207e-01, 2.08848758e-45])
    """
    x = arrayed(x)
    if x.dtype.kind == "c":
        raise DtypeError(f"erfc: takes real numbers, not {x.dtype}{x.shape}")
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    x = x.astype(np.float32 if dtype == np.float16 else dtype)  # float16 ends where the coefficients begin
    y = np.minimum(np.abs(x), 30)  # from there on the result is 0
    near = 1 - x * _ratio(_NEAR_0, np.minimum(y, 1) ** 2)
    # Rounding y**2 would cost the tail its precision: the square of a number of few digits is exact.
    short = np.trunc(y * 16) / 16
    decay = np.exp(-short * short) * np.exp((short - y) * (short + y))
    far = np.maximum(y, 4)
    inverse = 1 / (far * far)
    tail = np.where(y <= 4, _ratio(_MIDDLE, y), (1 / math.sqrt(math.pi) - inverse * _ratio(_FAR, inverse)) / far)
    result = np.where(y <= 0.46875, near, np.where(x < 0, 2 - decay * tail, decay * tail))
    return result.astype(dtype)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Any) -> Any:
    above, below = (_horner(row, x) for row in coefficients)
    return above / below


def _horner(coefficients: tuple[float, ...], x: Any) -> Any:
    first, *others = coefficients
    total = first
    for coefficient in others:
        total = total * x + coefficient
    return total


defvjp(
    erfc,
    lambda g, _y, x: g * (-2 / math.sqrt(math.pi) * np.exp(-np.square(np.clip(x, -40, 40)))),
    elementwise=True,
)
