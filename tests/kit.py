"""The public gradient check as the library's own tests call it, and gradients to compare one another with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.testing import gradcheck

Function = Callable[..., Any]


def check_gradient(function: Function, arrays: Sequence[np.ndarray], order: int = 1) -> None:
    """Assert that all derivatives up to an order agree with differences, at a point that is no kink.

    How the arrays lie in memory is left as it is: some tests choose it, and some cases are about it.
    """
    gradcheck(function, *arrays, order=order, kinks="fail", layouts=False, progress=False)


def gradient_of(function: Function, level: int = 1) -> Function:
    """The gradient of a random quadratic function of the outputs, itself a function of arrays or Tensors.

    Quadratic, because the second derivative of a linear function of linear outputs vanishes, and with it whatever a
    rule does with its recorded cotangent.
    """

    def gradient(*inputs: Any) -> list[Any]:
        recorded = any(isinstance(x, tg.Tensor) for x in inputs)
        leaves = [x if isinstance(x, tg.Tensor) else tg.tensor(x, requires_grad=True) for x in inputs]
        outputs = floating(function(*leaves))
        cotangents = [_cotangent(level, position, y) for position, y in enumerate(outputs)]
        pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
        if not pairs:  # the outputs are constant
            zeros = [np.zeros_like(x.data) for x in leaves]
            return [tg.tensor(z) for z in zeros] if recorded else zeros
        ends, starts = zip(*pairs, strict=True)
        # An array would lose how the cotangent depends on the inputs; a Tensor without recording has no use for it.
        starts = starts if recorded else tuple(g.data for g in starts)
        return tg.gradients(ends, leaves, starts, create_graph=recorded)

    return gradient


def _cotangent(level: int, position: int, y: Any) -> Any:
    rng = np.random.default_rng([level, position])
    c, d = rng.uniform(0.5, 1.5, (2, *y.shape)) * rng.choice([-1.0, 1.0], (2, *y.shape))
    return c + d * y


def assert_as_numpy(call: Function, *arrays: Any) -> None:
    """Assert that tensors give what arrays give: the numbers in their shape and dtype, or the same kind of error."""
    tensors = [tg.tensor(x) for x in arrays]
    try:
        expected = call(*map(np.asarray, arrays))
    except Exception as error:
        with pytest.raises(type(error)):
            call(*tensors)
    else:
        np.testing.assert_array_equal(call(*tensors).data, expected, strict=True)


def floating(outputs: Any) -> list[Any]:
    """The outputs that can have a gradient, as a flat list."""
    outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return [y for y in outputs if y.dtype.kind in "fc"]
