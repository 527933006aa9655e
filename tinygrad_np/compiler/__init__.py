"""`compile`: capture a function as a Program of NumPy calls, optimise it, replay it."""

from tinygrad_np.compiler.compile import Compiled as Compiled
from tinygrad_np.compiler.compile import compile as compile

__all__ = ["Compiled", "compile"]
