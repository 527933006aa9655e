"""Exceptions, each also the builtin one that a NumPy user would catch."""

from typing import Any

import numpy as np

__all__ = [
    "BadAxisError",
    "BadIndexError",
    "CaptureError",
    "DtypeError",
    "EscapeError",
    "FreedGraphError",
    "GradcheckError",
    "GradientError",
    "LeafUpdateError",
    "MissingMethodError",
    "MissingRuleError",
    "RuleError",
    "ShapeError",
    "StaleGraphError",
    "TinygradError",
    "UnsupportedArgumentError",
]


class TinygradError(Exception):
    """Base class of every exception that this library raises on purpose."""


class ShapeError(TinygradError, ValueError):
    """Shapes, or other argument values, that the operation cannot combine."""


class CaptureError(TinygradError, RuntimeError):
    """A function does what a compiled program could not repeat."""


class DtypeError(TinygradError, TypeError):
    """A dtype or Python type that the operation, or a gradient, cannot have."""


class BadIndexError(TinygradError, IndexError):
    """An index outside of the array, or of a kind that does not index."""


class BadAxisError(TinygradError, np.exceptions.AxisError):
    """An axis that the array does not have."""


class GradientError(TinygradError, ValueError):
    """A gradient was asked for where there is none, or without saying of what."""


class FreedGraphError(TinygradError, RuntimeError):
    """Backward through a graph whose arrays an earlier backward let go of."""


class StaleGraphError(TinygradError, RuntimeError):
    """Backward through a graph whose recorded leaf was updated in place since."""


class LeafUpdateError(TinygradError, RuntimeError):
    """A functional update (``t[i] = v``, ``t += v``) of a leaf that requires a gradient."""


class MissingRuleError(TinygradError, NotImplementedError):
    """A function, or one of its arguments, without a derivative rule."""


class MissingMethodError(TinygradError, AttributeError):
    """An array method that tensors do not have."""


class RuleError(TinygradError, ValueError):
    """A derivative rule returned something that cannot be its input's gradient."""


class EscapeError(TinygradError, TypeError):
    """A recorded tensor would have left the graph without anyone saying so."""


class UnsupportedArgumentError(TinygradError, TypeError):
    """An argument (``out=``, ``where=`` without ``out``, ...) that tensors do not take."""


class GradcheckError(TinygradError, AssertionError):
    """A gradient that is wrong; the attribute `report` tells everything that is known about it."""

    def __init__(self, report: Any) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:  # only now: to say what is to blame takes a while
        return str(self.report)
