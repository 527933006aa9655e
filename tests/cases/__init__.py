"""Every form of every rule, one line each, on one page per family as in ``tinygrad_np/rules/``.

A new rule needs a line here, or ``test_rules.py`` fails and says so; the line is all the testing that it needs. A new
family is a new module with a list ``CASES``, imported and added up below; `case.py` says what a line may hold.
"""

from cases import (
    creation,
    cumulative,
    elementwise,
    fft,
    fused,
    indexing,
    linalg,
    movement,
    nan_reductions,
    numerics,
    padding,
    polynomials,
    products,
    reductions,
    shapes,
    sorting,
    special,
    statistics,
    ufunc_methods,
)
from cases.case import Case, case

__all__ = ["CASES", "Case", "case"]

CASES: list[Case] = [
    *elementwise.CASES,
    *reductions.CASES,
    *shapes.CASES,
    *indexing.CASES,
    *movement.CASES,
    *padding.CASES,
    *creation.CASES,
    *numerics.CASES,
    *statistics.CASES,
    *polynomials.CASES,
    *products.CASES,
    *linalg.CASES,
    *fft.CASES,
    *sorting.CASES,
    *cumulative.CASES,
    *nan_reductions.CASES,
    *ufunc_methods.CASES,
    *fused.CASES,
    *special.CASES,
]
