"""Cases of ``rules/indexing.py``."""

from cases.case import Case

CASES: list[Case] = []
