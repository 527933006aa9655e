"""Cases of ``rules/polynomials.py``."""

from typing import Any

import numpy as np

from cases.case import A, Argument, Case, at, case, distinct, positive

WITH_INTEGERS = {"float32": "NumPy promotes float32 and integers to float64"}
IN_DOUBLE = {"float32": "np.vander promotes float32 to float64"}
WIDE_ZEROS = {"float32": "NumPy makes zeros of float64"}
WIDE_POLY1D = {"float32": "np.poly1d is of float64"}
ROUNDED = {"float32": "what rounding leaves of the leading remainder is no zero in float32, and stays"}
NOT_ASKED = {"one at a time": "NumPy does not ask this argument whether it dispatches, and errors name it"}
ZERO = np.zeros(1, np.float32)
X = np.array([-1.3, -0.4, 0.2, 0.9, 1.6, 2.2])


def fitted(x: Any, y: Any, *args: Any, **options: Any) -> Case:
    """Without the tolerance at the end of what ``full=True`` returns."""

    def spelling(*args: Any, **kwargs: Any) -> Any:
        result = np.polyfit(*args, **kwargs)
        return result[:4] if kwargs.get("full") else result

    stretched = {"stretched": "equal points have no fit"} if isinstance(x, Argument) else {}
    return case(np.polyfit, x, y, *args, spelling=spelling, exempt=IN_DOUBLE | stretched, **options)


CASES = [
    # Values and roots
    case(np.polyval, A(4), A(2, 3), complex=True, third=True),
    case(np.polyval, A(3), A(), complex=True),
    case(np.polyval, A(3), 2, exempt=WITH_INTEGERS),
    case(np.polyval, [A(), A(), A()], A(2), exempt=NOT_ASKED),
    case(np.polyval, [2.0, 1.0, -1.0], A(2), exempt={"float32": "a list is of float64"}),
    case(np.polyval, A(0), A(2)),
    case(np.polyval, A(3), np.poly1d([1.0, -2.0]), spelling=lambda p, x: np.polyval(p, x).coeffs, exempt=WIDE_POLY1D),
    case(np.vander, A(3), complex=True, third=True, exempt=IN_DOUBLE),
    case(np.vander, at(0.0, 0.5, -2.0), N=5, increasing=True, exempt=IN_DOUBLE),
    case(np.vander, A(2), 1, exempt=IN_DOUBLE),
    case(np.vander, A(2), 0, exempt=IN_DOUBLE),
    case(np.vander, A(0), 2, exempt=IN_DOUBLE),
    case(np.poly, distinct(4), third=True),
    case(np.poly, A(3), complex=True),
    case(np.poly, [A(), A(), A()], spelling=lambda zeros: np.poly(np.stack(zeros))),
    case(np.poly, A(), spelling=lambda zero: np.poly(np.stack([zero]))),
    case(np.poly, distinct(3, 3), complex=True, exempt={"stretched": "equal columns have one root thrice"}),
    case(np.poly, [A(), A()], spelling=lambda z: np.poly(np.stack([z[0] + 1j * z[1], z[0] - 1j * z[1]]))),
    case(np.roots, at(1.0, -6.0, 11.0, -6.5), third=True, exempt={"stretched": "four equal coefficients"}),
    case(np.roots, at(2.0, 1.0, 3.0), complex=True),
    case(np.roots, A(2)),
    case(np.roots, at(1.0, -1.5, 0.0), third=True),
    case(np.roots, A(1), exempt=WIDE_ZEROS),
    case(np.roots, [ZERO, at(1.0, -3.0, 1.5), ZERO, ZERO], spelling=lambda p: np.roots(np.hstack(p))),
    # Arithmetic
    case(np.polyadd, A(3), A(2), complex=True),
    case(np.polyadd, A(2), A(4)),
    case(np.polyadd, A(2), 3, exempt=WITH_INTEGERS),
    case(np.polysub, A(2), A(4), complex=True),
    case(np.polysub, A(3), A(3)),
    case(np.polymul, A(3), A(2), complex=True, third=True),
    case(np.polymul, A(3), A(2), spelling=lambda a, b: np.polymul(np.append(np.zeros(2, np.float32), a), b)),
    case(np.polydiv, A(4), A(2), complex=True, third=True, exempt=ROUNDED),
    case(np.polydiv, A(4), A(4)),
    case(np.polydiv, A(2), A(3)),
    # Calculus
    case(np.polyder, A(4), complex=True, exempt=WITH_INTEGERS),
    case(np.polyder, A(4), m=2, exempt=WITH_INTEGERS),
    case(np.polyder, A(3), 0),
    case(np.polyder, A(1), exempt=WITH_INTEGERS),
    case(np.polyint, A(3), complex=True, exempt=WITH_INTEGERS),
    case(np.polyint, A(3), 2, k=A(2), exempt=WITH_INTEGERS | NOT_ASKED),
    case(np.polyint, A(3), m=2, k=1.5, exempt=WITH_INTEGERS),
    case(np.polyint, A(3), 0),
    # Least squares
    fitted(at(*X), A(6), 2, third=True),
    fitted(X, A(6, 2), 2, complex=True),
    fitted(at(*X), A(6), 1, w=positive(6)),
    fitted(X, A(6, 2), 1, w=positive(6), rcond=1e-10),
    fitted(at(*X), A(6), 2, full=True),
    fitted(at(*X), A(6), 2, cov=True),
    fitted(at(*X), A(6, 2), 1, cov=True, w=positive(6)),
    fitted(at(*X), A(6), 1, cov="unscaled", w=positive(6)),
]
