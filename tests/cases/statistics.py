"""Cases of ``rules/statistics.py``."""

from typing import Any

import numpy as np

from cases.case import A, Case, at, case, positive
from tinygrad_np.rules import statistics

DOUBLE = {"float32": "NumPy computes in float64"}
EDGES = np.array([-1.0, 0.0, 0.4, 2.5])
DATA = np.array([-1.0, 0.2, 0.2, 0.4, 2.5, 3.0])
X, Y = np.array([[0.0, 0.3, 1.2, 2.0, 0.8], [0.1, 0.7, 0.3, 1.0, -1.0]])


def in_double(function: Any, *args: Any, **options: Any) -> Case:
    return case(function, *args, exempt=DOUBLE | options.pop("exempt", {}), **options)


def edges_between(a: Any, bins: int, range: tuple[Any, Any]) -> Any:
    """np.histogram_bin_edges between two numbers."""
    return np.histogram_bin_edges(a, bins, [end[0] for end in range])


def in_a_row(*args: Any, **kwargs: Any) -> Any:
    """np.histogramdd without the list in its result."""
    counts, edges = np.histogramdd(*args, **kwargs)
    return counts, *edges


NOT_ASKED = {"one at a time": "NumPy does not ask the range whether it dispatches, and errors name it"}
RUNNING_SUMS = {"value": "NumPy takes differences of running sums, which float32 rounds more than the sums here"}
CONSTANT = {"stretched": "equal data have no histogram between them"}
CASES = [
    # Covariances
    in_double(np.cov, A(3, 5), complex=True, third=True),
    in_double(np.cov, A(5), complex=True),
    in_double(np.cov, A(5, 2), rowvar=False, complex=True),
    in_double(np.cov, A(2, 5), A(5), complex=True),
    in_double(np.cov, A(5), A(5), bias=True),
    in_double(np.cov, A(5, 2), y=A(5, 1), rowvar=False),
    in_double(np.cov, A(5, 2), A(5), rowvar=False),
    in_double(np.cov, A(5, 2), A(1, 5), rowvar=False),
    in_double(np.cov, A(2, 5), ddof=2),
    in_double(np.cov, A(2, 4), fweights=[1, 3, 0, 2], complex=True),
    in_double(np.cov, A(2, 4), aweights=positive(4)),
    in_double(np.cov, A(2, 4), aweights=positive(4), ddof=0),
    in_double(np.cov, A(4), fweights=np.array([2, 1, 3, 1]), aweights=positive(4), bias=True),
    in_double(np.cov, A(2, 4), fweights=np.array([2, 1, 3, 1]), aweights=positive(4), ddof=1),
    in_double(np.cov, A(1, 4), dtype=np.complex128),
    in_double(np.cov, A(0, 4)),
    in_double(np.corrcoef, A(3, 5), complex=True, third=True, exempt={"stretched": "constants do not correlate"}),
    in_double(np.corrcoef, A(5), A(5), exempt={"stretched": "constants do not correlate"}),
    in_double(np.corrcoef, A(5, 2), rowvar=False),
    in_double(np.corrcoef, A(5), exempt={"stretched": "constants do not correlate"}),
    # Histograms
    in_double(np.bincount, np.array([0, 3, 1, 3, 0]), A(5), third=True),
    in_double(np.bincount, np.array([2, 2]), weights=A(2), minlength=5),
    in_double(np.bincount, np.array([], int), A(0)),
    in_double(statistics.tallied, A(3), x=np.array([1, 0, 1]), minlength=0),
    case(np.histogram_bin_edges, at(0.0, 0.3, 0.45, 1.2, 2.0), 4),
    case(np.histogram_bin_edges, at(0.0, 0.3, 0.45, 1.2, 2.0, 7.0), "auto"),
    case(np.histogram_bin_edges, at(0.7, 0.7), spelling=lambda a: np.histogram_bin_edges(a[:1], 2)),
    case(np.histogram_bin_edges, at(0.0, 1.0, 0.5), 2, (at(-1.5), at(3.5)), spelling=edges_between, exempt=NOT_ASKED),
    in_double(np.histogram_bin_edges, DATA, at(*EDGES)),
    in_double(np.histogram, at(0.0, 0.3, 0.45, 1.2, 2.0), 4, density=True, third=True, exempt=CONSTANT),
    in_double(np.histogram, at(0.0, 0.3, 0.45, 1.2, 2.0), 4, weights=A(5), exempt=CONSTANT),
    in_double(np.histogram, at(0.0, 0.3, 0.45, 1.2, 2.0), 4, weights=A(5), density=True, exempt=CONSTANT),
    in_double(np.histogram, DATA, EDGES, weights=A(6), complex=True),
    in_double(np.histogram, DATA.reshape(2, 3), 3, (0, 2), weights=A(2, 3)),
    in_double(np.histogram, DATA, bins=EDGES, density=True, weights=positive(6), exempt=RUNNING_SUMS),
    in_double(np.histogram, np.array([-0.8, 0.2, 0.7]), at(*EDGES), density=True, exempt={"stretched": "edges rise"}),
    in_double(np.histogram, np.zeros(0), 2, weights=A(0)),
    in_double(np.histogram2d, X, Y, 3, weights=A(5), third=True),
    in_double(np.histogram2d, at(*X), at(*Y), [2, 3], density=True, exempt=CONSTANT),
    in_double(np.histogram2d, X, Y, EDGES, weights=A(5)),
    in_double(np.histogram2d, X, Y, [EDGES, 2], [None, (-1, 0.5)], weights=positive(5), density=True),
    in_double(np.histogramdd, np.array([X, Y]).T, (2, 3), weights=A(5), spelling=in_a_row),
    in_double(np.histogramdd, [at(*X), at(*Y)], 2, density=True, spelling=in_a_row, exempt=CONSTANT),
    in_double(np.histogramdd, [X], [EDGES], weights=A(5), spelling=in_a_row),
]
