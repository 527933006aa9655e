"""`gradcheck` and `check_gradient`: is this gradient right, and if not, where and why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal, cast

import numpy as np

from tinygrad_np.errors import GradientError, RuleError
from tinygrad_np.testing.blame import find_blame
from tinygrad_np.testing.problem import PlainProblem, Problem, TensorProblem, random_like, tensor_problem
from tinygrad_np.testing.report import Blame, Kink, Mistake, Report
from tinygrad_np.testing.search import Search

__all__ = ["check_gradient", "gradcheck"]

Array = np.ndarray[Any, Any]
Kinks = Literal["between", "move", "fail"]

WIDE = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "strided": lambda x: np.stack([x, x], axis=-1)[..., 0],
    "reversed": lambda x: np.flip(np.copy(np.flip(x), order="C")),
    "Fortran-ordered": lambda x: np.transpose(np.copy(np.transpose(x), order="C")),
}
"""The same array otherwise laid out in memory; each takes arrays and Tensors."""
CANCELS = 16.0  # how much more than roundings of its input the order of a sum may change a function
MOVES = 3  # how often a point is moved away from kinks
LITERAL = 24  # how many elements an input may have to be written out in the snippet


def gradcheck(
    fn: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    parameters: Any = None,
    rtol: float = 1e-7,
    kinks: Kinks = "between",
    layouts: bool = True,
    seed: int | None = None,
    elements: int = 6,
    progress: bool | None = None,
    raise_on_failure: bool = True,
    **kwargs: Any,
) -> Report:
    """Check the gradient of a function of Tensors, of any size, dtype and scale, against differences.

    Random projections find out whether anything is wrong, in a number of calls that does not depend on the number of
    elements; bisection finds which element, and which rule. Steps and tolerances follow from the dtype, the size of
    each element, and the measured noise of the function.

    Parameters
    ----------
    fn : callable
        A function of Tensors that returns a Tensor or nested Tensors, or a `Module`, whose parameters are checked too.
    *inputs, **kwargs
        What to call it with. Float and complex arrays, and Tensors that require a gradient, are checked, also in nested
        dicts, lists and tuples; numbers only if they are not nested; everything else is passed on.
    order : int
        Check the gradient, the gradient of the gradient, and so on, up to this order.
    parameters : Module, or dict or sequence of Tensors, optional
        Leaves that the function uses besides its arguments, to be checked as well; by default those of a Module.
    rtol : float
        Relative error of a single derivative that counts as none, if noise allows to see one at all.
    kinks : {"between", "move", "fail"}
        At an element where the function is not differentiable: accept a gradient between the slopes to both sides,
        check at a point nearby, or fail. The report names such elements in any case.
    layouts : bool
        Check also that the function sees no difference between contiguous, strided, and otherwise laid out input.
    seed : int, optional
        Seed the library's random numbers before each call, so that dropout is the same every time.
    elements : int
        How many wrong derivatives to look for.
    progress : bool, optional
        Show a progress bar, which needs tqdm. By default for checks of more than two seconds, in a terminal.
    raise_on_failure : bool
        Raise if something is wrong; otherwise only the report tells.

    Returns
    -------
    Report
        True if everything is right; prints as a text.

    Raises
    ------
    GradcheckError
        If something is wrong. It is an AssertionError; its message is the report.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.testing.gradcheck(np.hypot, np.array([3.0, 1.0]), np.array([[4.0], [2.0]]), order=2).passed
    True
    >>> cube = tg.defvjp(lambda x: x * x * x, lambda g, _y, x: g * 2 * x**2)
    >>> report = tg.testing.gradcheck(cube, np.array([1.0, 2.0]), raise_on_failure=False)
    >>> report.mistakes[0].analytic, round(float(report.mistakes[0].numerical), 6)
    (2.0, 3.0)
    """
    if order < 1 or elements < 1:
        raise GradientError(f"gradcheck(): order={order}, elements={elements}: both are counted from 1")
    problem = tensor_problem(fn, inputs, kwargs, parameters, seed)
    report = Report(problem.function, notes=list(problem.notes))
    options = _Options(rtol, kinks, elements, progress)
    _check_conduct(problem, report, layouts)
    level, at = problem, problem.arrays
    for report.order in range(1, order + 1):
        if report.order > 1:
            level = level.derivative(_rng())
        if report.passed:
            at = _check_values(level, report, options)
        if not report.passed:
            break
    if report.mistakes or report.nonlinear:
        report.investigation = lambda: _investigated(problem, level, at, report.order)
    if report.mistakes:
        report.snippet = _snippet(problem, report, "gradcheck")
    if raise_on_failure:
        report.raise_on_failure()
    return report


def check_gradient(
    f: Callable[[Any], Any],
    gradient: Any,
    x: Any,
    *,
    rtol: float = 1e-7,
    kinks: Kinks = "between",
    layouts: bool = True,
    elements: int = 6,
    progress: bool | None = None,
    raise_on_failure: bool = True,
) -> Report:
    """Check a gradient written by hand, of any function of plain arrays that returns a number.

    Parameters
    ----------
    f : callable
        From an array, or nested arrays, to a number. It needs to know nothing of Tensors.
    gradient : callable or array
        From the same to the gradient, in the structure, shapes and dtypes of `x`; or the gradient at `x` itself.
    x : array, or nested dict, list or tuple of arrays
        Where to check.
    rtol, kinks, layouts, elements, progress, raise_on_failure
        As for `gradcheck`.

    Returns
    -------
    Report
        True if everything is right; prints as a text.

    Raises
    ------
    GradcheckError
        If something is wrong. It is an AssertionError; its message is the report.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> x = np.linspace(-1.0, 1.0, 5)
    >>> bool(tg.testing.check_gradient(lambda x: np.sum(x**2), lambda x: 2 * x, x))
    True
    """
    if kinks == "move" and not callable(gradient):
        raise GradientError("check_gradient(): kinks='move' needs the gradient at other points: pass a function")
    problem = PlainProblem(f, gradient, x)
    report = Report(problem.function)
    _check_conduct(problem, report, layouts)
    if report.passed:
        _check_values(problem, report, _Options(rtol, kinks, elements, progress))
    if report.mistakes:
        report.snippet = _snippet(problem, report, "check_gradient")
    if raise_on_failure:
        report.raise_on_failure()
    return report


class _Options:
    def __init__(self, rtol: float, kinks: Kinks, elements: int, progress: bool | None) -> None:
        if kinks not in ("between", "move", "fail"):
            raise GradientError(f"kinks={kinks!r}: it is 'between', 'move' or 'fail'")
        self.rtol, self.kinks, self.elements, self.progress = rtol, kinks, elements, progress

    def bar(self, groups: Sequence[Any]) -> Iterable[Any]:
        """A progress bar, if it takes longer than two seconds and there is somebody to see it."""
        if self.progress is False or (self.progress is None and not sys.stderr.isatty()):
            return groups
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            return groups
        return cast("Iterable[Any]", tqdm(groups, desc="gradcheck", delay=0 if self.progress else 2, leave=False))


def _rng() -> np.random.Generator:
    """The same numbers in every check, so that what failed once fails again."""
    return np.random.default_rng(20240229)


# ------------------------------------------------------------------------------------------------------------ conduct


def _check_conduct(problem: Problem, report: Report, layouts: bool) -> None:
    """Whether function and gradient are the same every time, leave their inputs alone, and do not see strides."""
    first = _run(problem, problem.arrays, report)
    second = _run(problem, problem.arrays, report)
    if first is None or second is None or not report.passed:
        return
    for what, index in ((problem.call_text(), 0), (f"the gradient of {problem.function}", 1)):
        if not _close(first[index], second[index], 64):
            gap = _gap(first[index], second[index])
            report.problems.append(
                f"{what} is not deterministic: two calls with the same input differ by {_text(gap)}. Seed what is "
                "random in it; seed=0 seeds tg.random for each call"
            )
    if not report.passed or not layouts:
        return
    for layout, arranged in LAYOUTS.items():
        found = _run(problem, [arranged(x) for x in problem.arrays], report, layout)
        if found is None:
            return
        for what, index in ((problem.call_text(), 0), (f"the gradient of {problem.function}", 1)):
            eps = max(float(np.finfo(x.dtype).eps) for x in problem.arrays)
            if _close(first[index], found[index], max(1e5, 1e-2 / eps**0.5)):
                continue
            # Of what cancels, sums in another order leave another rest.
            gap = _gap(first[index], found[index])
            if not gap <= CANCELS * _spread(problem, first, index):
                report.problems.append(
                    f"{what} depends on how its input lies in memory: {layout} input changes it by {_text(gap)}"
                )
        if not report.passed:
            return


def _run(
    problem: Problem, arrays: Sequence[Array], report: Report, layout: str = "contiguous"
) -> tuple[list[Array], list[Array]] | None:
    """Values and gradients, while watching that nothing is written to."""
    before = [x.copy() for x in arrays]

    def run() -> tuple[list[Array], list[Array]]:
        outputs, pull = problem.pullback(arrays)
        for name, x, old in zip(problem.names, arrays, before, strict=True):
            if not np.array_equal(x, old, equal_nan=True):
                report.problems.append(f"{problem.call_text()} changes its input {name} in place")
        outputs = [y.copy() for y in outputs]
        cotangents = [random_like(y, rng) for y, rng in ((y, _rng()) for y in outputs)]
        kept = [g.copy() for g in cotangents]
        slopes = [np.array(s) for s in pull(cotangents)]
        for name, x, old in zip(problem.names, arrays, before, strict=True):
            if report.passed and not np.array_equal(x, old, equal_nan=True):
                report.problems.append(f"the gradient of {problem.function} changes its input {name} in place")
        if not all(np.array_equal(g, k) for g, k in zip(cotangents, kept, strict=True)):
            report.problems.append(f"the gradient of {problem.function} changes the cotangent it is given in place")
        for name, s, x in zip(problem.names, slopes, arrays, strict=True):
            if (s.shape, s.dtype) != (x.shape, x.dtype):
                report.problems.append(
                    f"the gradient of {name} is {s.dtype}{s.shape}, where {name} is {x.dtype}{x.shape}"
                )
        return outputs, slopes

    try:
        return run()
    except (RuleError, GradientError) as error:  # what the library says about a rule's result
        if str(error) not in report.problems:
            report.problems.append(str(error))
        return None


def _close(a: Sequence[Array], b: Sequence[Array], roundings: float) -> bool:
    if len(a) != len(b):
        return False
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape:
            return False
        if x.dtype.kind in "fc" and x.size:
            tolerance = roundings * float(np.finfo(x.dtype).eps)
            x, y = (a.astype(WIDE[a.dtype.kind]) for a in (x, y))
            size = np.abs(np.where(np.isfinite(x), x, 0)).max()
            if not np.allclose(x, y, rtol=0, atol=tolerance * size, equal_nan=True):
                return False
    return True


def _gap(a: Sequence[Array], b: Sequence[Array]) -> float:
    """The largest distance between two elements; NaN if the shapes differ."""
    if [x.shape for x in a] != [y.shape for y in b]:
        return np.nan
    with np.errstate(all="ignore"):
        return max((float(np.nanmax(np.abs(x - y), initial=0)) for x, y in zip(a, b, strict=True)), default=0.0)


def _text(gap: float) -> str:
    return "in shape" if np.isnan(gap) else f"{gap:.3g}"


def _spread(problem: Problem, first: tuple[list[Array], list[Array]], index: int) -> float:
    """How much values or gradients change if the inputs are a few roundings off."""
    rng, gaps = _rng(), [0.0]
    for _ in range(4):
        for point in _points_nearby(problem.arrays, rng):
            with suppress(Exception):
                found = _run(problem, point, Report(problem.function))
                if found is not None:
                    gaps.append(_gap(first[index], found[index]))
    return float(np.nanmax(gaps))


# ------------------------------------------------------------------------------------------------------------- values


def _check_values(problem: Problem, report: Report, options: _Options) -> list[Array]:
    """Compare with differences, as wide as the function goes; and a gradient of few digits with that of many.

    Returns where it was checked.
    """
    arrays = [x.astype(np.result_type(x, WIDE[x.dtype.kind])) for x in problem.arrays]
    narrow = any(a.dtype != x.dtype for a, x in zip(arrays, problem.arrays, strict=True))
    if narrow and not _follows(problem, arrays):
        arrays, narrow = [x.copy() for x in problem.arrays], False
    for attempt in range(MOVES + 1):
        rng = _rng()
        try:
            search = Search(problem, arrays, rng, options.rtol, options.elements, complex_step=report.order == 1)
            search.run(options.bar)
        except (RuleError, GradientError) as error:
            report.problems.append(str(error))
            return arrays
        if not (options.kinks == "move" and search.kinks and attempt < MOVES):
            break
        for (j, element), kink in search.kinks.items():
            report.kinks.append(Kink(kink.input, kink.left, kink.right, moved=True))
            arrays[j].flat[element] += search.scales[j][element] * rng.uniform(0.01, 0.02) * rng.choice([-1, 1])
    report.mistakes += search.mistakes
    report.notes += search.notes
    report.problems += search.problems
    report.nonlinear = bool(search.nonlinear)
    if options.kinks != "move":
        report.kinks += search.kinks.values()
    if options.kinks == "fail":
        report.problems += map(str, report.kinks)
    if narrow and report.passed:
        _check_narrow(problem, arrays, report, options)
    return arrays


def _follows(problem: Problem, arrays: Sequence[Array]) -> bool:
    """Whether a function computes the same with more digits."""
    try:
        with np.errstate(all="ignore"):
            wide, native = problem.outputs(arrays), problem.outputs(problem.arrays)
    except Exception:
        return False  # it insists on its dtype
    if [y.shape for y in wide] != [y.shape for y in native]:
        return False
    digits = all(float(np.finfo(y.dtype).eps) < 1e-12 for y in wide)
    return digits and all(
        np.linalg.norm(np.ravel(a - b)[np.isfinite(np.ravel(b))]) <= 0.05 * np.linalg.norm(np.ravel(a)) + 1e-30
        for a, b in zip(wide, native, strict=True)
    )


def _check_narrow(problem: Problem, arrays: Sequence[Array], report: Report, options: _Options) -> None:
    """Compare the gradient in the inputs' own dtypes with the one in double precision, which is right."""
    rng = _rng()
    native = [x.astype(old.dtype) for x, old in zip(arrays, problem.arrays, strict=True)]
    outputs, pull = problem.pullback(native)
    cotangents = [random_like(y, rng) for y in outputs]
    wide, wide_cotangents = ([x.astype(WIDE[x.dtype.kind]) for x in several] for several in (native, cotangents))
    found, expected = pull(cotangents), problem.pullback(wide)[1](wide_cotangents)
    narrow_scatter = _scatter(problem, native, cotangents, found, rng)
    wide_scatter = _scatter(problem, wide, wide_cotangents, expected, rng)
    scatter = [t + w for t, w in zip(narrow_scatter, wide_scatter, strict=True)]
    for name, x, s, e, t in zip(problem.names, native, found, expected, scatter, strict=True):
        info = np.finfo(x.dtype)
        usable = np.isfinite(e) & (np.abs(e) < 0.01 * float(info.max)) & np.isfinite(t)
        spread = float(np.sqrt(np.mean(t[usable] ** 2))) if np.any(usable) else 0.0
        allowed = 10 * t + 10 * spread + 64 * float(info.eps) * np.abs(e) + 8 * float(info.tiny)
        off = np.where(usable, np.abs(np.where(np.isfinite(s), s, np.inf) - np.where(usable, e, 0)) - allowed, -1)
        for flat in np.argsort(-off, axis=None)[: options.elements]:
            if off.flat[flat] <= 0:
                break
            index = tuple(int(i) for i in np.unravel_index(flat, off.shape))
            where = f"{name}[{', '.join(map(str, index))}]" if index else name
            of = f"a random combination of {problem.call_text()}, in {x.dtype}"
            report.mistakes.append(
                Mistake(
                    input=where,
                    output=of,
                    index=index,
                    analytic=float(np.real(s[index])),
                    numerical=float(np.real(e[index])),
                    uncertainty=float(allowed[index]),
                    step=float("nan"),
                    noise=float(t[index]),
                    dtype=x.dtype,
                )
            )


def _scatter(
    problem: Problem, arrays: list[Array], cotangents: list[Array], found: list[Array], rng: np.random.Generator
) -> list[Array]:
    """How much rounding changes gradients: with cotangents of other sizes, and inputs that are a few roundings off."""
    scatter = [np.zeros(s.shape) for s in found]
    with np.errstate(all="ignore"):
        for factor in (0.59, 0.71, 0.83, 0.97, 1.03):
            for point in _points_nearby(arrays, rng):
                # Outside of where it is defined the function raises; and where equal elements count as one, as in
                # np.unique, others do not, so that the shape is another.
                with suppress(Exception):
                    scaled = problem.pullback(point)[1]([_rounded(g, factor) for g in cotangents])
                    changes = [np.abs(s / factor - f) for s, f in zip(scaled, found, strict=True)]
                    scatter = list(map(np.fmax, scatter, changes))
                    break
    return scatter


def _points_nearby(arrays: Sequence[Array], rng: np.random.Generator) -> Iterator[list[Array]]:
    """A point that is a few roundings off, and one that is nearer to zero, if the function is not defined there."""
    digits = [np.finfo(x.dtype).eps * rng.choice([-4, -2, -1, 1, 2, 4], x.shape) for x in arrays]
    yield [_rounded(x, 1 + d) for x, d in zip(arrays, digits, strict=True)]
    yield [_rounded(x, 1 - np.abs(d)) for x, d in zip(arrays, digits, strict=True)]


def _rounded(x: Array, factors: Any) -> Array:
    return np.asarray(x.astype(WIDE[x.dtype.kind]) * factors, x.dtype)


# ----------------------------------------------------------------------------------------------------------- the text


def _investigated(problem: TensorProblem, level: TensorProblem, at: Sequence[Array], order: int) -> Blame | None:
    """The call with a wrong rule: one that was made for this order, or one of the function itself."""
    with suppress(Exception):  # a report without blame is better than none
        found = find_blame(level, at, 1, _rng())
        if found is None and order > 1:
            found = find_blame(problem, at[: len(problem.arrays)], order, _rng())
        return found
    return None


def _snippet(problem: Problem, report: Report, checker: str) -> str:
    """A few lines that show the worst mistake, for whoever has the function."""
    mistake = report.mistakes[0]
    lines = ["import numpy as np, tinygrad_np as tg"]
    count = sum(x.size for x in problem.arrays)
    if all(name.isidentifier() for name in problem.names) and count <= LITERAL:
        lines += [f"{n} = {_literal(x)}" for n, x in zip(problem.names, problem.arrays, strict=True)]
    else:
        lines.append(f"# with {', '.join(problem.names)} as they were passed")
    call = f"{problem.function}, {', '.join(problem.names)}"
    options = f", order={report.order}" if report.order > 1 else ""
    if checker == "check_gradient":
        lines.append(f"report = tg.testing.check_gradient({problem.function}, gradient, x, raise_on_failure=False)")
    else:
        lines.append(f"report = tg.testing.gradcheck({call}{options}, raise_on_failure=False)")
    lines.append("worst = report.mistakes[0]")
    lines.append(f"worst.analytic, worst.numerical    # {mistake.analytic:.10g}, {mistake.numerical:.10g}")
    return "\n".join(lines)


def _literal(x: Array) -> str:
    dtype = "" if x.dtype in (np.float64, np.complex128) else f", np.{x.dtype}"
    return f"np.array({x.tolist()}{dtype})"
