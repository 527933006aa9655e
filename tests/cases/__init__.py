"""Every form of every rule, one line each, on one page per family as in ``tinygrad_np/rules/``.

A new rule needs a line here, or ``test_rules.py`` fails and says so; the line is all the testing that it needs.
"""

from cases import elementwise, fused, indexing, movement, products, reductions, shapes
from cases.case import Case, case

__all__ = ["CASES", "Case", "case"]

CASES: list[Case] = [
    *elementwise.CASES,
    *reductions.CASES,
    *shapes.CASES,
    *indexing.CASES,
    *movement.CASES,
    *products.CASES,
    *fused.CASES,
]
