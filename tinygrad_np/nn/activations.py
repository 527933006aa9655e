"""Activations as layers: each calls the function of its name in `tinygrad_np.functions`, or the fast one in `fused`."""

from __future__ import annotations

from typing import Any

from tinygrad_np import functions, fused
from tinygrad_np.nn.module import Module

__all__ = [
    "ELU",
    "GELU",
    "LeakyReLU",
    "LogSoftmax",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ReLU(Module):
    """``max(x, 0)``, element by element.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.ReLU()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def forward(self, x: Any) -> Any:
        return fused.relu(x)


class LeakyReLU(Module):
    """``x`` where it is positive and ``slope * x`` elsewhere.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.LeakyReLU(0.25)(np.array([-1.0, 2.0]))
    array([-0.25,  2.  ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        return functions.leaky_relu(x, self.slope)


class ELU(Module):
    """``x`` where it is positive and ``alpha * (exp(x) - 1)`` elsewhere.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.ELU()(np.array([-1e4, 2.0]))
    array([-1.,  2.])
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return functions.elu(x, self.alpha)


class GELU(Module):
    """``x`` times the probability that a standard normal number is below it.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.GELU()(np.array([-1.0, 2.0])).round(4)
    array([-0.1587,  1.9545])
    """

    def forward(self, x: Any) -> Any:
        return functions.gelu(x)


class SiLU(Module):
    """``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.SiLU()(np.array([-1.0, 2.0])).round(4)
    array([-0.2689,  1.7616])
    """

    def forward(self, x: Any) -> Any:
        return functions.silu(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.Sigmoid()(np.array([-1e4, 0.0]))
    array([0. , 0.5])
    """

    def forward(self, x: Any) -> Any:
        return functions.sigmoid(x)


class Tanh(Module):
    """``np.tanh``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.Tanh()(np.array([-1e4, 0.0]))
    array([-1.,  0.])
    """

    def forward(self, x: Any) -> Any:
        return functions.tanh(x)


class Softplus(Module):
    """``log(1 + exp(x))``.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.Softplus()(np.array([-1e4, 1e4]))
    array([    0., 10000.])
    """

    def forward(self, x: Any) -> Any:
        return functions.softplus(x)


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along an axis.

    The cross-entropy losses take what comes before it, unless told otherwise.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.Softmax()(np.array([[1e4, 1e4], [-1e4, 1e4]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """

    def __init__(self, axis: int | tuple[int, ...] | None = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return functions.softmax(x, self.axis)


class LogSoftmax(Module):
    """``log(softmax(x))`` along an axis.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.nn.LogSoftmax()(np.array([-1e4, 1e4]))
    array([-20000.,      0.])
    """

    def __init__(self, axis: int | tuple[int, ...] | None = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Any:
        return functions.log_softmax(x, self.axis)
