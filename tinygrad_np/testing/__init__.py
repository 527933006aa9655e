"""Test gradients: your own rules, whole models, or plain NumPy functions with a gradient written by hand.

`gradcheck` checks functions of Tensors, `check_gradient` functions of arrays; both return a `Report`. `strategies` is a
kit for property tests with hypothesis, and `plugin` makes all of it known to pytest.
"""

from tinygrad_np.errors import GradcheckError
from tinygrad_np.testing.gradcheck import check_gradient, gradcheck
from tinygrad_np.testing.numerical import Slope, differentiate
from tinygrad_np.testing.report import Blame, Kink, Mistake, Report

__all__ = [
    "Blame",
    "GradcheckError",
    "Kink",
    "Mistake",
    "Report",
    "Slope",
    "check_gradient",
    "differentiate",
    "gradcheck",
]
