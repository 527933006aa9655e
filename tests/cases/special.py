"""Cases of ``special.py``."""

from cases.case import A, Case, at, case
from tinygrad_np import special

CASES: list[Case] = [
    case(special.erfc, A(3, 4), third=True),
    case(special.erfc, at(-5, -0.3, 0, 0.4, 3, 6)),
    case(special.erfc, A(0, 2)),
    case(special.erfc, A()),
]
