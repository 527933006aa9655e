"""What kind of call one is, as far as it makes a difference to how a replay makes it."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_np.compiler.program import Call, Value, values_in
from tinygrad_np.compiler.traced import reinterpreted
from tinygrad_np.core import getitem, table
from tinygrad_np.rules.elementwise import imag, real
from tinygrad_np.rules.shapes import reshaped

__all__ = [
    *("REDUCTIONS", "VIEWS", "body_of", "reduced"),
    *("has_options_in_arrays", "is_an_array", "is_fixed_view", "is_gather", "is_of_fixed_shape", "is_plain_reduction"),
]

REDUCTIONS = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce, np.prod: np.multiply.reduce}
# What only looks into memory, whatever the elements: it can be called on a buffer before that is filled.
VIEWS = {
    *(table[function].function for function in (reshaped, getitem, real, imag)),
    *(reinterpreted, np.transpose, np.swapaxes, np.moveaxis, np.expand_dims, np.squeeze, np.broadcast_to, np.reshape),
    *(np.ravel, np.diagonal, np.flip, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.matrix_transpose),
}

_OF_FIXED_SHAPE = {
    *(np.take, np.copy, np.where, np.asarray, abs),
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul),
}


def body_of(function: Any) -> Any:
    """The body of a primitive, as a program calls it."""
    return table[function].function


def is_an_array(argument: Any) -> bool:
    """Whether an argument is a value that stands for an ndarray."""
    return isinstance(argument, Value) and argument.is_array


def reduced(call: Call, out: Any) -> tuple[Any, ...]:
    """The arguments of the ufunc's own method, which is what np.sum and its like call in the end."""
    return *call.args, call.kwargs.get("axis"), None, out, bool(call.kwargs.get("keepdims", False))


def is_plain_reduction(call: Call) -> bool:
    """Whether it is np.sum or its like, with no other options than the axes."""
    if call.function not in REDUCTIONS or len(call.args) != 1 or call.dtype is not None:
        return False
    axes = isinstance(call.kwargs.get("axis"), int | tuple | type(None))
    return axes and call.kwargs.keys() <= {"axis", "keepdims"} and not has_options_in_arrays(call)


def is_gather(call: Call) -> bool:
    """Whole rows named by one array of integers."""
    by_axis = len(call.args) == 2 and call.kwargs == {"axis": 0}
    from_row = call.function is np.take and len(call.args) == 2 and not call.kwargs
    by_index = len(call.args) == 1 and call.kwargs.keys() == {"index"}
    if not (by_axis or from_row or by_index):
        return False
    source, index = call.args[0], call.kwargs["index"] if by_index else call.args[1]
    if not isinstance(source, Value) or (from_row and len(source.shape) != 1):
        return False
    return is_an_array(index) and index.dtype.kind in "iu" and index.shape != ()


def has_options_in_arrays(call: Call) -> bool:
    """Whether something else than its first argument is an array, such as an axis or the bounds of a slice."""
    return bool(_options_in_arrays(call))


def is_fixed_view(call: Call) -> bool:
    """Whether it looks into its first argument, at the same place on every run."""
    return call.function in VIEWS and all(value.kind == "constant" for value in _options_in_arrays(call))


def _options_in_arrays(call: Call) -> list[Value]:
    return list(values_in((call.args[1:], call.kwargs)))


def is_of_fixed_shape(call: Call) -> bool:
    """Whether it is known that shape and dtype of the result do not depend on elements."""
    function: Any = call.function
    if function in _OF_FIXED_SHAPE or isinstance(function, np.ufunc):
        return True
    known = function in VIEWS or function in REDUCTIONS or isinstance(getattr(function, "__self__", None), np.ufunc)
    known = known or str(getattr(function, "__module__", "")).startswith("tinygrad_np.")
    return known and not has_options_in_arrays(call)
