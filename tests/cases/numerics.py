"""Cases of ``rules/numerics.py``."""

from typing import Any

import numpy as np

from cases.case import A, Argument, Case, at, case, inside, positive
from tinygrad_np.rules import numerics

NOT_ASKED = {"one at a time": "NumPy does not ask this argument whether it dispatches, and errors name it"}
ROW, COLUMN = np.array([True, False]), np.array([[False], [True]])
POINTS = np.array([-1.5, -0.4, 0.3, 0.8, 2.0])
KNOTS = (-1.0, 0.0, 0.5, 1.5)


def interp(x: Any, xp: Any, fp: Any, exempt: dict[str, str] = {}, **options: Any) -> Case:  # noqa: B006
    exempt = exempt | {"float32": "NumPy computes in float64", "stretched": "the points must rise"}
    return case(np.interp, x, xp, fp, exempt=exempt, **options)


def sides(x: Any) -> list[Any]:
    return [x < 0, x > 1, (x >= 0) & (x <= 0.75)]


def piecewise(x: Argument, functions: list[Any], count: int, **options: Any) -> Case:
    """Pieces of a function, chosen by the signs of the argument."""

    def spelling(x: Any, functions: Any) -> Any:
        return np.piecewise(x, [x < 0, x > 1][:count], functions)

    return case(np.piecewise, x, functions, spelling=spelling, **options)


CASES = [
    # Interpolation
    interp(at(-0.7, 0.2, 0.3, 1.1), np.array(KNOTS), A(4), third=True),
    interp(POINTS, at(*KNOTS), A(4)),
    interp(at(*POINTS), at(*KNOTS), A(4)),
    interp(at(*POINTS), at(*KNOTS), A(4), left=A(), right=A(), exempt=NOT_ASKED),
    interp(at(*POINTS), KNOTS, A(4), left=2.5, right=-1),
    interp(at(*POINTS), np.array([0.5, 0.0, -1.0]), A(3), period=1.7),
    interp(at(*POINTS), at(0.5, -1.1, 0.1), A(3), period=-1.3),
    interp(A(2, 2), np.array([0.1]), A(1)),
    interp(A(0), np.array(KNOTS), A(4)),
    interp(0.25, np.array(KNOTS), A(4), complex=True),
    interp(POINTS, np.array(KNOTS), A(4), left=0.5, complex=True),
    # Correlation and convolution
    case(np.correlate, A(5), A(3), complex=True, third=True),
    case(np.correlate, A(5), A(3), "same", complex=True),
    case(np.correlate, A(5), A(3), mode="full", complex=True),
    case(np.correlate, A(5), A(2), mode="same"),
    case(np.correlate, A(2), A(5), mode="valid", complex=True),
    case(np.correlate, A(2), A(5), mode="same", complex=True),
    case(np.correlate, A(3), A(5), 2, complex=True),
    case(np.correlate, A(4), A(4), mode="same"),
    case(np.convolve, A(5), A(3), complex=True, third=True),
    case(np.convolve, A(5), A(3), "same", complex=True),
    case(np.convolve, A(5), A(3), mode="valid", complex=True),
    case(np.convolve, A(3), A(4), mode="same"),
    case(np.convolve, A(2), A(5), mode="valid"),
    case(np.convolve, A(2), A(5)),
    case(np.convolve, A(), A(3)),
    case(np.convolve, A(3), [0.5, 1.0, -2.0], spelling=lambda a, v: np.convolve(a, np.array(v, np.float32))),
    case(numerics.correlated, A(4), A(2), mode="full"),
    # Choices
    case(np.select, [np.array([True, False, False]), np.array([True, True, False])], [A(3), A(3)], complex=True),
    case(np.select, [ROW, COLUMN], [A(2, 2), A()], default=A(2), exempt=NOT_ASKED),
    case(np.select, [ROW], [A(2)], 2.5),
    case(np.choose, np.array([0, 2, 1, 0]), [A(4), A(4), A()], complex=True),
    case(np.choose, np.array([[1, 0], [0, 1]]), A(2, 2)),
    case(np.choose, np.array([-1, 4, 1]), [A(3), A(3)], mode="wrap"),
    case(np.choose, np.array([-1, 4, 1]), (A(3), A(1)), mode="clip"),
    case(np.choose, np.array([[0], [0]]), [A(3)]),
    piecewise(at(-1.2, -0.4, 0.3, 1.6), [np.exp, np.square, np.sin], 2),
    piecewise(at(-1.2, -0.4, 0.3, 1.6), [lambda x: x * x[0], A()], 2, exempt=NOT_ASKED),
    piecewise(at(-1.2, -0.4), [np.exp, lambda x: 1 / x], 1),
    piecewise(positive(2, 2), [np.exp, 2.5], 1),
    piecewise(A(), [np.exp, np.sin], 1),
    case(np.piecewise, positive(3), np.array([True, False, True]), [lambda x, n: x**n, np.float32(1.5)], 3),
    case(np.real_if_close, A(3), spelling=lambda x: np.real_if_close(x * (1 + 1e-15j))),
    case(np.real_if_close, A(3), tol=1e-3, complex=True),
    # Special functions
    case(np.sinc, A(2, 3), complex=True, third=True),
    case(np.sinc, inside(3), third=True, complex=True),
    case(np.sinc, at(0.0, -0.0, 1e-3, -1.0, 2.0, 7.3), third=True),
    case(np.sinc, A()),
    case(np.sinc, A(0)),
    case(numerics.sine_quotient, at(0.0, 0.7, -2.2, 3.1, 4.4, 5.9, -9.0), order=3, third=True, complex=True),
    case(np.i0, A(2, 3), third=True),
    case(np.i0, at(0.0, 0.02, -7.9, 8.1, 12.0)),
    case(np.i0, A(0)),
    case(numerics.bessel, at(0.0, -1.5, 12.0), order=2),
    # Functions applied along axes
    case(np.apply_along_axis, np.cumsum, 0, A(2, 3), complex=True),
    case(np.apply_along_axis, np.sum, -1, A(2, 3)),
    case(np.apply_along_axis, np.diag, 1, A(2, 2, 3)),
    case(np.apply_along_axis, lambda v, a, b: a * v[:2] ** b, 0, A(3, 2), 2, b=3),
    case(np.apply_along_axis, lambda v: (v[0], v[1] * v[0]), 0, A(2, 2)),
    case(np.apply_along_axis, np.sum, 0, A(3)),
    case(np.apply_over_axes, np.sum, A(2, 3, 4), [0, -1], complex=True),
    case(np.apply_over_axes, np.cumsum, A(2, 3), 1),
]
