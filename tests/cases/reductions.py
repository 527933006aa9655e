"""Cases of ``rules/reductions.py``."""

from cases.case import Case

CASES: list[Case] = []
