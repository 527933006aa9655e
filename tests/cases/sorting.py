"""Cases of ``rules/sorting.py``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import A, Case, at, case, distinct, gappy, positive
from cases.elementwise import WIDE
from tinygrad_np.rules import sorting

METHODS = (
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull"),
    *("linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
)
ORDER = np.array([[2, 0, 1], [1, 0, 2]])
WEIGHTS = np.array([[1.0, 2.0, 0.5], [3.0, 0.0, 1.0]])
TWO = np.array([0.31, 0.83], np.float32)


def on_a_copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an array that it may write to."""
    return lambda x, *args, **options: function(+x, *args, **options)


CASES: list[Case] = [
    # Rearrangements
    case(np.sort, distinct(7), complex=True, third=True),
    case(np.sort, distinct(2, 3, 4), complex=True),
    case(np.sort, distinct(3, 4), 0, complex=True),
    case(np.sort, distinct(3, 4), axis=None, complex=True),
    case(np.sort, distinct(3, 4), axis=-2, kind="mergesort"),
    case(np.sort, distinct(3, 4), stable=True),
    case(np.sort, distinct(), axis=None),
    case(np.sort, distinct(1)),
    case(np.sort, distinct(0)),
    case(np.sort, gappy(3, 4), spelling=lambda x: np.sort(x)[:, :2]),
    case(np.partition, distinct(9), 4, complex=True, third=True),
    case(np.partition, distinct(40), 25),
    case(np.partition, distinct(3, 4), 1, axis=0, complex=True),
    case(np.partition, distinct(3, 4), [0, 2]),
    case(np.partition, distinct(3, 4), -3, axis=None),
    case(np.partition, distinct(0, 3), 1),
    case(np.sort_complex, distinct(2, 4), complex=True, exempt={"float32": WIDE}),
    case(sorting.rearranged, A(2, 3), ORDER, axis=1, complex=True),
    case(sorting.returned, A(2, 3), ORDER, axis=1, complex=True),
    # Ranges
    case(np.ptp, distinct(7), third=True),
    case(np.ptp, distinct(2, 3, 4), 1),
    case(np.ptp, distinct(2, 3, 4), axis=(0, -1), keepdims=True),
    case(np.ptp, distinct()),
    # Unique values
    case(np.unique, distinct(2, 3), complex=True, third=True),
    case(np.unique, distinct(2, 3), return_index=True, return_inverse=True, return_counts=True),
    case(np.unique, distinct(2, 3), False, False, True, complex=True),
    case(np.unique, distinct(4, 2), axis=0),
    case(np.unique, distinct(2, 4), return_counts=True, axis=-1),
    case(np.unique, gappy(4), equal_nan=False, spelling=lambda x, **options: np.unique(x, **options)[:2]),
    case(np.unique, distinct()),
    case(np.unique, distinct(0)),
    case(np.unique_values, distinct(2, 3)),
    case(np.unique_values, distinct(2, 3), spelling=lambda x: np.sort(np.unique_values(x)), complex=True),
    case(np.unique_values, distinct(0)),
    case(np.unique_all, distinct(2, 3), complex=True),
    case(np.unique_counts, distinct(5)),
    case(np.unique_inverse, distinct(2, 3)),
    # Sets
    case(np.union1d, distinct(2, 3), distinct(4), complex=True),
    case(np.union1d, distinct(5), spelling=lambda x: np.union1d(x[1:4], x), complex=True),
    case(np.intersect1d, distinct(5), spelling=lambda x: np.intersect1d(x, x[1:4]), third=True),
    case(
        np.intersect1d,
        distinct(5),
        return_indices=True,
        spelling=lambda x, **options: np.intersect1d(x[:, None], x[1:4], assume_unique=True, **options),
    ),
    case(np.intersect1d, distinct(5), distinct(3), return_indices=True),
    case(np.setdiff1d, distinct(5), distinct(3), complex=True),
    case(np.setdiff1d, distinct(5), spelling=lambda x: np.setdiff1d(x, x[1:3], assume_unique=True)),
    case(np.setdiff1d, distinct(3), np.array([0.5, 1.5])),
    case(np.setxor1d, distinct(2, 3), ar2=distinct(4), complex=True),
    case(np.setxor1d, distinct(5), spelling=lambda x: np.setxor1d(x, x[1:3])),
    # Medians
    *[
        form
        for function, numbers in ((np.median, distinct), (np.nanmedian, gappy))
        for form in (
            case(function, numbers(7), complex=True, third=True),
            case(function, numbers(8), complex=True),
            case(function, numbers()),
            case(function, numbers(1)),
            case(function, numbers(3, 4), complex=True),
            case(function, numbers(3, 4), 1, complex=True),
            case(function, numbers(2, 3, 4), axis=-2),
            case(function, numbers(2, 3, 4), axis=(2, 0), keepdims=True),
            case(function, numbers(3, 4), axis=0, overwrite_input=True, spelling=on_a_copy(function)),
            case(function, numbers(3, 4), keepdims=True),
            case(function, numbers(0, 3), axis=1),
        )
    ],
    case(sorting.median, distinct(3, 4), axis=-1),
    case(sorting.nanmedian, gappy(3, 4), axis=-1),
    # Quantiles
    *[
        form
        for function, numbers, quantiles in (
            (np.quantile, distinct, at(0.4, 0.83)),
            (np.nanquantile, gappy, at(0.36, 0.85)),  # past the end by the method "weibull"
        )
        for form in (
            case(function, numbers(8), 0.31, third=True),
            case(function, numbers(8), 0),
            case(function, numbers(8), 1.0),
            case(function, numbers(), 0.3),
            case(function, numbers(3, 4), TWO),
            case(function, numbers(3, 4), TWO, 0),
            case(function, numbers(3, 4), 0.31, axis=-1, keepdims=True),
            case(function, numbers(2, 3, 4), TWO, axis=(2, 0), keepdims=True),
            case(function, numbers(3, 4), 0.31, overwrite_input=True, spelling=on_a_copy(function)),
            case(function, numbers(3, 4), TWO.reshape(2, 1), axis=1),
            case(function, numbers(0, 3), 0.3, axis=1),
            case(function, numbers(3, 4), np.float32([]), axis=1),
            *[case(function, numbers(8), quantiles, method=method) for method in METHODS],
            case(function, numbers(3, 4), at(0.31), axis=1, third=True),
            case(function, numbers(3, 4), at(0.44, 0.73), axis=0, keepdims=True),
            case(function, [0.5, 2.5, 0.25, 1.75], at(0.31, 0.83), exempt={"float32": "a list of float64"}),
        )
    ],
    *[
        form
        for function in (np.quantile, np.nanquantile)
        for form in (
            case(function, distinct(2, 3), 0.4, method="inverted_cdf", weights=WEIGHTS),
            case(function, distinct(2, 3), 0.4, axis=1, method="inverted_cdf", weights=WEIGHTS),
            case(function, distinct(3, 2), TWO, axis=(1, 0), method="inverted_cdf", weights=WEIGHTS),
            case(function, distinct(2, 3), TWO, axis=1, keepdims=True, method="inverted_cdf", weights=positive(2, 3)),
        )
    ],
    case(np.quantile, distinct(2, 3), TWO, axis=-1, method="inverted_cdf", weights=WEIGHTS[0]),
    case(np.quantile, distinct(2, 3, 2), 0.4, axis=(2, 1), method="inverted_cdf", weights=WEIGHTS),
    case(sorting.quantile, distinct(3, 4), 0.31, axis=-1),
    case(sorting.nanquantile, gappy(3, 4), 0.31, axis=-1),
    # Percentiles
    *[
        form
        for function, numbers in ((np.percentile, distinct), (np.nanpercentile, gappy))
        for form in (
            case(function, numbers(8), 31),
            case(function, numbers(8), 31.5),
            case(function, numbers(3, 4), [20, 70], axis=1, exempt={"float32": "NumPy divides int64 into float64"}),
            case(function, numbers(3, 4), np.float32([20, 70]), axis=0, keepdims=True),
            case(function, numbers(3, 4), 31, method="hazen"),
            case(function, numbers(8), at(31.0, 83.0), method="weibull"),
            case(function, numbers(3, 4), at(31.0), axis=1),
        )
    ],
    case(np.percentile, distinct(2, 3), 40.0, axis=1, method="inverted_cdf", weights=WEIGHTS),
    case(np.nanpercentile, distinct(2, 3), 40.0, axis=1, method="inverted_cdf", weights=WEIGHTS),
    case(sorting.percentile, distinct(3, 4), 31.0, axis=-1),
    case(sorting.nanpercentile, gappy(3, 4), 31.0, axis=-1),
]
