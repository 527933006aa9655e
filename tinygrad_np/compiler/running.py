"""What replays call besides NumPy's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_np.compiler.inexact import combined
from tinygrad_np.compiler.program import Call
from tinygrad_np.errors import CaptureError
from tinygrad_np.graph import Leaf, next_number
from tinygrad_np.rules.indexing import reads_outside, reads_twice
from tinygrad_np.signatures import function_name

__all__ = [
    *("accumulate", "combine", "copy_of", "gather", "give_copies", "mark_all_updated", "scatter"),
    *("check_count", "check_kind"),
]


def give_copies(leaves: Sequence[Leaf], gradients: Sequence[Any]) -> None:
    """Give leaves gradients that are arrays of their own."""
    array = np.array
    for leaf, gradient in zip(leaves, gradients):  # noqa: B905 (equally long, and hot)
        leaf.grad = array(gradient)


def accumulate(total: Any, a: Any, b: Any) -> None:
    """``total += a @ b``."""
    np.add(total, np.matmul(a, b), out=total)


def combine(x: Any, y: Any, a: Any, b: float) -> None:
    """``y[...] = a * x + b * y``."""
    np.copyto(y, combined(x, y, a, b))


def mark_all_updated(leaves: Sequence[Leaf]) -> None:
    """Declare that the arrays of these leaves were written to."""
    now = next_number()
    for leaf in leaves:
        leaf.updated = now
    Leaf.last_update = now


def copy_of(value: Any) -> Any:
    """An array that later runs leave alone."""
    return value.copy("K") if isinstance(value, np.ndarray) else value


def check_count(results: Sequence[Any], count: int, call: Call) -> Sequence[Any]:
    """The results of a call that makes several; raise if they are not as many as during capture."""
    if len(results) != count:
        raise CaptureError(
            f"{function_name(call.function)} returned {len(results)} arrays for other elements, and {count} when the "
            "function was captured: how many there are depends on the elements, so call it outside of the compiled "
            "function"
        )
    return results


def check_kind(result: Any, shape: tuple[int, ...], dtype: np.dtype[Any], call: Call) -> None:
    """Raise if a result is of another shape or dtype than during capture."""
    if result.shape != shape or result.dtype != dtype:
        raise CaptureError(
            f"{function_name(call.function)} returned {result.dtype}{result.shape} for other elements, and "
            f"{dtype}{shape} when the function was captured: what it returns depends on the elements, and a program's "
            "shapes and dtypes are fixed, so call it outside of the compiled function"
        )


def gather(source: Any, index: Any, out: Any) -> None:
    """``source[index]`` into a buffer: np.take writes there at once only if it need not check the index."""
    if reads_outside(index, len(source)):
        np.copyto(out, source[index])  # counts from the end, or raises
    else:
        source.take(index, 0, out, "clip")


def scatter(g: Any, *, index: Any, shape: Any, out: Any) -> None:
    """``g`` where the index reads, in a buffer of zeros."""
    out.fill(0)
    if reads_twice(index):
        np.add.at(out, index, g)
    else:
        out[index] = g
