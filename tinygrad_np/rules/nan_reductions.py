"""Reductions that ignore NaN, and weighted averages."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinygrad_np.core import Differentiable, defvjp, primitive, table
from tinygrad_np.rules import reductions
from tinygrad_np.rules.handlers import composite, plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.rules.sorting import aligned


def _rule_of(function: Callable[..., Any]) -> Callable[..., Any]:
    return cast(Callable[..., Any], cast(Differentiable, table[function]).rules[0])


def _without_nan(rule: Callable[..., Any]) -> Callable[..., Any]:
    """The rule of the reduction that ignores NaN, from the rule of the one that does not.

    A slice of nothing but NaN is no empty one to it, and what it says of that is dropped.
    """

    def ignoring(g: Any, y: Any, a: Any, axis: Any = None, where: Any = True, **options: Any) -> Any:
        present = np.logical_and(~np.isnan(a), where)
        seen = present | ~np.any(present, axis=axis, keepdims=True)
        return np.where(present, rule(g, y, a, axis=axis, where=seen, **options), 0)

    return ignoring


variance, deviation = primitive(np.nanvar), primitive(np.nanstd)
for _function, _of_all in (
    *((np.nansum, np.sum), (np.nanmean, np.mean), (np.nanprod, np.prod)),
    *((variance, reductions.variance), (deviation, reductions.deviation)),
):
    defvjp(_function, _without_nan(_rule_of(_of_all)), selects=True)

# A NaN is equal to nothing, so the extrema need no other rule.
defvjp(np.nanmax, _rule_of(np.max), selects=True)
defvjp(np.nanmin, _rule_of(np.min), selects=True)


@composite(np.nanvar)
def _nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    mean: Any = None,
    where: Any = True,
    **options: Any,
) -> Any:
    if mean is None:
        return variance(a, axis, dtype, out, ddof, keepdims, where=where, **options)
    present = ~np.isnan(a) & where
    options |= {"ddof": ddof} if ddof else {}
    result = np.var(np.where(present, a, 0), axis, dtype, keepdims=keepdims, mean=mean, where=present, **options)
    degrees = np.sum(present, axis=axis, keepdims=keepdims) - (ddof or options.get("correction", 0))
    return np.where(degrees > 0, result, np.nan)  # where np.var would be infinite


@composite(np.nanstd)
def _nanstd(a: Any, *args: Any, mean: Any = None, where: Any = True, **options: Any) -> Any:
    if mean is None:
        return deviation(a, *args, where=where, **options)
    return np.sqrt(np.nanvar(a, *args, mean=mean, where=where, **options))


finite = primitive(np.nan_to_num)


def _kept(g: Any, x: Any) -> Any:
    return np.where(np.isfinite(x), g, 0)


defvjp(
    finite,
    lambda g, _y, x, nan=0.0, posinf=None, neginf=None: (
        _kept(g.real, x.real) + 1j * _kept(g.imag, x.imag) if x.dtype.kind == "c" else _kept(g, x)
    ),
    selects=True,
)


@composite(np.nan_to_num)
def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    return finite(x, nan=nan, posinf=posinf, neginf=neginf)  # a tensor is a value, whatever copy= says


@composite(np.average)
def _average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    a = arrayed(a)
    axes = None if axis is None else normalize_axis_tuple(axis, a.ndim)
    if weights is None:
        mean = np.mean(a, axis=axes, keepdims=keepdims)
        if not returned:
            return mean
        total = np.full(mean.shape, a.size / max(mean.size, 1), mean.dtype)
    else:
        weights = aligned(weights, a.shape, axis)
        dtype = np.result_type(a.dtype, weights.dtype, *([] if a.dtype.kind in "fc" else [np.float64]))
        total = np.sum(weights, axis=axes, dtype=dtype, keepdims=keepdims)
        if isinstance(plain(total), np.ndarray | np.generic) and np.any(plain(total) == 0):
            raise ZeroDivisionError(f"weights of shape {weights.shape} sum to zero, so there is no average")
        mean = np.sum(np.multiply(a, weights, dtype=dtype), axis=axes, keepdims=keepdims) / total
        total = np.broadcast_to(total, mean.shape)
    return (mean, total) if returned else mean
