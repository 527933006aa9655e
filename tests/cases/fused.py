"""Cases of ``fused.py``."""

import numpy as np

from cases.case import A, Case, case, positive
from tinygrad_np import fused

ROWS = np.array([2, 0, 1, 1])

CASES: list[Case] = [
    case(fused.dense, A(4, 3), A(3, 2), A(2), complex=True, third=True),
    case(fused.dense, A(4, 3), A(3, 2), complex=True),
    case(fused.dense, A(2, 2, 3), A(3, 2), bias=A(2)),
    case(fused.dense, A(3), A(3, 2), A(2)),
    case(fused.dense, A(0, 3), A(3, 2), A(2)),
    case(fused.dense, A(4, 0), A(0, 2), A(2)),
    case(fused.relu, A(3, 4), third=True),
    case(fused.relu, A(0, 4)),
    case(fused.relu, A()),
    case(fused.passed, A(3, 4), A(3, 4)),
    case(fused.loss_and_slope, A(4, 3), ROWS, third=True),
    case(fused.loss_and_slope, A(2, 2, 3), ROWS.reshape(2, 2)),
    case(fused.loss_and_slope, A(3), np.array(1)),
    case(fused.loss_and_slope, A(0, 3), np.zeros(0, int)),
    case(fused.loss_and_slope, A(4, 3), positive(4, 3), spelling=lambda z, y: fused.loss_and_slope(z, y / 4)),
    case(fused.loss_and_slope, A(2, 1, 3), positive(2, 1, 3), spelling=lambda z, y: fused.loss_and_slope(z, y / 4)),
]
