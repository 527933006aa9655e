"""What training minimises, each in its fastest form: functions of predictions and targets that return a scalar."""

from tinygrad_np.functions import binary_cross_entropy as binary_cross_entropy
from tinygrad_np.functions import mse_loss as mse_loss
from tinygrad_np.fused import cross_entropy as cross_entropy

__all__ = ["binary_cross_entropy", "cross_entropy", "mse_loss"]
