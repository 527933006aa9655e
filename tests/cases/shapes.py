"""Cases of ``rules/shapes.py``."""

from cases.case import Case

CASES: list[Case] = []
