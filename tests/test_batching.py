"""A Jacobian by one walk with a batch of cotangents is the Jacobian by one walk for each element, for every rule."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from kit import floating
from tensors import leaf

import tinygrad_np as tg
from tinygrad_np import batching
from tinygrad_np.backward import walk
from tinygrad_np.batching import Batched, NotBatchedError
from tinygrad_np.core import Tensor, updated
from tinygrad_np.rules.sorting import rearranged
from tinygrad_np.signatures import function_name
from tinygrad_np.testing.strategies import matmul_shapes

Function = Callable[..., Any]

LOOPED = {
    "correlated": "each of its calls is long, so a loop over them costs little more",
    "indifferent": "it has to see the cotangents one by one",
}
"""The functions of a cotangent that are called once for each row of a Jacobian, with the reason."""


def tracked(outputs: Any) -> list[Tensor]:
    return [y for y in floating(outputs) if isinstance(y, Tensor) and y.requires_grad and y.size]


def rows_one_by_one(y: Tensor, leaves: Sequence[Tensor], *, recorded: bool = False) -> list[Any]:
    """The gradients of each element of an output (of its real part) by each input, from a walk for each."""
    rows = []
    for element in np.ndindex(y.shape):
        cotangent = np.zeros(y.shape, y.dtype)
        cotangent[element] = 1
        rows.append(tg.gradients([y], leaves, [cotangent], retain_graph=True, create_graph=recorded))
    return [np.stack(column) for column in zip(*rows, strict=True)]


def rows_in_one_walk(y: Tensor, leaves: Sequence[Tensor], start: Batched, *, recorded: bool = False) -> list[Any]:
    found = walk({y._node: start}, {x._node for x in leaves}, retain=True, wrap=Tensor if recorded else None)
    return [stack_of(found.get(x._node), (y.size, *x.shape), x.dtype) for x in leaves]


def stack_of(gradient: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    if isinstance(gradient, Batched):
        return gradient.stacked
    return np.broadcast_to(np.zeros((), dtype) if gradient is None else gradient, shape)


def starts(y: Tensor) -> list[Batched]:
    """The identity, as its diagonal and in full."""
    identity = np.eye(y.size, dtype=y.dtype)
    return [Batched(diagonal=np.ones(y.shape, y.dtype)), Batched(identity.reshape(y.size, *y.shape))]


def assert_same_rows(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        ours, theirs = (a.data if isinstance(a, Tensor) else a for a in (ours, theirs))
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.fixture
def looped(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The functions that are called in a loop over a batch."""
    names: set[str] = set()
    loop = batching._looped

    def remembered(function: Function, args: Any, kwargs: Any) -> Any:
        names.add(function_name(function))
        return loop(function, args, kwargs)

    monkeypatch.setattr(batching, "_looped", remembered)
    return names


# ---------------------------------------------------------------------------------------------------------- every rule


def check(function: Function, arrays: Sequence[np.ndarray]) -> None:
    leaves = [leaf(x) for x in arrays]
    for y in tracked(function(*leaves)):
        expected = rows_one_by_one(y, leaves)
        for start in starts(y):
            assert_same_rows(rows_in_one_walk(y, leaves, start), expected)


def check_case(case: Case, looped: set[str], **options: Any) -> None:
    check(case, case.draw(**options))
    unknown = looped - LOOPED.keys()
    assert not unknown, f"add a way to call {unknown} on a stack to batching.py, or say in LOOPED why it needs none"


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_rows_in_one_walk(case: Case, looped: set[str]) -> None:
    check_case(case, looped)


@pytest.mark.parametrize("case", [case for case in CASES if case.complex], ids=repr)
def test_rows_of_complex_numbers_in_one_walk(case: Case, looped: set[str]) -> None:
    check_case(case, looped, complex=True)


SMALL = [case for case in CASES if case.third and sum(x.size for x in case.draw()) <= 8]


@pytest.mark.parametrize("case", SMALL, ids=repr)
def test_rows_in_one_walk_are_recorded(case: Case) -> None:
    """What is recorded of a walk with a batch is differentiated by another, as in the Jacobian of a Jacobian."""
    leaves = [leaf(x) for x in case.draw()]
    for y in tracked(case(*leaves)):
        first = rows_one_by_one(y, leaves, recorded=True)
        for start in starts(y):
            found = rows_in_one_walk(y, leaves, start, recorded=True)
            assert_same_rows(found, first)
            for ours, theirs in zip(found, first, strict=True):
                if tracked([theirs]):
                    ours = rows_in_one_walk(ours, leaves, starts(ours)[0])
                    assert_same_rows(ours, rows_one_by_one(theirs, leaves))


def test_zeros_that_are_arrays_and_a_batch_add_up() -> None:
    def f(x: Any) -> Any:
        twice = 2 * x
        return twice + np.modf(x)[1] + np.modf(x)[1]

    check(f, [np.array([0.5, -1.0, 2.0])])


@pytest.mark.parametrize("name", LOOPED)
def test_what_is_said_to_be_looped_is(name: str, looped: set[str]) -> None:
    wave = np.exp(1j * np.arange(3.0))

    def phase_free(x: Any) -> Any:
        _, v = np.linalg.eigh(x * (wave[:, None] * wave.conj()))
        return np.abs(v)

    examples: dict[str, Function] = {"correlated": lambda x: np.convolve(x[0], x[1]), "indifferent": phase_free}
    tg.jacobian(examples[name])(np.array([[2.0, 0.5, 0.3], [0.5, 1.0, 0.1], [0.3, 0.1, 3.0]]))
    assert looped == {name}


# ------------------------------------------------------------------------------------------- shapes of all kinds


@st.composite
def indices(draw: st.DrawFn) -> Any:
    """An index into an array of shape (2, 3, 2) of any kinds of parts in any order."""
    parts: list[Any] = []
    for length in (2, 3, 2)[: draw(st.integers(0, 3))]:
        number = st.integers(-length, length - 1)
        parts.append(
            draw(
                st.one_of(
                    st.slices(length),
                    number,
                    st.lists(number, min_size=2, max_size=2),
                    st.lists(number, min_size=2, max_size=2).map(lambda n: np.array(n)[:, None]),
                )
            )
        )
    for _ in range(draw(st.integers(0, 2))):
        parts.insert(draw(st.integers(0, len(parts))), None)
    return tuple(parts)


@given(indices())
def test_reading_by_any_index(index: Any) -> None:
    x = np.arange(1.0, 13.0).reshape(2, 3, 2)
    check(lambda x: x[index] ** 2, [x])
    # The other way round: the rows of a gradient, whose rule reads where this one wrote.
    check(tg.grad(lambda x: np.sum(x[index] ** 3)), [x])


@given(indices())
def test_writing_by_any_index(index: Any) -> None:
    x = np.arange(1.0, 13.0).reshape(2, 3, 2)
    value = np.full(x[index].shape, 2.0)

    def written(x: Any, value: Any) -> Any:
        y = np.copy(x)
        y[index] = value**2
        return y * y

    check(written, [x, value])


@given(matmul_shapes())
def test_matrix_products_of_any_shape(shapes: Any) -> None:
    arrays = [np.linspace(-1.0, 1.0, int(np.prod(shape))).reshape(shape) for shape in shapes]
    check(np.matmul, arrays)


@pytest.mark.parametrize("a", [(3, 3), (2, 3, 3)], ids=str)
@pytest.mark.parametrize("b", [(3,), (3, 2), (2, 3, 2), (3, 0)], ids=str)
def test_solving_for_right_sides_of_any_shape(a: tuple[int, ...], b: tuple[int, ...], looped: set[str]) -> None:
    matrices = 3 * np.eye(3) + np.linspace(0.0, 1.0, int(np.prod(a))).reshape(a)
    right = np.linspace(1.0, 2.0, int(np.prod(b))).reshape(b)
    check(np.linalg.solve, [matrices, right])
    assert not looped


# ------------------------------------------------------------------------------------------------------ the diagonal

POINT = np.array([[0.5, 1.5, 0.0], [2.0, 0.0, 0.7]])
OTHER = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])

ELEMENTWISE: dict[str, Function] = {
    "x + x": lambda x: x + x,
    "2 - x * other": lambda x: 2 - x * OTHER,
    "x / (1 + other**2)": lambda x: x / (1 + OTHER**2),
    "exp": np.exp,
    "sqrt, with a pole": np.sqrt,
    "log1p of square": lambda x: np.log1p(x**2),
    "x ** 2.5": lambda x: x**2.5,
    "tanh": np.tanh,
    "abs": np.abs,
    "where": lambda x: np.where(OTHER > 0, np.sqrt(x), 0),
    "where of two": lambda x: np.where(OTHER > 0, x, np.sin(x)),
    "maximum": lambda x: np.maximum(x, OTHER),
    "clip": lambda x: np.clip(x, 0.2, 1.0),
    "relu": tg.functions.relu,
    "fused relu": lambda x: tg.fused.relu(x - 0.6),
    "softplus": tg.functions.softplus,
    "sigmoid": tg.functions.sigmoid,
    "another dtype": lambda x: np.exp(x.astype(np.float32)),
    "another shape": lambda x: np.exp(np.sin(x).reshape(3, 2)[:, None]).squeeze().ravel(),
    "copy": lambda x: np.copy(np.sin(x)),
    "real part": lambda x: np.exp(1j * x).real,
}


@pytest.mark.parametrize("function", ELEMENTWISE.values(), ids=ELEMENTWISE)
@pytest.mark.parametrize("recorded", [False, True], ids=["arrays", "recorded"])
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_the_jacobian_of_elementwise_functions_stays_diagonal_to_the_end(function: Function, recorded: bool) -> None:
    x = leaf(POINT)
    y = function(x)
    found = walk({y._node: starts(y)[0]}, {x._node}, retain=True, wrap=Tensor if recorded else None)[x._node]
    assert found.diagonal is not None
    assert found.beside == 0
    (expected,) = rows_one_by_one(y, [x])
    diagonal, stack = (np.asarray(a.data if isinstance(a, Tensor) else a) for a in (found.diagonal, found.stacked))
    np.testing.assert_allclose(diagonal.ravel(), np.diag(expected.reshape(x.size, x.size)), rtol=1e-6)
    np.testing.assert_allclose(stack, expected, rtol=1e-6)


def test_beside_an_infinite_diagonal_there_are_zeros() -> None:
    with np.errstate(divide="ignore"):
        found = tg.jacobian(np.sqrt)(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(found, [[np.inf, 0], [0, 0.5]])


UFUNCS = [np.add, np.subtract, np.multiply, np.maximum, np.not_equal, np.logaddexp]


@given(st.lists(st.sampled_from(UFUNCS), max_size=4))
def test_functions_of_diagonal_batches_and_numbers_are_those_of_the_stacks(functions: list[np.ufunc]) -> None:
    diagonal = np.array([2.0, 0.0, -1.0])
    batch, stack = Batched(diagonal=diagonal), np.diag(diagonal)
    for number, function in enumerate(functions):
        if number % 2:
            batch, stack = function(batch, 1.5), function(stack, 1.5)
        else:
            batch, stack = function(Batched(diagonal=diagonal), batch), function(np.diag(diagonal), stack)
        assert batch.diagonal is not None
        assert batch.dtype == stack.dtype
    np.testing.assert_allclose(batch.stacked, stack)
    np.testing.assert_allclose((batch @ OTHER.T).stacked, stack @ OTHER.T)


# ---------------------------------------------------------------------------------------------------- as an array


def batch() -> Batched:
    return Batched(np.arange(12.0).reshape(4, 3))


def test_a_batch_looks_like_one_of_its_arrays() -> None:
    b = batch()
    assert (b.shape, b.ndim, b.size, len(b), b.dtype, b.count) == ((3,), 1, 3, 3, np.float64, 4)
    assert repr(b) == "Batched(4 arrays of float64(3,))"
    assert np.shape(b) == (3,)
    assert +b is b
    np.testing.assert_array_equal(np.zeros_like(b), np.zeros(3))
    np.testing.assert_array_equal([row.stacked for row in b], b.stacked.T)


def test_operators_work_on_the_stack() -> None:
    b, stack = batch(), np.arange(12.0).reshape(4, 3)
    found = abs(-(2 * b - 3) / (b + 1) % 1) ** 2 // 0.1
    np.testing.assert_array_equal(found.stacked, abs(-(2 * stack - 3) / (stack + 1) % 1) ** 2 // 0.1)
    chosen = ~((b > 2) & (b <= 7) | (b == 11)) ^ True
    np.testing.assert_array_equal(chosen.stacked, (stack > 2) & (stack <= 7) | (stack == 11))
    np.testing.assert_array_equal((b.sum() >= 0).stacked, stack.sum(axis=1) >= 0)


def test_writing_into_a_batch_binds_it_to_the_updated_one() -> None:
    for b in (batch(), Batched(diagonal=np.ones(3))):
        expected = b.stacked.copy()
        b[1:] = 7.0
        expected[:, 1:] = 7.0
        np.testing.assert_array_equal(b.stacked, expected)
        np.testing.assert_array_equal((2 * b).stacked, 2 * expected)


@pytest.mark.parametrize(
    "look",
    [
        bool, float, int, complex, "{:.2f}".format, np.asarray, np.array, lambda b: b.tolist(), lambda b: b.item(),
        lambda b: 3.0 in b, lambda b: b.detach(), lambda b: np.add(1, b, out=np.ones(())),
        lambda b: operator.setitem(np.ones(2), slice(2), b), lambda b: operator.iadd(np.ones(()), b),
        lambda b: operator.imul(b, 2), lambda b: operator.iadd(tg.tensor(1.0), b),
    ],
    ids=lambda look: getattr(look, "__name__", "look"),
)
def test_looking_at_single_elements_is_refused(look: Function) -> None:
    with pytest.raises(NotBatchedError):
        look(Batched(np.arange(4.0)))


M, V = np.linspace(-1.0, 1.0, 6).reshape(2, 3), np.array([1.0, -2.0, 0.5])
SQUARE = M[:, :2] + 2 * np.eye(2)
ORDER = np.array([[1, 0, 0], [0, 1, 1]])

CALLS: dict[str, tuple[tuple[int, ...], Function]] = {
    "vector @ vector": ((3,), lambda b: b @ V),
    "vector @ vector, from the right": ((3,), lambda b: V @ b),
    "vector @ itself": ((3,), lambda b: b @ b),
    "vector @ matrix": ((3,), lambda b: b @ M.T),
    "vector @ matrix, from the right": ((2, 3), lambda b: SQUARE[0] @ b),
    "vector @ stack of matrices": ((3,), lambda b: b @ np.stack([M.T, M.T])),
    "matrix @ vector": ((2, 3), lambda b: b @ V),
    "matrix @ vector, from the right": ((3,), lambda b: M @ b),
    "matrix @ matrix": ((2, 3), lambda b: b @ M.T),
    "matrix @ matrix, from the right": ((2, 3), lambda b: SQUARE @ b),
    "matrix @ column": ((3, 1), lambda b: M @ b),
    "matrix @ stack of columns": ((4, 3, 1), lambda b: M @ b),
    "matrix @ stack of matrices": ((4, 2, 3), lambda b: SQUARE @ b),
    "stack of matrices @ matrix": ((4, 2, 3), lambda b: b @ M.T),
    "matrix @ its transpose": ((2, 3), lambda b: b @ b.T),
    "einsum": ((2, 3), lambda b: np.einsum("ij,kj,k->i", M, b, SQUARE[0])),
    "einsum of two": ((2, 3), lambda b: np.einsum("ij,ij->j", b, b)),
    "sum": ((2, 3), np.sum),
    "sum by position": ((2, 3), lambda b: np.sum(b, -1, np.float32)),
    "sum of some": ((2, 3), lambda b: np.sum(b, axis=1, where=M > 0, initial=2.0, keepdims=True)),
    "sum of some of its own": ((2, 3), lambda b: np.sum(b, axis=1, where=b > 0)),
    "mean by position": ((2, 3), lambda b: np.mean(b, 0, None, None, True)),
    "any": ((2, 3), lambda b: np.any(b > 1, axis=-1)),
    "cumsum": ((2, 3), np.cumsum),
    "cumsum along an axis": ((2, 3), lambda b: np.cumsum(b, 1)),
    "roll": ((2, 3), lambda b: np.roll(b, 1)),
    "roll along axes": ((2, 3), lambda b: np.roll(b, (1, 2), (0, -1))),
    "moveaxis by name": ((2, 3, 2), lambda b: np.moveaxis(b, destination=0, source=-1)),
    "swapaxes": ((2, 3), lambda b: np.swapaxes(b, axis2=0, axis1=1)),
    "transpose": ((2, 3, 2), np.transpose),
    "transpose to an order": ((2, 3, 2), lambda b: np.transpose(b, [1, -1, 0])),
    "reshape": ((2, 3), lambda b: np.reshape(b, (3, -1))),
    "reshape in Fortran's order": ((2, 3), lambda b: np.reshape(b, (3, 2), order="F")),
    "expand_dims": ((2, 3), lambda b: np.expand_dims(b, (0, -1))),
    "squeeze": ((1, 3, 1), np.squeeze),
    "squeeze an axis": ((1, 3, 1), lambda b: np.squeeze(b, 0)),
    "broadcast_to": ((3,), lambda b: np.broadcast_to(b, (2, 3))),
    "broadcast_to a length": ((), lambda b: np.broadcast_to(b, 3)),
    "concatenate": ((2, 3), lambda b: np.concatenate([b, M, b], axis=1)),
    "flip": ((2, 3), lambda b: np.flip(b, -1)),
    "rot90": ((2, 3), lambda b: np.rot90(b, 1, (1, 0))),
    "fft": ((4,), lambda b: np.fft.fft(b, 3, norm="ortho")),
    "fftshift": ((4, 2), np.fft.fftshift),
    "cross": ((3,), lambda b: np.cross(V, b)),
    "astype": ((2, 3), lambda b: b.astype(np.float32)),
    "copy": ((2, 3), lambda b: b.copy()),
    "zeros_like": ((2, 3), lambda b: b + np.zeros_like(b)),
    "where": ((2, 3), lambda b: np.where(b > 1, b, V)),
    "where of an array and zero": ((2, 3), lambda b: np.where(b > 1, M, 0)),
    "array / batch": ((2, 3), lambda b: M / b),
    "array / one more": ((2, 3), lambda b: M / (b + 1)),
    "batch / array": ((2, 3), lambda b: b / SQUARE[0, 0]),
    "sum of columns and rows": ((3, 1), lambda b: b + b.reshape(3)),
    "one more, times an array": ((2, 3), lambda b: (b + 1) * M),
    "one more, @ matrix": ((3,), lambda b: (b + 1) @ M.T),
    "one more, reshaped": ((2, 3), lambda b: (b + 1).reshape(6)),
    "solve": ((2, 3), lambda b: np.linalg.solve(SQUARE, b)),
    "solve for a vector": ((2,), lambda b: np.linalg.solve(SQUARE, b)),
    "solve with its own": ((2, 2), lambda b: np.linalg.solve(b + SQUARE, SQUARE)),
    "in an order": ((2, 3), lambda b: rearranged(b, ORDER, axis=0)),
    "in an order of its own": ((2, 3), lambda b: rearranged(b, np.argsort(-b, axis=1), axis=1)),
    "written into": ((2,), lambda b: updated(M, b, index=(slice(None), 1))),
    "written into, in front": ((3,), lambda b: updated(np.ones((2, 3, 2)), b, index=([0], slice(None), [1]))),
    "written into, with one axis too many": ((1, 2), lambda b: updated(M, b, index=(slice(None), 1))),
    "an array written into it": ((2, 3, 2), lambda b: updated(b, M, index=([0, 1], slice(None), [1, 0]))),
    "functions without a way of their own": ((2, 3), lambda b: np.lib.scimath.sqrt(np.median(a=b, axis=0))),
    "several results": ((2, 3), lambda b: np.modf(b / 2)[0] + np.divmod(b, 2)[0]),
}


@pytest.mark.parametrize("diagonal", [False, True], ids=["stack", "diagonal"])
@pytest.mark.parametrize(("shape", "call"), CALLS.values(), ids=CALLS)
def test_a_call_on_a_batch_is_a_call_on_each_array(shape: tuple[int, ...], call: Function, diagonal: bool) -> None:
    count = math.prod(shape)
    if diagonal:
        given = Batched(diagonal=np.arange(1.0, count + 1).reshape(shape))
    else:
        given = Batched(np.arange(5.0 * count).reshape(5, *shape))
    arrays = list(given.stacked.copy())
    with np.errstate(divide="ignore"):
        found = call(given)
        expected = [np.asarray(call(a)) for a in arrays]
    assert isinstance(found, Batched)
    assert (found.count, found.shape, found.dtype) == (len(arrays), expected[0].shape, expected[0].dtype)
    np.testing.assert_allclose(found.stacked, np.stack(expected), atol=1e-14)
