"""A function is run twice while it is captured: what it does must be the same, and what it makes is told apart."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import CaptureError

X = np.arange(1.0, 4.0)
W = tg.tensor(np.ones(3), requires_grad=True)
V = tg.tensor(np.ones(3), requires_grad=True)
STORED, OTHER = np.zeros(3), np.zeros(3)
HIDDEN = itertools.repeat(np.zeros(3)).__next__


def alternating() -> Callable[[], int]:
    """0, 1, 0, ... out of what no guard can look into."""
    return itertools.cycle([0, 1]).__next__


def grown(x: Any, n: int) -> Any:
    for _ in range(n + 1):
        x = np.sin(x)
    return x


def with_gradient_in(x: Any, n: int) -> None:
    (W, V)[n].grad = x * 2


def with_result_in(x: Any, n: int) -> None:
    np.multiply(x, 2, out=(STORED, OTHER)[n])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, n: (np.sin, np.cos)[n](x), r"np\.sin\(v\d+\) was .*np\.cos"),
        (lambda x, n: x * n, r"np\.multiply\(v1, 0\) was .*np\.multiply\(v1, 1\)"),
        (lambda x, n: x * (0.0, -0.0)[n], r"0\.0\) was .*-0\.0\)"),
        (lambda x, n: x * (1, True)[n], r"1\) was .*True\)"),
        (lambda x, n: np.add(x, 1.0, **({"dtype": np.float64}, {})[n]), r"dtype=.*float64.* was "),
        (lambda x, n: np.sum(x, axis=(0, -1)[n]), "axis=0.* was .*axis=-1"),
        (lambda x, n: x[n:], r"index=0::\) was .*index=1::\)"),
        (lambda x, n: x + np.full(3, n), "a constant of int64.* has other elements"),
        (lambda x, n: x + np.zeros(3, ("f4", "f8")[n]), "a constant of float32.* was a constant of float64"),
        (lambda x, n: x + (np.ones(3), tg.tensor(np.ones(3)))[n], r"constant of float64\(3,\) was a storage"),
        (lambda x, n: x + np.zeros(((3,), (1, 3))[n]), r"\(3,\) was a constant of float64\(1, 3\)"),
        (lambda x, n: x + tg.tensor(np.full(3, n)), "has other elements"),
        (lambda x, n: x + (STORED, np.ones(3))[n], r"it needed another constant of float64\(3,\)"),
        (lambda x, n: grown(x, n), "was made only the second time"),
        (lambda x, n: grown(x, 1 - n), "was made only the first time"),
        (lambda x, n: (np.sin(x), np.cos(x))[n], "returned the result of another call"),
        (lambda x, n: x[:2] * HIDDEN()[n : n + 2], "used another part of an array"),
        (with_gradient_in, r"leaves behind \(grads\)"),
        (with_result_in, r"leaves behind \(stores\)"),
    ],
)
def test_what_differs_the_second_time_is_an_error(function: Callable[[Any, int], Any], message: str) -> None:
    turns = alternating()
    compiled = tg.compile(lambda x: function(x, turns()))
    for _ in range(2):
        with pytest.raises(CaptureError, match=f"did not do the same when it was run twice.*({message})"):
            compiled(X)
    assert W.grad is V.grad is None
    np.testing.assert_array_equal([STORED, OTHER], 0)


class TestWhatTheFunctionMakes:
    def test_an_array_that_it_changes_after_using_it(self) -> None:
        def changes(x: Any) -> Any:
            weights = np.ones(3)
            first = x * weights
            weights *= 2
            return first + x * weights

        with pytest.raises(CaptureError, match="written to after it was used"):
            tg.compile(changes)(X)

    def test_an_array_that_it_changes_back(self) -> None:
        def changes(x: Any) -> Any:
            sign = np.ones(3)
            first = x * sign
            sign *= -1
            second = x * sign
            sign *= -1
            return first, second

        with pytest.raises(CaptureError, match="written to after it was used"):
            tg.compile(changes)(X)

    def test_a_tensor_that_it_writes_to_starts_anew_on_every_call(self) -> None:
        def counts(x: Any) -> Any:
            count = tg.tensor(np.zeros(3))
            count.data[...] = count.data + x
            return count * 1

        compiled = tg.compile(counts)
        for _ in range(3):
            np.testing.assert_array_equal(compiled(X).data, X)
        assert compiled.captures == 1

    def test_a_leaf_that_it_makes_is_forgotten(self) -> None:
        def slope(x: Any) -> Any:
            w = tg.tensor(np.ones(3), requires_grad=True)
            np.sum(w * w * x).backward()
            w.mark_updated()
            return w.grad

        compiled = tg.compile(slope)
        for x in (X, X + 1, X + 2):
            np.testing.assert_array_equal(compiled(x), 2 * x)
        assert compiled.captures == 1
        assert not compiled.program.program.grads
        assert not compiled.program.program.updated

    @pytest.mark.usefixtures("scratch_table")
    def test_a_function_that_it_makes_is_the_same_by_name(self) -> None:
        def cubes(x: Any) -> Any:
            cube = tg.primitive(lambda v: v**3, name="cube")
            return cube(np.sin(x)) + cube(x)

        compiled = tg.compile(cubes)
        np.testing.assert_array_equal(compiled(X), np.sin(X) ** 3 + X**3)

    def test_what_depends_on_it_alone_is_computed_once(self) -> None:
        compiled = tg.compile(lambda x: x * np.exp(tg.tensor(np.ones(3))).data)
        np.testing.assert_array_equal(compiled(X), X * np.e)
        assert [call.function for call in compiled.program.program.calls] == [np.multiply]


class TestWhatIsThereAllTheTime:
    def test_an_array_that_no_guard_finds_is_read_on_every_call(self) -> None:
        hidden = [np.ones(3)]
        turns = itertools.cycle(hidden).__next__
        compiled = tg.compile(lambda x: np.exp(x * 0) + turns())
        np.testing.assert_array_equal(compiled(X), 2)
        hidden[0][:] = 5
        np.testing.assert_array_equal(compiled(X), 6)

    def test_it_cannot_be_written_to(self) -> None:
        hidden = np.zeros(3)
        turns = itertools.repeat(hidden).__next__
        with pytest.raises(CaptureError, match="not its own, nor in anything that it names"):
            tg.compile(lambda x: np.add(turns(), x, out=turns()))(X)
        np.testing.assert_array_equal(hidden, 0)

    def test_an_array_that_cannot_be_written_to_is_a_constant(self) -> None:
        frozen = np.ones(3)
        frozen.flags.writeable = False
        turns = itertools.repeat(frozen).__next__
        compiled = tg.compile(lambda x: x * np.exp(tg.tensor(0.0) + turns()).data)
        compiled(X)
        assert [call.function for call in compiled.program.program.calls] == [np.multiply]


def test_only_what_never_changes_is_kept_from_a_capture() -> None:
    @tg.compile
    def function(x: Any) -> Any:
        same = np.exp(tg.tensor(np.ones(3)))
        return np.sin(x) * np.sqrt(same + 1.0)

    function(X)
    of_constants = {call.function for call in function.program.program.calls if call.results[0].source is not None}
    assert np.sin not in of_constants
    assert np.multiply not in of_constants
