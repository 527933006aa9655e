"""Cases of ``rules/nan_reductions.py``."""

import numpy as np

from cases.case import A, Case, at, case, gappy, positive
from cases.elementwise import WIDE
from tinygrad_np.rules import nan_reductions

COLUMNS = np.array([True, True, False, True])
ROWS = np.array([[True], [False], [True]])
LATER = np.arange(6)[:, None] > 0
UNSEEN = {
    "one at a time": "NumPy does not ask the mean of an array whether it is a tensor, and fails loudly",
    "mixed": "NumPy does not take a complex mean of real numbers",
}
WEIGHTS = np.array([0.5, 1.0, 2.5], np.float32)

CASES: list[Case] = [
    *[
        form
        for function in (np.nansum, np.nanprod)
        for form in (
            case(function, gappy(3, 4), complex=True, third=True),
            case(function, gappy()),
            case(function, gappy(2, 3, 4), 1, complex=True),
            case(function, gappy(2, 3, 4), axis=(0, -1), keepdims=True),
            case(function, gappy(3, 4), axis=-1, initial=1.5, complex=True),
            case(function, gappy(3, 4), axis=0, where=ROWS, complex=True),
            case(function, gappy(3, 4), where=COLUMNS, initial=2.0),
            case(function, gappy(4), dtype=np.float64, exempt={"float32": WIDE}),
            case(function, gappy(0, 3), axis=0),
            case(function, at(np.nan, np.nan)),
        )
    ],
    case(np.nanmean, gappy(3, 4), complex=True, third=True),
    case(np.nanmean, gappy()),
    case(np.nanmean, gappy(2, 3, 4), 1, complex=True),
    case(np.nanmean, gappy(2, 3, 4), axis=(0, -1), keepdims=True),
    case(np.nanmean, gappy(3, 4), axis=-1, where=COLUMNS, complex=True),
    case(np.nanmean, gappy(4), dtype=np.float64, exempt={"float32": WIDE}),
    case(np.nanmean, gappy(0, 3), axis=1),
    *[
        form
        for function in (np.nanmax, np.nanmin)
        for form in (
            case(function, gappy(3, 4), third=True),
            case(function, gappy()),
            case(function, gappy(2, 3, 4), 1, complex=True),
            case(function, gappy(2, 3, 4), axis=(0, -1), keepdims=True),
            case(function, gappy(3, 4), axis=-1, initial=0.01),
            case(function, gappy(3, 4), axis=0, where=ROWS, initial=0.01),
            case(function, gappy(0, 3), axis=1),
        )
    ],
    *[
        form
        for function in (np.nanvar, np.nanstd)
        for form in (
            case(function, gappy(3, 4), complex=True, third=True),
            case(function, gappy(2, 6, 4), 1, complex=True, exempt={"stretched": "equal values are the tip of a cone"}),
            case(function, gappy(2, 3, 4), axis=(0, -1), keepdims=True),
            case(function, gappy(6, 4), axis=0, ddof=1, complex=True),
            case(function, gappy(3, 4), correction=1.5),
            case(function, gappy(6, 4), axis=0, where=LATER, complex=True),
            case(function, gappy(6, 4), axis=0, mean=A(1, 4), complex=True, exempt=UNSEEN),
            case(function, gappy(6, 4), axis=0, mean=A(1, 4), where=LATER, keepdims=True, ddof=1, exempt=UNSEEN),
            case(function, gappy(4), dtype=np.float64, exempt={"float32": WIDE}),
            case(function, gappy(0, 3), axis=1),
        )
    ],
    case(nan_reductions.variance, gappy(6, 4), axis=0),
    case(nan_reductions.deviation, gappy(6, 4), axis=0),
    # Replacement
    case(np.nan_to_num, gappy(3, 4), complex=True),
    case(np.nan_to_num, at(1.5, np.inf, -np.inf, np.nan, -2.5), nan=0.5, posinf=1.0, neginf=-1.0),
    case(np.nan_to_num, at(1.5, np.inf, -np.inf, np.nan), True, 0.5, 2.0, -3.0),
    case(np.nan_to_num, gappy(3, 4), copy=False, spelling=lambda x, copy: np.nan_to_num(+x, copy=copy)),
    case(np.nan_to_num, A()),
    case(nan_reductions.finite, gappy(3, 4)),
    # Averages
    case(np.average, A(2, 3), complex=True),
    case(np.average, A(2, 3), 1, complex=True),
    case(np.average, A(2, 3), axis=True),
    case(np.average, A(2, 3), axis=[0], weights=positive(2)),
    case(np.nanvar, A(2, 3), where=1),
    case(np.nanstd, A(2, 3), axis=1, where=1),
    case(np.average, A(2, 3), axis=0, returned=True, keepdims=True),
    case(np.average, A(2, 3), weights=positive(2, 3), complex=True, third=True),
    case(np.average, A(2, 3), weights=positive(2, 3), axis=(1, 0), returned=True, complex=True),
    case(np.average, A(2, 3), axis=-1, weights=positive(3), returned=True, complex=True),
    case(np.average, A(2, 3, 4), (2, 0), positive(4, 2), keepdims=True),
    case(np.average, A(2, 3), 1, WEIGHTS, True),
    case(np.average, WEIGHTS, weights=positive(3)),
    case(np.average, A(3), weights=[1, 2, 3], exempt={"float32": "NumPy promotes float32 beside int64 to float64"}),
    case(np.average, np.array([1, 2, 4]), weights=positive(3), exempt={"float32": WIDE}),
]
