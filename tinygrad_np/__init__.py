"""tinygrad_np: automatic differentiation for NumPy, with NumPy itself as the API."""

import importlib
from typing import Any

from tinygrad_np import functions, fused, nn, optim, random, special
from tinygrad_np import rules as _rules  # fills the derivative table
from tinygrad_np.checkpointing import checkpoint
from tinygrad_np.compiler import compile
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
from tinygrad_np.memory import keep_freed_memory
from tinygrad_np.random import manual_seed
from tinygrad_np.transforms import elementwise_grad, grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

__version__ = "0.1.0"

__all__ = [
    "Tensor",
    "apply",
    "checkpoint",
    "compile",
    "defvjp",
    "elementwise_grad",
    "enable_grad",
    "functions",
    "fused",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "keep_freed_memory",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "primitive",
    "random",
    "special",
    "tensor",
    "testing",
    "value_and_grad",
    "vjp",
    "zero",
]

del _rules


_LATER = ("coverage", "data", "plots", "saving", "testing", "training")


def __getattr__(name: str) -> Any:
    """These modules are imported when they are first used: most programs need none of them."""
    if name in _LATER:
        return importlib.import_module(f"tinygrad_np.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
