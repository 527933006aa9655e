"""What every derivative rule has to hold, for every case in ``tests/cases/``.

The derivatives are compared to differences by the public checker, `tinygrad_np.testing.gradcheck`.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from cases.case import missing
from kit import check_gradient, floating

import tinygrad_np as tg
from tinygrad_np.core import Differentiable, Tensor, table
from tinygrad_np.rules.handlers import Composite
from tinygrad_np.testing import strategies


def every(property: str, cases: Sequence[Case] = CASES) -> pytest.MarkDecorator:
    """Run a test for all cases but those that are exempt from the property."""
    return pytest.mark.parametrize("case", [c for c in cases if property not in c.exempt], ids=repr)


SINGLE = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}

COMPLEX = [case for case in CASES if case.complex]
MIXED = [case for case in COMPLEX if len(case.arguments) > 1]


def test_every_differentiable_function_has_a_case() -> None:
    differentiable = [f for f, handler in table.items() if isinstance(handler, Differentiable | Composite)]
    assert missing(CASES, differentiable) == [], "add a line for each of these to its family in tests/cases/"


def test_every_case_is_about_a_differentiable_function() -> None:
    strangers = [c for c in CASES if not isinstance(table.get(c.function), Differentiable | Composite)]
    assert strangers == [], "these have no derivative, so take their lines out of tests/cases/"


# ------------------------------------------------------------------------------------------------------------- values


def leaves_for(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    return [tg.tensor(x, requires_grad=True) for x in arrays]


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def assert_equal_but_for_rounding(ours: np.ndarray, numpys: np.ndarray) -> None:
    """Assert equality up to the order of additions, which another spelling of a sum of products may change."""
    rounding = 4 * np.finfo(numpys.dtype).eps if numpys.dtype.kind in "fc" else 0
    np.testing.assert_allclose(ours, numpys, rtol=rounding, atol=rounding * np.max(np.abs(numpys), initial=0))


def assert_same_value(case: Case, arrays: Sequence[np.ndarray]) -> None:
    """Assert that Tensors give the numbers, shape, dtype and container that arrays give, and stay as they are."""
    expected = case(*arrays)
    leaves = leaves_for(arrays)
    result = case(*leaves)
    assert type(result) is (type(expected) if isinstance(expected, list | tuple) else Tensor)
    for ours, numpys in zip(as_list(result), as_list(expected), strict=True):
        assert isinstance(ours, Tensor)
        assert (ours.shape, ours.dtype) == (numpys.shape, numpys.dtype)
        assert_equal_but_for_rounding(ours.data, numpys)
    for leaf, x in zip(leaves, arrays, strict=True):
        np.testing.assert_array_equal(leaf.data, x)


@every("value")
def test_value_is_numpys(case: Case) -> None:
    for complex in (False, True)[: 1 + case.complex]:
        arrays = case.draw(complex=complex)
        assert_same_value(case, arrays)
        assert_same_value(case, [x.astype(SINGLE[x.dtype]) for x in arrays])


# -------------------------------------------------------------------------------------------------------- derivatives


def highest_order(case: Case) -> int:
    return 1 if "second order" in case.exempt else 3 if case.third else 2


@every("gradient")
def test_gradient_of_every_order(case: Case) -> None:
    check_gradient(case, case.draw(), highest_order(case))


@every("gradient", COMPLEX)
def test_complex_gradient_of_every_order(case: Case) -> None:
    check_gradient(case, case.draw(complex=True), min(highest_order(case), 2))


@pytest.mark.parametrize("complex_first", [True, False], ids=["complex_first", "real_first"])
@every("mixed", MIXED)
def test_gradient_of_real_and_complex_arguments_together(case: Case, complex_first: bool) -> None:
    kinds = [(i % 2 == 0) is complex_first for i in range(len(case.arguments))]
    check_gradient(case, case.draw(complex=kinds))


# ------------------------------------------------------------------------------------- gradients of a quadratic loss


def weights_for(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Random weights for outputs, in their dtypes."""
    rng = np.random.default_rng(0)
    return [np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape)).astype(y.dtype) for y in outputs]


def slopes(
    outputs: Any, leaves: Sequence[Tensor], cotangents: Callable[[np.ndarray, Tensor], Any] = operator.mul
) -> list[Tensor]:
    """The recorded gradients for random cotangents, by default those of ``sum(weights * outputs**2) / 2``."""
    outputs = floating(outputs)
    tracked = [(y, cotangents(w, y)) for y, w in zip(outputs, weights_for(outputs), strict=True) if y.requires_grad]
    if not tracked:  # the outputs are constant
        return [tg.tensor(np.zeros_like(leaf.data)) for leaf in leaves]
    ends, starts = zip(*tracked, strict=True)
    return tg.gradients(ends, leaves, starts, create_graph=True)


def assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], relative: float) -> None:
    """Assert that gradients agree, relative to the largest element of each."""
    for ours, theirs in zip(found, expected, strict=True):
        size = np.max(np.abs(theirs.data), initial=1)
        np.testing.assert_allclose(ours.data, theirs.data, rtol=0, atol=relative * size)


def assert_single_precision(case: Case, arrays: Sequence[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that nothing on the way to first and second gradients is double, and that they are as good as can be."""
    doubles = leaves_for(arrays)
    singles = leaves_for([x.astype(SINGLE[x.dtype]) for x in arrays])
    first, second = [], []
    dtypes: set[np.dtype] = set()
    remember = Tensor.__init__

    def watched(self: Tensor, value: Any, node: Any = None) -> None:
        remember(self, value, node)
        dtypes.add(value.dtype)

    for leaves in (singles, doubles):
        with monkeypatch.context() as patch:
            if leaves is singles:
                patch.setattr(Tensor, "__init__", watched)
            first.append(slopes(case(*leaves), leaves))
            second.append(slopes(first[-1], leaves))
    assert dtypes & SINGLE.keys() == set()
    assert [g.dtype for g in first[0] + second[0]] == [x.dtype for x in singles] * 2
    assert_close(first[0], first[1], 1e-5)
    assert_close(second[0], second[1], 1e-4)


@every("float32")
def test_float32_stays_float32(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_single_precision(case, case.draw(), monkeypatch)


@every("float32", COMPLEX)
def test_complex64_stays_complex64(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_single_precision(case, case.draw(complex=True), monkeypatch)


@every("one at a time")
def test_one_argument_at_a_time(case: Case) -> None:
    """An argument's gradient is the same whether the others are tracked, or Tensors that are not, or arrays."""
    arrays = case.draw()
    leaves = leaves_for(arrays)
    together = slopes(case(*leaves), leaves)
    for which, leaf in enumerate(leaves):
        for others in (arrays, [tg.tensor(x) for x in arrays]):
            alone = case(*others[:which], leaf, *others[which + 1 :])
            assert_close(slopes(alone, [leaf]), [together[which]], 1e-12)


@every("gradient")
def test_neither_inputs_nor_cotangents_are_written_to(case: Case) -> None:
    arrays = case.draw()
    leaves = leaves_for(arrays)
    outputs = floating(case(*leaves))
    values = [y.data.copy() for y in outputs]
    others = leaves_for([np.zeros_like(y) for y in values])
    # The walk hands one and the same cotangent to both sides of a sum, the rules' side first.
    tracked = [(+other + y, w) for other, y, w in zip(others, outputs, weights_for(outputs), strict=True)]
    gradients = tg.gradients([y for y, _ in tracked], others, [w for _, w in tracked], retain_graph=True)
    tg.gradients([y for y, _ in tracked], [*leaves, *others], [w for _, w in tracked])
    for found, (_, w) in zip(gradients, tracked, strict=True):
        np.testing.assert_array_equal(found, w)
    for tensor, before in zip([*leaves, *outputs], [*arrays, *values], strict=True):
        np.testing.assert_array_equal(tensor.data, before)


# ------------------------------------------------------------------------------------------------------------- layout


def _stretched(x: np.ndarray) -> np.ndarray:
    """An array that is constant along its last axis with a stride of 0 there, as broadcasting makes it."""
    first = x[..., :1] if x.ndim else x
    return np.broadcast_to(first, x.shape) if np.array_equal(np.broadcast_to(first, x.shape), x) else x


LAYOUTS = {**strategies.LAYOUTS, "stretched": _stretched}


@pytest.fixture
def arranged(scratch_table: None) -> Callable[..., Any]:
    """The identity, with value and cotangent laid out in memory as asked."""

    @tg.primitive
    def identity(x: Any, *, layout: str) -> Any:
        return LAYOUTS[layout](np.asarray(x))

    tg.defvjp(identity, lambda g, _y, _x, layout: identity(g, layout=layout))
    return identity


@every("layout")
def test_layout_in_memory_does_not_matter(case: Case, arranged: Callable[..., Any]) -> None:
    """Inputs and cotangents with gaps, negative strides, or in Fortran's order give what contiguous ones give."""
    leaves = leaves_for(case.draw())
    expected = slopes(case(*leaves), leaves, unchanged)
    expected_second = slopes(expected, leaves)
    for layout in strategies.LAYOUTS:
        found = slopes(laid_out(case, arranged, layout, leaves), leaves, unchanged)
        assert_close(found, expected, 1e-12)
        assert_close(slopes(found, leaves), expected_second, 1e-12)


@every("stretched")
def test_strides_of_zero_do_not_matter(case: Case, arranged: Callable[..., Any]) -> None:
    """The same for inputs and cotangents that are constant along their last axis, as broadcasting makes them."""
    leaves = leaves_for([constant_rows(x) for x in case.draw()])
    expected = slopes(case(*leaves), leaves, constant_rows)
    found = slopes(laid_out(case, arranged, "stretched", leaves), leaves, constant_rows)
    assert_close(found, expected, 1e-12)
    assert_close(slopes(found, leaves), slopes(expected, leaves), 1e-12)


def laid_out(case: Case, arranged: Callable[..., Any], layout: str, leaves: Sequence[Tensor]) -> list[Any]:
    """The outputs of a case, with inputs and cotangents in a layout."""
    return [arranged(y, layout=layout) for y in floating(case(*(arranged(x, layout=layout) for x in leaves)))]


def unchanged(weights: np.ndarray, _y: Tensor) -> np.ndarray:
    return weights


def constant_rows(x: np.ndarray, _y: Any = None) -> np.ndarray:
    return np.copy(x[..., :1] + np.zeros_like(x)) if x.ndim else x
