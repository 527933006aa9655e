"""Cases of ``rules/cumulative.py``."""

import numpy as np

from cases.case import A, Case, at, case, gappy, positive
from cases.elementwise import WIDE

EDGE = np.array([0.5, -1.5], np.float32)
UNEVEN = np.array([0.0, 0.5, 2.0, 2.5], np.float32)
EVEN = np.array([1.0, 3.0, 5.0, 7.0], np.float32)
COMPLEX_ENDS = {"mixed": "NumPy refuses complex ends of real numbers"}
EQUAL = {"stretched": "equal coordinates are a division by zero"}
ZEROS = np.array([0.0, 1.0, 0.0, 1.0, 1.0], np.float32)


def with_zeros(x: np.ndarray, **options: int) -> np.ndarray:
    return np.cumprod(x * ZEROS, **options)


CASES: list[Case] = [
    # Running sums
    case(np.cumsum, A(5), complex=True, third=True),
    case(np.cumsum, A(2, 3), complex=True),
    case(np.cumsum, A(2, 3, 4), 1, complex=True),
    case(np.cumsum, A(2, 3), axis=-2),
    case(np.cumsum, A()),
    case(np.cumsum, A(1)),
    case(np.cumsum, A(0)),
    case(np.cumsum, A(0, 3), axis=1),
    case(np.cumsum, A(3), dtype=np.float64, exempt={"float32": WIDE}),
    # Running products
    case(np.cumprod, A(5), complex=True, third=True),
    case(np.cumprod, A(2, 3), complex=True),
    case(np.cumprod, A(2, 4, 3), 1, complex=True),
    case(np.cumprod, A(2, 7), axis=-1, complex=True),
    case(np.cumprod, A(2, 3), axis=-2),
    case(np.cumprod, A()),
    case(np.cumprod, A(1)),
    case(np.cumprod, A(2), complex=True),
    case(np.cumprod, A(0)),
    case(np.cumprod, A(0, 3), axis=0),
    case(np.cumprod, A(3), dtype=np.float64, exempt={"float32": WIDE}),
    case(np.cumprod, A(5), spelling=with_zeros, complex=True, third=True),
    case(np.cumprod, A(2, 5), spelling=with_zeros, axis=1, complex=True),
    # Without NaN
    case(np.nancumsum, gappy(7), complex=True),
    case(np.nancumsum, gappy(3, 4), complex=True),
    case(np.nancumsum, gappy(3, 4), 0),
    case(np.nancumsum, gappy(3, 4), axis=-1, dtype=np.float64, exempt={"float32": WIDE}),
    case(np.nancumsum, gappy(0, 3), axis=1),
    case(np.nancumprod, gappy(7), complex=True),
    case(np.nancumprod, gappy(3, 4), complex=True),
    case(np.nancumprod, gappy(3, 4), axis=0),
    case(np.nancumprod, gappy(3, 4), -1),
    # Differences
    case(np.diff, A(5), complex=True, third=True),
    case(np.diff, A(2, 3, 4), 2, complex=True),
    case(np.diff, A(4, 3), n=3, axis=0),
    case(np.diff, A(4, 3), axis=-2),
    case(np.diff, A(3), 0),
    case(np.diff, A(3), 5),
    case(np.diff, A(2, 3), prepend=A(2, 1), append=A(2, 2), complex=True),
    case(np.diff, A(2, 3), axis=0, append=A(), prepend=A(1, 3)),
    case(np.diff, A(3), 2, prepend=EDGE, append=np.float32(2.0)),
    case(np.diff, A(2, 3), prepend=0, exempt={"float32": "NumPy promotes float32 beside int64 to float64"}),
    case(np.diff, EDGE, prepend=A(1)),
    case(np.diff, A(0)),
    case(np.diff, A(0, 3), axis=1),
    case(np.ediff1d, A(2, 3), complex=True),
    case(np.ediff1d, A(4), to_end=A(2), to_begin=A(2, 2), complex=True, exempt=COMPLEX_ENDS),
    case(np.ediff1d, A(4), 7.5, A(), complex=True, exempt=COMPLEX_ENDS),
    case(np.ediff1d, A(4), to_begin=[1.5, 2.5]),
    case(np.ediff1d, A(1)),
    case(np.ediff1d, A(0), to_end=A(1)),
    # Integrals
    case(np.trapezoid, A(5), complex=True),
    case(np.trapezoid, A(2, 4), dx=0.5, complex=True),
    case(np.trapezoid, A(2, 4), A(4), complex=True, third=True),
    case(np.trapezoid, A(4, 3), x=A(4, 3), axis=0, complex=True),
    case(np.trapezoid, A(4, 3), x=A(4), axis=-2),
    case(np.trapezoid, A(2, 4), UNEVEN),
    case(np.trapezoid, UNEVEN, A(4)),
    case(np.trapezoid, A(2, 4), x=A(1, 4)),
    case(np.trapezoid, A(2, 3, 4), A(3, 4)),
    case(np.trapezoid, A(4), A(2, 4)),
    case(np.trapezoid, A(1)),
    case(np.trapezoid, A(0, 3)),
    # Slopes
    case(np.gradient, A(5), complex=True),
    case(np.gradient, A(2), complex=True),
    case(np.gradient, A(3, 4), complex=True),
    case(np.gradient, A(3, 4), edge_order=2, complex=True),
    case(np.gradient, A(3, 4), 0.5, edge_order=2),
    case(np.gradient, A(3, 4), positive(), edge_order=2, third=True),
    case(np.gradient, A(3, 4), positive(), 2.0),
    case(np.gradient, A(2, 4), UNEVEN, axis=1, complex=True),
    case(np.gradient, A(2, 4), UNEVEN, axis=-1, edge_order=2, complex=True),
    case(np.gradient, A(4, 2), EVEN, axis=0),
    case(np.gradient, A(4, 2), np.array([1, 3, 5, 9]), axis=0, exempt={"float32": "coordinates of float64"}),
    case(np.gradient, A(5), at(0.0, 1.0, 1.6, 2.5, 3.7), third=True, exempt=EQUAL),
    case(np.gradient, A(5), at(0.0, 1.0, 1.6, 2.5, 3.7), edge_order=2, exempt=EQUAL),
    case(np.gradient, A(4, 3), at(0.0, 1.0, 1.6, 2.5), positive(), edge_order=2, exempt=EQUAL),
    case(np.gradient, A(3, 4), at(0.0, 1.0, 1.6, 2.5), positive(), axis=(1, 0), exempt=EQUAL),
    case(np.gradient, [0.5, 1.5, 1.0, 3.0], at(0.0, 1.0, 1.6, 2.5), exempt={"float32": "a list of float64"} | EQUAL),
    case(np.gradient, A(0, 3), axis=1),
    # Phases
    case(np.unwrap, at(0.0, 3.0, -3.0, 2.0, -2.0, 4.5, 12.0), third=True),
    case(np.unwrap, A(3, 4), axis=0),
    case(np.unwrap, at(0.0, 3.0, 7.3, 2.0), period=4, discont=2.5),
]

if hasattr(np, "cumulative_sum"):  # since NumPy 2.1
    CASES += [
        form
        for function in (np.cumulative_sum, np.cumulative_prod)
        for form in (
            case(function, A(4), complex=True, third=True),
            case(function, A(), complex=True),
            case(function, A(2, 3), axis=0, complex=True),
            case(function, A(2, 3, 2), axis=-2, include_initial=True, complex=True),
            case(function, A(3), include_initial=True),
            case(function, A(), include_initial=True),
            case(function, A(0), include_initial=True),
            case(function, A(0, 3), axis=1),
            case(function, A(3), dtype=np.float64, exempt={"float32": WIDE}),
        )
    ]
