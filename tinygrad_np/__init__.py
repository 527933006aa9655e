"""tinygrad_np: automatic differentiation for NumPy, with NumPy itself as the API."""

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

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "apply",
    "defvjp",
    "enable_grad",
    "gradients",
    "no_grad",
    "primitive",
    "tensor",
    "zero",
]

del _rules
