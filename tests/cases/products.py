"""Cases of ``rules/products.py``."""

from cases.case import Case

CASES: list[Case] = []
