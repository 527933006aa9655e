"""Elementwise ufuncs. The engine sums over broadcast axes, so a rule returns its gradient in the output's shape.

``x.conjugate()`` returns real arrays as they are; for complex ones it is the convention that the gradient of a real
loss is d/dRe + i d/dIm, under which a holomorphic function pulls ``g`` back to ``g * conj(f'(x))``.
"""

import math
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive, zero
from tinygrad_np.errors import UnsupportedArgumentError
from tinygrad_np.rules.handlers import composite, constant, plain
from tinygrad_np.rules.movement import as_dtype

LN2, LN10 = math.log(2), math.log(10)


def over(x: Any, length: Any) -> Any:
    """``x / length``, but zero with all its derivatives where the length is zero.

    It gives the smallest subgradient at the tip of a cone, such as hypot at (0, 0).
    """
    return x / np.where(length == 0, np.inf, length)


# Arithmetic

defvjp(np.add, lambda g, _y, _x0, _x1: g, lambda g, _y, _x0, _x1: g)
defvjp(np.subtract, lambda g, _y, _x0, _x1: g, lambda g, _y, _x0, _x1: -g)
defvjp(
    np.multiply,
    lambda g, _y, _x0, x1: g * x1.conjugate(),
    lambda g, _y, x0, _x1: g * x0.conjugate(),
)
defvjp(
    np.true_divide,
    lambda g, _y, _x0, x1: g / x1.conjugate(),
    lambda g, y, _x0, x1: -g * (y / x1).conjugate(),
    has_pole=True,
)
defvjp(np.negative, lambda g, _y, _x: -g)
defvjp(np.positive, lambda g, _y, _x: g)
defvjp(np.reciprocal, lambda g, y, _x: -g * (y * y).conjugate(), has_pole=True)
defvjp(np.square, lambda g, _y, x: g * (2 * x).conjugate())
defvjp(np.conjugate, lambda g, _y, _x: g.conjugate())
defvjp(
    np.remainder,
    lambda g, _y, _x0, _x1: g,
    lambda g, _y, x0, x1: -g * np.floor_divide(x0, x1),
    has_pole=True,
)
# By how many whole divisors the remainder differs: the quotient itself may round to one more than NumPy took.
defvjp(np.fmod, lambda g, _y, _x0, _x1: g, lambda g, y, x0, x1: -g * np.rint((x0 - y) / x1), has_pole=True)
constant(np.floor_divide)


@composite(np.divmod)
def _divmod(x0: Any, x1: Any, /, **options: Any) -> Any:
    return np.floor_divide(x0, x1, **options), np.remainder(x0, x1, **options)


# Powers


def _lowered(x: Any, p: Any, dtype: np.dtype[Any]) -> Any:
    """The exponent of the derivative, but 1 where p = 0 and a power of the base may be infinite.

    Where p = 0, p itself makes the derivative 0. But its own derivative by p does depend on the exponent, unless p is
    an integer, so another one stands in only for a base whose reciprocal may overflow.
    """
    if isinstance(p, int | float | complex):
        return p - 1 if p != 0 else 1
    stands_in = p == 0
    if p.dtype.kind in "fc":
        stands_in = stands_in & (np.absolute(x) < np.finfo(dtype).smallest_normal)
    return np.where(stands_in, 1, p - 1)


def _log_base(x: Any, p: Any, dtype: np.dtype[Any]) -> Any:
    """``log(x)``, but 0 where the base is 0 and the exponent positive: ``0**p`` does not change with p there.

    In the dtype of the power: that of a small integer is in float16, and that of a negative number may be complex.
    """
    x = dtype.type(x) if isinstance(x, int | float | complex) else x
    return np.log(np.where((x == 0) & (np.real(p) > 0), 1, x), dtype=dtype)


def _power_by_base(g: Any, _y: Any, x: Any, p: Any) -> Any:
    if x.dtype != _y.dtype:  # in the wider one, where no power overflows before the result does
        x = x.astype(_y.dtype)
    return g * (p * x ** _lowered(x, p, _y.dtype)).conjugate()


def _power_by_exponent(g: Any, y: Any, x: Any, p: Any) -> Any:
    return g * (y * _log_base(x, p, y.dtype)).conjugate()


defvjp(np.power, _power_by_base, _power_by_exponent, has_pole=True)
defvjp(np.float_power, _power_by_base, _power_by_exponent, has_pole=True)
defvjp(np.sqrt, lambda g, y, _x: g / (2 * y).conjugate(), has_pole=True)
defvjp(np.cbrt, lambda g, y, _x: g / y / y / 3, has_pole=True)

# Exponentials and logarithms: an exponential that overflows has an infinite derivative.

defvjp(np.exp, lambda g, y, _x: g * y.conjugate(), has_pole=True)
defvjp(np.exp2, lambda g, y, _x: g * (y * LN2).conjugate(), has_pole=True)
defvjp(np.expm1, lambda g, _y, x: g * np.exp(x).conjugate(), has_pole=True)  # y + 1 is 0 where y is rounded to -1
defvjp(np.log, lambda g, _y, x: g / x.conjugate(), has_pole=True)
defvjp(np.log2, lambda g, _y, x: g / (x * LN2).conjugate(), has_pole=True)
defvjp(np.log10, lambda g, _y, x: g / x.conjugate() / LN10, has_pole=True)
defvjp(np.log1p, lambda g, _y, x: g / (1 + x).conjugate(), has_pole=True)


def _share(exponential: Any, mine: Any, other: Any) -> Any:
    """The part that one term has in a sum of two exponentials; 0 where both are 0, so that they get no gradient.

    Told from the difference of the exponents, it is as exact for large ones, where their logaddexp is much rounded.
    """
    return 1 / (1 + exponential(np.where(mine == -np.inf, np.inf, other - mine)))


defvjp(
    np.logaddexp,
    lambda g, _y, x0, x1: g * _share(np.exp, x0, x1),
    lambda g, _y, x0, x1: g * _share(np.exp, x1, x0),
)
defvjp(
    np.logaddexp2,
    lambda g, _y, x0, x1: g * _share(np.exp2, x0, x1),
    lambda g, _y, x0, x1: g * _share(np.exp2, x1, x0),
)

# Trigonometric and hyperbolic functions. Slopes are divided by one factor after another: their product may overflow.


def _leg(x: Any) -> Any:
    """``sqrt(1 + x**2)``, without the square where that is possible."""
    return np.sqrt(1 - 1j * x) * np.sqrt(1 + 1j * x) if x.dtype.kind == "c" else np.hypot(x, 1)


def _arctan_rule(g: Any, _y: Any, x: Any) -> Any:
    if x.dtype.kind == "c":
        return g / (1 - 1j * x).conjugate() / (1 + 1j * x).conjugate()
    leg = np.hypot(x, 1)
    return g / leg / leg


defvjp(np.sin, lambda g, _y, x: g * np.cos(x).conjugate())
defvjp(np.cos, lambda g, _y, x: -g * np.sin(x).conjugate())
defvjp(np.tan, lambda g, y, _x: g * (1 + y * y).conjugate(), has_pole=True)
defvjp(np.arcsin, lambda g, _y, x: g / np.sqrt(1 - x * x).conjugate(), has_pole=True)
defvjp(np.arccos, lambda g, _y, x: -g / np.sqrt(1 - x * x).conjugate(), has_pole=True)
defvjp(np.arctan, _arctan_rule, has_pole=True)
defvjp(np.sinh, lambda g, _y, x: g * np.cosh(x).conjugate(), has_pole=True)
defvjp(np.cosh, lambda g, _y, x: g * np.sinh(x).conjugate(), has_pole=True)
defvjp(np.tanh, lambda g, y, _x: g * (1 - y * y).conjugate())
defvjp(np.arcsinh, lambda g, _y, x: g / _leg(x).conjugate(), has_pole=True)
defvjp(
    np.arccosh,
    lambda g, _y, x: g / np.sqrt(x - 1).conjugate() / np.sqrt(x + 1).conjugate(),
    has_pole=True,
)
defvjp(np.arctanh, lambda g, _y, x: g / (1 - x).conjugate() / (1 + x).conjugate(), has_pole=True)
for _to_degrees in (np.degrees, np.rad2deg):
    defvjp(_to_degrees, lambda g, _y, _x: g * (180 / math.pi))
for _to_radians in (np.radians, np.deg2rad):
    defvjp(_to_radians, lambda g, _y, _x: g * (math.pi / 180))
defvjp(
    np.hypot,
    lambda g, y, x0, _x1: g * over(x0, y),
    lambda g, y, _x0, x1: g * over(x1, y),
    has_pole=True,  # of infinite numbers
)


def _over_square(x: Any, x0: Any, x1: Any) -> Any:
    """``x / (x0**2 + x1**2)``, without the squares: they wrap around in integers, and overflow or vanish in floats."""
    length = np.hypot(x0, x1)
    return over(over(x, length), length)


defvjp(
    np.arctan2,
    lambda g, _y, x0, x1: g * _over_square(x1, x0, x1),
    lambda g, _y, x0, x1: -g * _over_square(x0, x0, x1),
    has_pole=True,
)

# Signs, magnitudes, choices


def _sign_rule(g: Any, y: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return np.zeros_like(g)
    return over(g - y * np.real(y.conjugate() * g), np.absolute(x))


defvjp(np.absolute, lambda g, _y, x: g * np.sign(x))
defvjp(np.fabs, lambda g, _y, x: g * np.sign(x))
defvjp(np.sign, _sign_rule)
defvjp(np.copysign, lambda g, _y, x0, x1: np.where(np.signbit(x1), -g, g) * np.sign(x0), zero)
defvjp(np.heaviside, zero, lambda g, _y, x0, _x1: np.where(x0 == 0, g, 0), selects=True)
defvjp(np.nextafter, lambda g, _y, _x0, _x1: g, zero)


def _chosen(g: Any, wins: Any, ties: Any) -> Any:
    """The cotangent where an operand wins, half of it at a tie."""
    return np.where(ties, 0.5 * g, np.where(wins, g, 0))


# Not by the negated operands: integers without a sign have none.
defvjp(
    np.maximum,
    lambda g, _y, x0, x1: _chosen(g, x0 > x1, x0 == x1),
    lambda g, _y, x0, x1: _chosen(g, x1 > x0, x0 == x1),
    selects=True,
)
defvjp(
    np.minimum,
    lambda g, _y, x0, x1: _chosen(g, x0 < x1, x0 == x1),
    lambda g, _y, x0, x1: _chosen(g, x1 < x0, x0 == x1),
    selects=True,
)
# These ignore a NaN where the other operand is a number.
defvjp(
    np.fmax,
    lambda g, _y, x0, x1: _chosen(g, (x0 > x1) | np.isnan(x1), x0 == x1),
    lambda g, _y, x0, x1: _chosen(g, (x1 > x0) | np.isnan(x0), x0 == x1),
    selects=True,
)
defvjp(
    np.fmin,
    lambda g, _y, x0, x1: _chosen(g, (x0 < x1) | np.isnan(x1), x0 == x1),
    lambda g, _y, x0, x1: _chosen(g, (x1 < x0) | np.isnan(x0), x0 == x1),
    selects=True,
)

select = primitive(np.where)
defvjp(
    select,
    zero,
    lambda g, _y, condition, _x, _z: np.where(condition, g, 0),
    lambda g, _y, condition, _x, _z: np.where(condition, 0, g),
    selects=True,
    elementwise=True,
)


@composite(np.where)
def _where(condition: Any, *choices: Any) -> Any:
    return select(condition, *choices) if choices else np.nonzero(condition)


@primitive(name="np.clip")
def clipped(x: Any, low: Any, high: Any) -> Any:
    return np.clip(x, low, high)


def _inside(x: Any, low: Any, high: Any) -> Any:
    if low is None:
        return x <= high
    return x >= low if high is None else (x >= low) & (x <= high)


defvjp(
    clipped,
    lambda g, _y, x, low, high: np.where(_inside(x, low, high), g, 0),
    lambda g, y, x, low, _high: np.where((x < low) & (y == low), g, 0),
    lambda g, _y, x, low, high: np.where((x if low is None else np.maximum(x, low)) > high, g, 0),
    selects=True,
    elementwise=True,
)


@composite(np.clip)
def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None, where: Any = True, **options: Any
) -> Any:
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    if where is not True:
        raise UnsupportedArgumentError(
            "np.clip: where= leaves the other elements undefined: write np.where(mask, np.clip(t, low, high), other)"
        )
    if options:
        # NumPy checks them, and tells the dtype that it converts to before it compares.
        dtype = np.clip(*plain([a, low, high]), **options).dtype
        a, low, high = (x if x is None or isinstance(x, int | float) else as_dtype(x, dtype) for x in (a, low, high))
    return +a if low is None and high is None else clipped(a, low, high)


# Floating-point parts: the integer part and the exponent are piecewise constant.



def _used(g: Any, x: Any) -> Any:
    return np.zeros(x.shape, x.dtype) if g is None else g


defvjp(np.modf, lambda g, _y, _x: _used(g[0], _x))
defvjp(np.frexp, lambda g, y, _x: np.ldexp(_used(g[0], _x), -y[1]))
defvjp(np.ldexp, lambda g, _y, _x0, x1: np.ldexp(g, x1), zero)
constant(
    *(np.rint, np.floor, np.ceil, np.trunc, np.fix, np.spacing, np.signbit),
    *(np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal),
    *(np.isnan, np.isinf, np.isfinite, np.isnat, np.isposinf, np.isneginf, np.isclose, np.allclose),
    *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not),
    *(np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert, np.left_shift, np.right_shift, np.bitwise_count),
    *(np.gcd, np.lcm, np.round, np.around, np.array_equal, np.array_equiv, np.packbits, np.unpackbits),
)

# Complex parts


@primitive(name="np.real")
def real(x: Any) -> Any:
    return np.real(x)


@primitive(name="np.imag")
def imag(x: Any) -> Any:
    return np.imag(x)


defvjp(real, lambda g, _y, _x: g)
defvjp(imag, lambda g, _y, _x: g * 1j if _x.dtype.kind == "c" else np.zeros_like(g))


@composite(np.real)
def _real(val: Any) -> Any:
    return real(val) if val.dtype.kind == "c" else val


@composite(np.imag)
def _imag(val: Any) -> Any:
    return imag(val)


@composite(np.angle)
def _angle(z: Any, deg: bool = False) -> Any:
    angle = np.arctan2(z.imag, z.real) if z.dtype.kind == "c" else np.arctan2(0, z)
    return np.degrees(angle) if deg else angle
