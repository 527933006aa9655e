"""What a gradient check found, as an object that prints well."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_np.errors import GradcheckError

__all__ = ["Blame", "Kink", "Mistake", "Report"]


@dataclass(frozen=True)
class Mistake:
    """One derivative that is wrong: of an element of an output, with respect to an element of an input.

    Attributes
    ----------
    input, output : str
        Which elements: ``x[3, 1]`` and ``f(x)[2]``, or the whole arrays if only a direction is known.
    index : tuple of int, or None
        The index of the element in its input; None if only a direction is known.
    analytic : float
        The derivative that was checked.
    numerical : float
        The derivative by differences.
    uncertainty : float
        How far the numerical one may be off.
    step : float
        The difference in the input that it comes from.
    noise : float
        How much the output scatters by itself.
    dtype : dtype
        The input's.
    """

    input: str
    output: str
    index: tuple[int, ...] | None
    analytic: float
    numerical: float
    uncertainty: float
    step: float
    noise: float
    dtype: np.dtype[Any]

    @property
    def absolute(self) -> float:
        """The distance between the two derivatives."""
        return abs(self.analytic - self.numerical)

    @property
    def relative(self) -> float:
        """The distance relative to the larger of the two."""
        if not np.isfinite(self.absolute):
            return np.inf
        return self.absolute / (max(abs(self.analytic), abs(self.numerical)) or 1.0)

    @property
    def ulps(self) -> float:
        """The distance in units in the last place of the numerical derivative, in the input's dtype."""
        real = np.finfo(self.dtype).dtype.type
        with np.errstate(all="ignore"):
            return float(self.absolute / np.spacing(np.abs(real(self.numerical))).astype(float))

    def __str__(self) -> str:
        where = f"d {self.output} / d {self.input}"
        return (
            f"{where}\n"
            f"    analytic   {self.analytic: .10g}\n"
            f"    numerical  {self.numerical: .10g}  (give or take {self.uncertainty:.1g}; "
            f"step {self.step:.1g}, noise {self.noise:.1g})\n"
            f"    error      {self.absolute: .3g} absolute, {self.relative:.3g} relative, {self.ulps:.3g} ulps"
        )


@dataclass(frozen=True)
class Kink:
    """An element of an input at which the function is not differentiable.

    Attributes
    ----------
    input : str
        Which element: ``x[3, 1]``.
    left, right : float
        The slopes to both sides, of the output that has the sharpest kink.
    moved : bool
        Whether the point was moved away, rather than any value between the slopes accepted.
    """

    input: str
    left: float
    right: float
    moved: bool = False

    def __str__(self) -> str:
        text = f"not differentiable at {self.input}: left slope {_slope(self.left)}, right slope {_slope(self.right)}"
        return f"{text}; checked at a point nearby" if self.moved else text


def _slope(value: float) -> str:
    return "undefined" if np.isnan(value) else "0" if value == 0 else f"{value:.6g}"


@dataclass(frozen=True)
class Blame:
    """The first operation on the way whose own derivative is wrong.

    Attributes
    ----------
    operation : str
        The call, with shapes and dtypes.
    rule : str
        The rule's name, and the line that defines it.
    argument : int
        Which argument of the call the rule is for, from 0.
    order : int
        1 if the rule's gradient is wrong, 2 if the derivative of its gradient is, and so on.
    """

    operation: str
    rule: str
    argument: int
    order: int

    def __str__(self) -> str:
        what = {1: "gradient", 2: "second derivative"}.get(self.order, f"derivative of order {self.order}")
        return f"{self.operation}: the rule {self.rule} gives argument {self.argument} a wrong {what}"


@dataclass
class Report:
    """What `gradcheck` and `check_gradient` found. It is true if everything is right, and prints as a text.

    Attributes
    ----------
    function : str
        What was checked.
    order : int
        The order of the derivatives that the findings are about, or the highest that was checked.
    problems : list of str
        What is wrong as a whole: an input changed in place, a function that is not deterministic, a wrong shape, an
        input around which the function has no derivative to compare with, a rule that is not linear in its cotangent
    mistakes : list of Mistake
        The wrong derivatives with the largest errors, worst first.
    kinks : list of Kink
        Where the function is not differentiable. That alone is no failure, unless asked.
    notes : list of str
        What could not be checked, and why.
    blame : Blame or None
        The operation and rule that is wrong on its own, if there is one. It is looked for when it is first asked for.
    advice : str
        What it may be instead, if there is none.
    snippet : str
        A few lines that show the worst mistake.
    nonlinear : bool
        Whether a problem is that the gradient is not linear in the cotangent.
    """

    function: str
    order: int = 1
    problems: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    snippet: str = ""
    nonlinear: bool = False
    investigation: Callable[[], Blame | None] | None = field(default=None, repr=False, compare=False)

    @functools.cached_property
    def blame(self) -> Blame | None:
        return self.investigation() if self.investigation else None

    @property
    def advice(self) -> str:
        if not self.investigation or not self.mistakes or self.blame:
            return ""
        lost = dict.fromkeys(m.input.partition("[")[0] for m in self.mistakes if m.analytic == 0)
        if lost:
            return (
                f"no gradient comes back to {', '.join(lost)}, and every recorded operation is right on its own: it "
                "was dropped on the way, by t.data, t.detach(), no_grad, or a rule that computes with arrays of its own"
            )
        return "every recorded operation is right on its own: part of the gradient is lost between them"

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.problems or self.mistakes)

    def __bool__(self) -> bool:
        return self.passed

    def raise_on_failure(self) -> None:
        """Raise if something is wrong.

        Raises
        ------
        GradcheckError
            With the report as its message and its attribute ``report``.
        """
        if not self.passed:
            raise GradcheckError(self)

    def __str__(self) -> str:
        of = {1: "the gradient", 2: "the second derivative"}.get(self.order, f"the derivative of order {self.order}")
        parts = [f"{of} of {self.function} is {'right' if self.passed else 'wrong'}"]
        parts += self.problems
        parts += [str(mistake) for mistake in self.mistakes]
        if self.blame:
            parts.append(f"to blame: {self.blame}")
        parts += [f"note: {text}" for text in (*_few(self.kinks), *self.notes)]
        parts += [self.advice] if self.advice else []
        if self.snippet:
            parts.append(f"to reproduce:\n{_indented(self.snippet)}")
        return "\n\n".join(_indented(part) if i else part for i, part in enumerate(parts))


def _few(items: list[Kink], most: int = 8) -> list[str]:
    texts = [str(item) for item in items[:most]]
    return texts if len(items) <= most else [*texts, f"and {len(items) - most} more such points"]


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else line for line in text.split("\n"))
