"""tinygrad_np: automatic differentiation for NumPy, with NumPy itself as the API."""

from tinygrad_np import functions, fused, nn, optim, random
from tinygrad_np import rules as _rules  # fills the derivative table
from tinygrad_np.core import (
    Tensor,
    apply,
    defvjp,
    enable_grad,
    gradients,
    no_grad,
    primitive,
    tensor,
    zero,
)
from tinygrad_np.random import manual_seed

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "apply",
    "defvjp",
    "enable_grad",
    "functions",
    "fused",
    "gradients",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "primitive",
    "random",
    "tensor",
    "zero",
]

del _rules
