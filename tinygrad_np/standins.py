"""What the engine does differently while `tinygrad_np.compile` captures a function.

The tape that writes the program down is `capturing.get()`. `Differentiable.record` hands it the arrays and the calls of
the engine; everything else that may meet an array goes through the functions here: `live` puts in its place what stands
in for it, and ``.grad`` is the tape's until the capture ends. Without a tape each of these does the plain thing, which
is all that a reader of `core` needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tinygrad_np.graph import Leaf, Pending, capturing, next_number
from tinygrad_np.methods import ArrayMethods

__all__ = ["add_gradient", "as_array", "check", "gradient_of", "live", "mark_updated", "set_gradient", "traceable"]

F = TypeVar("F", bound=Callable[..., Any])


def live(array: Any) -> Any:
    """A Tensor's array, for a call on it: while `tinygrad_np.compile` captures a function, what stands in for it."""
    tape = capturing.get()
    return array if tape is None else tape.storage(array)


def as_array(value: Any) -> Any:
    """An array-like as an ndarray, or as what stands in for one."""
    return value if isinstance(value, ArrayMethods) else np.asarray(value)


def gradient_of(leaf: Leaf) -> Any:
    """``leaf.grad``, as an array or None."""
    tape = capturing.get()
    if tape is not None:
        return tape.grad(leaf)
    if isinstance(leaf.grad, Pending):
        leaf.grad = leaf.grad.array()
    return leaf.grad


def set_gradient(leaf: Leaf, gradient: Any) -> None:
    """What ``leaf.grad = gradient`` does."""
    tape = capturing.get()
    if tape is not None:
        tape.set_grad(leaf, gradient)
    else:
        leaf.grad = gradient


def add_gradient(leaf: Leaf, gradient: Any) -> None:
    """Add to ``leaf.grad``, which starts as None."""
    if capturing.get() is None and leaf.grad is None:
        leaf.grad = np.asarray(gradient)
    else:
        so_far = gradient_of(leaf)
        set_gradient(leaf, as_array(gradient if so_far is None else so_far + gradient))


def mark_updated(leaf: Leaf) -> None:
    """Remember that a leaf's array has been written to now."""
    tape = capturing.get()
    if tape is not None:
        tape.mark_updated(leaf)
    else:
        Leaf.last_update = leaf.updated = next_number()


def traceable(body: F) -> F:
    """Let `tinygrad_np.compile` capture the NumPy calls in a primitive's body one by one, rather than as one call.

    To be put under `primitive`, on a body that is all NumPy calls on its arguments. Checks that look at elements go
    through `check`.
    """
    body.traceable = True  # type: ignore[attr-defined]
    return body


def check(function: Callable[..., None], *args: Any) -> None:
    """Call a function that raises if elements are not as they should be; a compiled program calls it on every run."""
    tape = capturing.get()
    if tape is None:
        function(*args)
    else:
        tape.call(function, args, {}, effect=True)
