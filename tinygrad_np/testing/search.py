"""Finding the wrong derivatives of a problem: random projections say that there are some, bisection says which.

One projection compares a number: how a random combination of the outputs changes along a random direction in the
inputs, by differences and by the gradient. For one wrong derivative among many to show, nothing else may drown it.
So outputs are weighed by how much they change, directions by how large the inputs are, inputs whose shares in the
result differ by orders of magnitude are checked apart, and the tolerance is what was measured: noise and error of each
output's differences, and nothing proportional to the number of elements.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from tinygrad_np.testing.linearity import Nonlinearity, nonlinearities
from tinygrad_np.testing.numerical import FIRST, Slope, differentiate
from tinygrad_np.testing.problem import Problem, Pull, random_like
from tinygrad_np.testing.projections import (
    Direction,
    element_name,
    length,
    part_name,
    projected,
    real_product,
    scales_of,
    terms_of,
    with_one_side,
)
from tinygrad_np.testing.report import Kink, Mistake

__all__ = ["Search"]

Array = np.ndarray[Any, Any]

SAFETY = 10.0  # how many times the estimated error of a numerical derivative is allowed
ROUNDING = 64.0  # how many roundings of each term the gradient may have suffered
PROJECTIONS = 2  # how many combinations of the outputs each direction is checked with
BAND = 1e-3  # elements whose shares in the result differ by more than this are checked apart
SINGLY = 16  # up to how many elements are looked at one by one rather than bisected
KINKS = 64  # how many kinks are looked for before they are judged together
NEARBY, MANY, NEAR = 8, 32, 1e-6  # how many points near a kink, or what may be one, are looked at, and how near
OUTRIGHT = 10.0  # score of what is wrong beyond doubt
OUT = 0.5  # score of a part that is gone into, once the whole has scored above 1
BUDGET = 400  # directions tried on the way to the wrong elements of one input
BLIND = 0.1  # what share of all that the gradient says an error may have before nothing can be seen any more
TRUSTED = 2.0**10  # how many roundings the noise along one direction may have to be taken for that along others
TURNS = 1e-3  # how much slopes nearby differ, relative to themselves, where there is a kink
NEARER, NEAREST = 1e-2, 1e-10  # how much nearer the next points are to tell a kink from a fast curve, and how near last


@dataclass
class Search:
    """One search, at one point.

    Parameters
    ----------
    problem : Problem
        What to check.
    arrays : list of ndarray
        Where: as wide as differences should be computed.
    rng : numpy.random.Generator
        Where projections and directions come from.
    rtol : float
        Relative error that counts as none.
    most : int
        After how many mistakes to stop.
    complex_step : bool
        Whether imaginary steps may be tried.
    """

    problem: Problem
    arrays: list[Array]
    rng: np.random.Generator
    rtol: float = 1e-7
    most: int = 6
    complex_step: bool = True
    mistakes: list[Mistake] = field(default_factory=list)
    kinks: dict[tuple[int, int], Kink] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    nonlinear: dict[int, Nonlinearity] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values, self.pull = self.problem.pullback([x.copy() for x in self.arrays])
        self.eps = max((float(np.finfo(x.dtype).eps) for x in self.arrays), default=0.0)
        out_eps = [np.full(y.size, max(self.eps, float(np.finfo(y.dtype).eps))) for y in self.values]
        self.out_eps = np.concatenate([*out_eps, np.zeros(0)])
        self.origin = self._flat(self.problem.outputs(self.arrays))
        self.scales = [scales_of(x) for x in self.arrays]
        self.noise: Array | None = None
        # Elements without a derivative by differences, and whether there is at least a bad one.
        self.unseen: list[dict[int, bool]] = [{} for _ in self.arrays]
        self.halvings = [BUDGET] * len(self.arrays)
        real = all(a.dtype.kind == "f" for a in (*self.arrays, *self.values))
        self.complex_step = self.complex_step and real

    # ------------------------------------------------------------------------------------------------------ the search

    def run(self, progress: Callable[[Sequence[Any]], Any] = iter) -> None:
        """Look at everything."""
        if not self.origin.size or not any(x.size for x in self.arrays):
            return
        self._weigh()
        if self.nonlinear:
            for j, what in self.nonlinear.items():
                self.problems.append(
                    f"the gradient of {self.problem.function} by {self.problem.names[j]} is not linear in the "
                    f"cotangent: at {self._input_name(j, what.element)}, {what}"
                )
            return
        for j, elements in progress(self._groups()):
            if len(self.mistakes) < self.most:
                self._check(j, elements)
        self._tell_unseen()
        self.mistakes.sort(key=lambda mistake: -mistake.relative)

    def first_suspect(self) -> int | None:
        """The first input whose gradient is plainly wrong, without looking where."""
        if not self.origin.size or not any(x.size for x in self.arrays):
            return None
        self._weigh()
        if self.nonlinear:
            return min(self.nonlinear)
        for j, elements in self._groups():
            elements = elements[~self._is_tiny(j)[elements]]
            if elements.size and all(self._suspicion(j, elements) > OUTRIGHT for _ in range(2)):
                return j
        return None

    def _groups(self) -> list[tuple[int, Array]]:
        """What is checked together: elements of one input."""
        return [(j, band) for j in range(len(self.arrays)) for band in self._bands(j)]

    def _weigh(self) -> None:
        """Choose the combinations of outputs, each output weighed by how much it changes, and pull them back."""
        self.everywhere = {j: self._direction(j, np.arange(x.size)) for j, x in enumerate(self.arrays)}
        slope = self._slope(self.everywhere, complex_step=False)
        largest = np.max(np.abs(self.origin), initial=0, where=np.isfinite(self.origin))
        if np.all(slope.noise <= TRUSTED * self.out_eps * largest):  # else it may be jumps, along this direction alone
            self.noise = slope.noise
        size = np.fmax(np.abs(slope.left), np.abs(slope.right))
        size = np.fmax(size, 1e5 * np.where(np.isfinite(slope.error), slope.error, 0))
        finite = np.isfinite(self.origin)
        if not np.all(finite):
            self.notes.append(f"{np.sum(~finite)} outputs are not finite: left out")
        size = np.where(finite & np.isfinite(size), size, 0)
        weights = np.where(finite, 1 / np.where(size > 0, size, np.max(size) or 1.0), 0)
        self.cotangents = [weights * random_like(self.origin, self.rng) for _ in range(PROJECTIONS)]
        self.slopes = [self._pulled(g) for g in self.cotangents]
        self.nonlinear = nonlinearities(self._pulled, self.cotangents, self.slopes, self.out_eps, self.rng)
        # What the gradient says in all, but no less than if the function grew with its inputs.
        values = np.where(finite, self.origin, 0)
        self.sizes = [
            max(length(terms_of(s, self.everywhere)), length(g * values))
            for g, s in zip(self.cotangents, self.slopes, strict=True)
        ]
        self.seen = self._seen(slope)

    def _seen(self, slope: Slope) -> list[Array]:
        """The elements that need no second look: all moved at once, and a mistake in one of these would have shown."""
        seen = [np.zeros(x.size, bool) for x in self.arrays]
        if np.any(slope.kinked) or self._mismatch(self.everywhere, slope) > 1:
            return seen
        for g, s in zip(self.cotangents, self.slopes, strict=True):
            terms = np.abs(terms_of(s, self.everywhere))
            clear = terms > max(100 * self._tolerance(terms, projected(g, slope)[2]), BAND * np.max(terms, initial=0))
            parts = np.split(clear, np.cumsum([x.size for x in self.arrays])[:-1])
            seen = [old | new for old, new in zip(seen, parts, strict=True)]
        return seen

    def _bands(self, j: int) -> Iterator[Array]:
        """The elements of one input, in groups of similar shares in the result; those without a share by themselves."""
        share = self.scales[j] * np.max([np.abs(s[j]).ravel() for s in self.slopes], axis=0)
        movable = (self.scales[j] > 0) & np.isfinite(share)
        for element in np.flatnonzero((self.scales[j] > 0) & ~np.isfinite(share)):
            self._check_infinite(j, int(element))
        if not np.all(self.scales[j] > 0):
            self.notes.append(
                f"{np.sum(self.scales[j] == 0)} elements of {self.problem.names[j]} are not finite: left out"
            )
        if not np.any(movable):
            return
        share = np.where(movable, share, 0)
        top = np.max(share, initial=0.0)
        with np.errstate(divide="ignore"):
            band = np.clip(np.floor(np.log(share / (top or 1.0)) / np.log(BAND) + 1e-9), 0, 4)
        band = np.where(share == 0, 5, band)
        movable &= ~self.seen[j]
        for number in np.unique(band[movable]):
            yield np.flatnonzero(movable & (band == number))

    def _check_infinite(self, j: int, element: int) -> None:
        """A gradient that is infinite or NaN is wrong, unless the function has no finite slope either."""
        direction = np.zeros(self.arrays[j].shape, self.arrays[j].dtype)
        direction.flat[element] = scale = self.scales[j][element]
        slope = self._slope({j: direction}, complex_step=False)
        unknown = SAFETY * slope.error > np.max(np.abs(slope.value))
        steep = ~np.isfinite(slope.value) | slope.kinked | unknown
        if np.any(steep):
            k = int(np.argmax(steep))
            left, right = (np.nan if unknown[k] else float(np.real(s[k])) / scale for s in (slope.left, slope.right))
            self.kinks.setdefault((j, element), Kink(self._input_name(j, element), left, right))
        else:
            for output, part in self._wrong_outputs(j, direction, slope, most=1):
                self.mistakes += self._mistake(j, element, 1, scale, slope, output, part)

    def _check(self, j: int, elements: Array) -> None:
        """Check the derivatives with respect to some elements of one input together, and go into what is wrong."""
        v, slope = self._look(j, elements)
        if np.any(slope.kinked):
            found = set(self._bisect(j, elements, self._bend, KINKS))
            if len(found) == KINKS:
                self.notes.append(f"{self.problem.names[j]} has more kinks; what is beyond {KINKS} was judged together")
            for element in found:
                self._confirm(j, element)
            elements = np.array([e for e in elements if e not in found], int)
            if not elements.size:
                return
            v, slope = self._look(j, elements)
        if self._is_blind(slope):
            self._check_apart(j, elements, v, slope)
            return
        if self._mismatch({j: v}, slope) <= 1:
            return
        room = self.most - len(self.mistakes)
        suspects = list(self._bisect(j, elements, self._suspicion, room))
        if sum(self._confirm(j, element) for element in suspects) == 0 and not self._kinks_among(j, suspects):
            others = elements[~self._is_tiny(j)[elements]]  # tiny ones were moved too far to say anything in all
            if others.size == elements.size:
                self._confirm_direction(j, elements)
            elif others.size:
                self._check(j, others)

    def _check_apart(self, j: int, elements: Array, v: Array, slope: Slope) -> None:
        """Go on with fewer elements, as one at the end of its range, or at a jump, hides what the others do."""
        exists = bool(np.any(np.isfinite(slope.error)))
        if elements.size == 1 or not self.halvings[j] or (exists and self._is_rounding({j: v})):
            self.unseen[j] |= dict.fromkeys(elements.tolist(), exists)
            return
        self.halvings[j] -= 1
        for half in np.array_split(elements, 2):
            self._check(j, half)

    def _tell_unseen(self) -> None:
        for j, unseen in enumerate(self.unseen):
            some = ", ".join(self._input_name(j, element) for element in list(unseen)[:3])
            if unseen and len(unseen) == self.arrays[j].size and not any(unseen.values()):
                self.problems.append(
                    f"the gradient of {self.problem.names[j]} could not be checked: around it, {self.problem.function} "
                    "raises, jumps, or is not finite. Check at another point"
                )
            elif unseen:
                self.notes.append(f"no derivative by differences at {some}{', ...' * (len(unseen) > 3)}: not checked")

    def _bisect(self, j: int, elements: Array, score: Callable[[int, Array], float], most: int) -> Iterator[int]:
        """Elements that stand out by themselves: halves of what stands out, the highest score first."""
        if elements.size <= SINGLY:
            scored = sorted(((score(j, elements[i : i + 1]), int(e)) for i, e in enumerate(elements)), reverse=True)
            yield from [e for s, e in scored if s > OUT][:most]
            return
        queue: list[tuple[float, int, Array]] = [(-np.inf, 0, elements)]
        tried = 0
        while queue and most and tried < BUDGET:
            _, _, part = heapq.heappop(queue)
            if part.size == 1:
                most -= 1
                yield int(part[0])
                continue
            for half in np.array_split(part, 2):
                tried += 1
                found = score(j, half)
                if found > OUT:
                    heapq.heappush(queue, (-found, -tried, half))

    def _suspicion(self, j: int, elements: Array) -> float:
        v, slope = self._look(j, elements)
        return 1.0 if self._is_blind(slope) else self._mismatch({j: v}, slope)

    def _bend(self, j: int, elements: Array) -> float:
        slope = self._slope({j: self._direction(j, elements)}, complex_step=False)
        return 2.0 if np.any(slope.kinked) else 0.0

    def _kinks_among(self, j: int, elements: Sequence[int]) -> bool:
        return any((j, element) in self.kinks for element in elements)

    # ------------------------------------------------------------------------------------------------- the comparisons

    def _mismatch(self, direction: Direction, slope: Slope) -> float:
        """How far the gradient is from the differences, in units of what can be expected; above 1 is suspicious."""
        worst = 0.0
        for g, s in zip(self.cotangents, self.slopes, strict=True):
            low, high, error = projected(g, slope)
            terms = terms_of(s, direction)
            if not np.isfinite(error) or not (np.isfinite(low) and np.isfinite(high)):
                continue
            if not np.all(np.isfinite(terms)):
                return np.inf
            analytic = float(np.sum(terms))
            tolerance = self._tolerance(terms, error)
            off = max(low - analytic, analytic - high, 0.0)
            if off > tolerance > 0:
                tolerance += SAFETY * self._doubt(g, direction, analytic)
            worst = max(worst, off / tolerance if tolerance else np.inf if off else 0.0)
        return worst

    def _is_blind(self, slope: Slope) -> bool:
        """Whether the differences are so bad that a gradient could say anything."""
        for g, size in zip(self.cotangents, self.sizes, strict=True):
            low, high, error = projected(g, slope)
            if not np.isfinite([low, high, error]).all() or SAFETY * error > BLIND * size > 0:
                return True
        return False

    def _is_rounding(self, direction: Direction) -> bool:
        """Whether the gradient is another one where the inputs are a few roundings off."""
        analytic = float(np.sum(terms_of(self.slopes[0], direction)))
        return self._doubt(self.cotangents[0], direction, analytic) > BLIND * self.sizes[0]

    def _tolerance(self, terms: Array, error: float) -> float:
        size = float(np.sqrt(np.sum(terms**2)))
        return SAFETY * error + 0.1 * self.rtol * size + ROUNDING * self.eps * float(np.sum(np.abs(terms)))

    def _doubt(self, g: Array, direction: Direction, analytic: float) -> float:
        """How much rounding may have changed the gradient along a direction, and the function's own derivative.

        The best that function and gradient can do is to be right at inputs that differ in their last digits, so the
        gradients of some such inputs tell.
        """

        def change(pull: Pull) -> float:
            with np.errstate(all="ignore"):
                return abs(float(np.sum(terms_of(pull(self._unflat(g)), direction))) - analytic)

        return max(map(change, self._pulls_nearby), default=0.0)

    @functools.cached_property
    def _pulls_nearby(self) -> list[Pull]:
        """The pullback where all inputs are a few roundings longer or shorter. What is equal or zero stays so."""
        with np.errstate(all="ignore"):
            pulls = []
            for digits in (3, -5, 11):
                with suppress(Exception):  # outside of where the function is defined
                    point = [np.asarray(x * (1 + digits * self.eps), x.dtype) for x in self.arrays]
                    outputs, pull = self.problem.pullback(point)
                    if [y.shape for y in outputs] == [y.shape for y in self.values]:
                        pulls.append(pull)
            return pulls

    def _confirm(self, j: int, element: int) -> bool:
        """Compare the derivatives with respect to one element with all outputs, and note those that are wrong."""
        before = len(self.mistakes)
        x = self.arrays[j]
        for unit in (1, 1j) if x.dtype.kind == "c" else (1,):
            direction, scale, slope = self._along_element(j, element, unit)
            if scale < self.scales[j][element] and self._is_vague(slope):
                self.unseen[j][element] = True
                continue
            if np.any(slope.kinked):
                self._note_kink(j, element, scale, slope)
                slope = self._with_slopes_nearby(slope, {j: direction})
            found = self._wrong_outputs(j, direction, slope)
            mistakes = [m for wrong in found for m in self._mistake(j, element, unit, scale, slope, *wrong)]
            if mistakes:
                near = self._with_slopes_nearby(slope, {j: direction}, MANY)
                if np.any(near.kinked) and not self._wrong_outputs(j, direction, near):
                    self._note_kink(j, element, scale, near)
                    continue
            self.mistakes += mistakes
        return len(self.mistakes) > before

    def _is_tiny(self, j: int) -> Array:
        """The elements that move further than they are from zero, as they are tiny beside the others."""
        size = np.abs(self.arrays[j]).ravel()
        tiny: Array = (size > 0) & (size < self.scales[j])
        return tiny

    def _along_element(self, j: int, element: int, unit: complex) -> tuple[Array, float, Slope]:
        """The direction of one element, how long it is, and the slope along it.

        A tiny element moves further than it is from zero, so that noise drowns nothing. But where the function ends or
        bends on that way, which shorter steps tell, only steps that fit the element say anything.
        """

        def along(scale: float) -> tuple[Array, float, Slope]:
            direction = np.zeros(self.arrays[j].shape, self.arrays[j].dtype)
            direction.flat[element] = scale * unit
            return direction, scale, self._slope({j: direction})

        far = along(float(self.scales[j][element]))
        if not self._is_tiny(j)[element]:
            return far
        near = along(float(np.abs(self.arrays[j].flat[element])))
        slopes, errors = ([getattr(s, name) / scale for _, scale, s in (far, near)] for name in ("value", "error"))
        agree = np.abs(slopes[0] - slopes[1]) <= SAFETY * (errors[0] + errors[1])
        return far if np.all(agree) and not np.any(far[2].kinked) and self._is_defined_around(j, far[0]) else near

    def _is_defined_around(self, j: int, direction: Array) -> bool:
        """Whether the function goes on to both sides."""
        for sign in (1, -1):
            arrays = list(self.arrays)
            arrays[j] = arrays[j] + sign * FIRST * direction
            try:
                with np.errstate(all="ignore"):
                    found = self._flat(self.problem.outputs(arrays))
            except Exception:
                return False
            if found.shape != self.origin.shape or np.any(np.isfinite(self.origin) & ~np.isfinite(found)):
                return False
        return True

    def _is_vague(self, slope: Slope) -> bool:
        """Whether nothing is known of a slope, of any output that moves."""
        return bool(np.all(~np.isfinite(slope.error) | (SAFETY * slope.error > np.abs(slope.value))))

    def _with_slopes_nearby(self, slope: Slope, direction: Direction, points: int = NEARBY) -> Slope:
        """The slopes to both sides of a kink, and what the slope is at points nearby, which may be something else.

        Where three elements are equal, none of them moves the middle of the sorted ones by itself.
        """
        found = self._slopes_around(slope, direction, points, NEAR)
        turns = _turns(found, slope)
        # Of a smooth curve, however fast, the slopes come together as the points come nearer; around a kink they stay.
        before, distance = found, NEAR
        while np.any(turns & ~slope.kinked) and distance > NEAREST:
            distance *= NEARER
            closer = self._slopes_around(slope, direction, points, distance)
            apart, now = before.right - before.left, closer.right - closer.left
            clear = SAFETY * closer.error < apart / 4
            turns &= slope.kinked | ~clear | (now > apart / 2)
            before = closer
        smooth = _turns(found, slope) & ~turns
        left, right = np.where(smooth, slope.left, found.left), np.where(smooth, slope.right, found.right)
        error = np.where(smooth, slope.error, found.error)
        return replace(slope, left=left, right=right, error=error, kinked=slope.kinked | turns)

    def _slopes_around(self, slope: Slope, direction: Direction, points: int, distance: float) -> Slope:
        """The lowest and the highest slope at and around a point."""
        left, right = np.minimum(slope.left, slope.right), np.maximum(slope.left, slope.right)
        error = slope.error
        for _ in range(points):
            moved = [x + distance * self._direction(j, np.arange(x.size)) for j, x in enumerate(self.arrays)]
            near = self._slope(direction, complex_step=False, at=moved)
            left = np.fmin(left, np.fmin(near.left, near.right))
            right = np.fmax(right, np.fmax(near.left, near.right))
            error = np.fmax(error, np.where(np.isfinite(near.error), near.error, 0))
        return replace(slope, left=left, right=right, error=error)

    def _wrong_outputs(self, j: int, v: Array, slope: Slope, most: int = 2) -> list[tuple[int, complex]]:
        """The outputs, real or imaginary part, whose derivative with respect to one element is the furthest off."""
        usable = np.flatnonzero((self.cotangents[0] != 0) & np.isfinite(slope.error))
        parts = (1, 1j) if self.origin.dtype.kind == "c" else (1,)
        queue = [(1.0, i, part, usable) for i, part in enumerate(parts)]  # those that were looked at are below 0
        found: list[tuple[int, complex]] = []
        count = len(parts)
        while queue and len(found) < most and count < BUDGET:
            score, _, part, outputs = heapq.heappop(queue)
            if outputs.size == 1 and score < 0:
                found.append((int(outputs[0]), part))
                continue
            for half in np.array_split(outputs, 2) if outputs.size > 1 else [outputs]:
                count += 1
                g = np.zeros_like(self.origin)
                g[half] = np.abs(self.cotangents[0][half]) * random_like(self.origin[half].real, self.rng) * part
                low, high, error = projected(g, slope)
                analytic = float(np.sum(real_product(self._pulled(g)[j], v)))
                off = max(low - analytic, analytic - high, 0.0) if np.isfinite(analytic) else np.inf
                tolerance = SAFETY * error + self.rtol * max(abs(low), abs(high), abs(analytic) if off < np.inf else 0)
                if off > tolerance:
                    heapq.heappush(queue, (-off / tolerance if tolerance else -1e300, count, part, half))
        return found

    def _mistake(
        self, j: int, element: int, unit: complex, scale: float, slope: Slope, output: int, part: complex
    ) -> list[Mistake]:
        """One wrong derivative, if it is wrong by more than the gradient's own rounding."""
        g = np.zeros_like(self.origin)
        g[output] = part
        analytic = float(real_product(self._pulled(g)[j].ravel()[element], np.array(unit)))
        direction = np.zeros(self.arrays[j].shape, self.arrays[j].dtype)
        direction.flat[element] = unit
        doubt = self._doubt(g, {j: direction}, analytic)
        low, high, error = (value / scale for value in projected(g, slope))
        numerical = float(np.clip(analytic, low, high)) if np.isfinite(analytic) else (low + high) / 2
        numerical = low if analytic < low else high if analytic > high else numerical
        allowed = SAFETY * (error + doubt) + self.rtol * max(abs(numerical), abs(analytic))
        if abs(analytic - numerical) <= allowed:
            return []
        index = tuple(int(i) for i in np.unravel_index(element, self.arrays[j].shape))
        return [
            Mistake(
                input=part_name(self._input_name(j, element), unit, self.arrays[j]),
                output=part_name(self._output_name(output), part, self.origin),
                index=index,
                analytic=analytic,
                numerical=numerical,
                uncertainty=error,
                step=float(slope.step[output] * scale),
                noise=float(slope.noise[output]),
                dtype=self.problem.arrays[j].dtype,
            )
        ]

    def _note_kink(self, j: int, element: int, scale: float, slope: Slope) -> None:
        jump = np.where(slope.kinked, np.abs(slope.right - slope.left), -1)
        k = int(np.argmax(jump))
        left, right = (float(np.real(side[k])) / scale for side in (slope.left, slope.right))
        self.kinks.setdefault((j, element), Kink(self._input_name(j, element), left, right))

    def _confirm_direction(self, j: int, elements: Array) -> None:
        """What no element shows by itself counts only if it is large, and so along another direction as well."""
        for _ in range(2):
            v, slope = self._look(j, elements, complex_step=False)
            if self._mismatch({j: v}, slope) <= OUTRIGHT:
                return
        if self._mismatch({j: v}, self._with_slopes_nearby(slope, {j: v}, MANY)) <= 1:
            self.notes.append(f"{self.problem.names[j]} has a kink that none of its elements shows by itself")
            return
        g = self.cotangents[0]
        low, high, error = projected(g, slope)
        analytic = float(np.sum(real_product(self.slopes[0][j], v)))
        self.mistakes.append(
            Mistake(
                input=f"{self.problem.names[j]}, along a random direction",
                output=f"a random combination of {self.problem.call_text()}",
                index=None,
                analytic=analytic,
                numerical=(low + high) / 2,
                uncertainty=error,
                step=float(np.nanmedian(slope.step)),
                noise=float(np.nanmax(slope.noise)),
                dtype=self.problem.arrays[j].dtype,
            )
        )

    # ------------------------------------------------------------------------------------------------ what it stands on

    def _direction(self, j: int, elements: Array) -> Array:
        """A random direction in which only some elements of an input move, each by about its own size."""
        x = self.arrays[j]
        v = np.zeros(x.size, x.dtype)
        v[elements] = random_like(v[elements], self.rng) * self.scales[j][elements]
        return cast(Array, v.reshape(x.shape))

    def _look(self, j: int, elements: Array, complex_step: bool = True) -> tuple[Array, Slope]:
        """A direction in which some elements of an input move, and the slope along it.

        If nothing can be seen along a random one, it leads towards the middle: at the ends of their range, inward.
        """
        x = self.arrays[j]
        slope = self._slope({j: (v := self._direction(j, elements))}, complex_step)
        if x.dtype.kind == "f" and self._is_blind(slope):
            finite = x[np.isfinite(x)]
            v = np.where(x > (np.min(finite) + np.max(finite)) / 2, -np.abs(v), np.abs(v))
            slope = self._slope({j: v}, complex_step)
        return v, slope

    def _slope(self, direction: Direction, complex_step: bool = True, at: list[Array] | None = None) -> Slope:
        largest = max((float(np.max(np.abs(v), initial=0)) for v in direction.values()), default=0.0)

        def curve(t: Any) -> Array:
            if t == 0 and at is None:
                return self.origin
            arrays = list(at or self.arrays)
            for j, v in direction.items():
                moved = arrays[j] + t * v
                arrays[j] = np.asarray(moved if isinstance(t, complex) else moved.astype(v.dtype, copy=False))
            try:
                found = self._flat(self.problem.outputs(arrays))
            except Exception:
                if isinstance(t, complex):
                    raise
                found = None  # outside of where the function is defined
            return found if found is not None and found.size == self.origin.size else np.full_like(self.origin, np.nan)

        farthest = max(1.0, 1 / largest) if largest else 1.0
        complex_step = self.complex_step and complex_step
        slope = differentiate(curve, eps=self.out_eps, farthest=farthest, complex_step=complex_step, noise=self.noise)
        if at is None and np.any(np.isnan(slope.value) & np.isfinite(self.origin)):
            for ahead, sign in ((curve, 1), (lambda t: curve(-t), -1)):
                slope = with_one_side(slope, differentiate(ahead, eps=self.out_eps, forward=True), sign)
        return slope

    def _pulled(self, g: Array) -> list[Array]:
        with np.errstate(all="ignore"):
            return self.pull(self._unflat(g))

    def _flat(self, outputs: Sequence[Array]) -> Array:
        kind = np.result_type(np.float64, *(y.dtype for y in outputs))
        return np.concatenate([*(np.ravel(y).astype(kind) for y in outputs), np.zeros(0, kind)])

    def _unflat(self, g: Array) -> list[Array]:
        parts, start = [], 0
        for y in self.values:
            part = g[start : start + y.size].reshape(y.shape)
            parts.append((part if y.dtype.kind == "c" else part.real).astype(y.dtype))
            start += y.size
        return parts

    def _input_name(self, j: int, element: int) -> str:
        index = np.unravel_index(element, self.arrays[j].shape)
        return element_name(self.problem.names[j], tuple(int(i) for i in index))

    def _output_name(self, flat: int) -> str:
        for i, y in enumerate(self.values):
            if flat < y.size:
                name = self._whole_output(i)
                return element_name(name, tuple(int(k) for k in np.unravel_index(flat, y.shape)))
            flat -= y.size
        raise AssertionError("there is no such output")

    def _whole_output(self, i: int) -> str:
        several = len(self.values) > 1 or getattr(self.problem, "outputs_named", None)
        return self.problem.call_text(output=i if several else None)


def _turns(around: Slope, slope: Slope) -> Array:
    """Where slopes around a point differ by more than errors."""
    turn = around.right - around.left
    largest = np.fmax(np.abs(around.left), np.abs(around.right))
    found: Array = slope.kinked | (turn > TURNS * largest) & (turn > SAFETY * around.error)
    return found
