"""Covariances and histograms. The counts of a histogram depend on its weights; its edges may depend on the data."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp, primitive
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.movement import as_dtype

# Covariances


@composite(np.cov)
def _cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    if ddof is None:
        ddof = 0 if bias else 1
    elif ddof != int(ddof):
        raise ValueError(f"np.cov: ddof must be an integer, not {ddof!r}")
    variables = [arrayed(x) for x in (m, y) if x is not None]
    if max(x.ndim for x in variables) > 2:
        raise ValueError(f"np.cov: two axes at most, not shapes {' and '.join(str(x.shape) for x in variables)}")
    dtype = np.result_type(*variables, np.float64) if dtype is None else np.dtype(dtype)
    if not rowvar:
        # One variable a row; NumPy takes a single row of y for one already.
        variables = [x if x.ndim < 2 or (i and len(x) == 1) else x.T for i, x in enumerate(variables)]
    x = np.concatenate([np.atleast_2d(x) for x in variables])
    if len(x) == 0:
        return np.zeros((0, 0))
    x = as_dtype(x, dtype)
    count = x.shape[1]
    if fweights is not None:
        fweights = _weights("fweights", fweights, count)
        if np.any(plain(fweights) != np.around(plain(fweights))):
            raise TypeError("np.cov: fweights must be integers")
    if aweights is not None:
        aweights = _weights("aweights", aweights, count)
    given = [w for w in (fweights, aweights) if w is not None]
    w = math.prod(given) if given else None
    degrees: Any = count - ddof
    if w is not None:
        total = np.sum(w)
        degrees = total - (ddof * np.sum(w * aweights) / total if aweights is not None and ddof else ddof)
    if degrees <= 0:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=5)
        degrees = 0.0
    x = as_dtype(x - np.average(x, axis=1, weights=w)[:, None], dtype)
    weighted = x if w is None else x * w
    product = np.dot(x, weighted.T.conjugate())
    return np.squeeze(as_dtype(product * np.true_divide(1, degrees), product.dtype))


def _weights(name: str, weights: Any, count: int) -> Any:
    weights = as_dtype(weights, np.dtype(float))
    if weights.shape != (count,):
        raise RuntimeError(f"np.cov: {name} must have shape ({count},), not {weights.shape}")
    if np.any(plain(weights) < 0):
        raise ValueError(f"np.cov: {name} must not be negative")
    return weights


@composite(np.corrcoef)
def _corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Any:
    c = np.cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviations = np.sqrt(np.diag(c).real)
    c = c / deviations[:, None] / deviations[None, :]
    clipped = np.clip(c.real, -1, 1)
    return clipped + 1j * np.clip(c.imag, -1, 1) if c.dtype.kind == "c" else clipped


# Histograms


@primitive(name="np.bincount")
def tallied(weights: Any, *, x: Any, minlength: int) -> Any:
    """Weights added up for each of the numbers from 0 that x holds."""
    return np.bincount(x, weights, minlength).astype(float, copy=False)


defvjp(tallied, lambda g, _y, _weights, x, minlength: g[x])


@composite(np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    x = plain(x)
    if weights is None or len(x) == 0:  # NumPy's result is of integers
        return np.bincount(x, plain(weights), minlength)
    return tallied(weights, x=x, minlength=minlength)


@composite(np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """Given as they are; or between two numbers, by default the smallest and the largest."""
    # NumPy checks the arguments and tells how many there are, which may depend on the data.
    edges = np.histogram_bin_edges(plain(a), plain(bins), plain(range), plain(weights))
    return arrayed(bins) if _is_sequence(bins) else _between(arrayed(a), range, edges)


def _is_sequence(bins: Any) -> bool:
    return isinstance(bins, list | tuple) or np.ndim(bins) > 0


def _between(a: Any, range: Any, edges: np.ndarray[Any, Any]) -> Any:
    """As many edges as these."""
    if range is None and a.size == 0:
        return edges
    first, last = (np.min(a), np.max(a)) if range is None else range
    if first == last:
        first, last = first - 0.5, last + 0.5
    return np.linspace(first, last, len(edges), dtype=edges.dtype)


@composite(np.histogram)
def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    edges = np.histogram_bin_edges(a, bins, range, weights)
    if weights is None:
        counts = np.histogram(plain(a), plain(bins), plain(range))[0]
    else:
        weights = arrayed(weights)
        counts = as_dtype(_counted([np.ravel(plain(a))], [edges], np.ravel(weights)), weights.dtype)
    if density:
        counts = counts / as_dtype(np.diff(edges), np.dtype(float)) / np.sum(counts)
    return counts, edges


@composite(np.histogramdd)
def _histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    if not hasattr(sample, "shape") or sample.ndim != 2:
        sample = np.atleast_2d(arrayed(sample)).T
    axes = list(np.swapaxes(sample, 0, 1))
    bins = bins if _is_sequence(bins) else [bins] * len(axes)
    ranges = [None] * len(axes) if range is None else range
    if not len(bins) == len(ranges) == len(axes):
        raise ValueError(f"np.histogramdd: {len(axes)} axes need as many bins and ranges")
    edges = [np.histogram_bin_edges(*each) for each in zip(axes, bins, ranges, strict=True)]
    weights = np.ones(len(axes[0])) if weights is None else arrayed(weights)
    counts = _counted(axes, edges, weights)
    if density:
        total = np.sum(counts)
        for axis, each in enumerate(edges):
            counts = counts / np.diff(each).reshape([-1 if i == axis else 1 for i, _ in enumerate(edges)])
        counts = counts / total
    return counts, edges


@composite(np.histogram2d)
def _histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if len(x) != len(y):
        raise ValueError(f"np.histogram2d: x and y must have the same length, not {len(x)} and {len(y)}")
    if _is_sequence(bins) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = np.histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]


def _counted(axes: list[Any], edges: list[Any], weights: Any) -> Any:
    """The weights of the data in each bin; data on an edge count to the right of it, except on the last one."""
    places = []
    for data, each in zip(plain(axes), plain(edges), strict=True):
        place = np.searchsorted(each, data, side="right")
        places.append(place - (data == each[-1]))
    shape = [len(each) + 1 for each in edges]
    numbers = np.ravel_multi_index(places, shape)
    if weights.dtype.kind == "c":
        real, imag = (tallied(part, x=numbers, minlength=math.prod(shape)) for part in (weights.real, weights.imag))
        totals = real + 1j * imag
    else:
        totals = tallied(weights, x=numbers, minlength=math.prod(shape))
    # What lies outside has been counted before the first edge and after the last one.
    return totals.reshape(shape)[(slice(1, -1),) * len(shape)]
