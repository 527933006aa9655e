"""What a replay consists of: steps for the calls that are the same on every run, and short lines for the others."""

from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.compiler.writing import LONG
from tinygrad_np.state import on_tape


def lines(compiled: Any) -> list[str]:
    return [line.strip() for line in compiled.program.source.splitlines()]


class TestSteps:
    def test_of_long_chains_are_not_written_out(self) -> None:
        def chain(x: Any) -> Any:
            for _ in range(100):
                x = x * 1.5 - 0.5
            return x

        compiled = tg.compile(chain)
        x = np.linspace(0, 1, 5)
        for _ in range(2):
            assert compiled(x).tobytes() == chain(x).tobytes()
        assert len(lines(compiled)) < 10
        assert len(compiled.program.steps) > 190

    def test_read_anew_what_is_written_between_runs(self) -> None:
        weight = tg.tensor(np.ones(3), requires_grad=True)
        compiled = tg.compile(lambda: np.sum(np.exp(weight) * 2))
        compiled()
        weight.data[...] = 2.0
        assert float(compiled()) == float(np.sum(np.exp(weight.data) * 2))

    def test_that_numbers_are_handed_to_need_no_line(self) -> None:
        rate, weight = tg.tensor(0.5), tg.tensor(np.ones(3))
        compiled = tg.compile(lambda: np.exp(weight) * (rate * 3.0) + 1)
        compiled()
        assert [step.function for step in compiled.program.steps][:2] == [np.exp, np.multiply]

    def test_do_not_write_to_what_another_looks_into(self) -> None:
        def function(x: Any) -> Any:
            first = np.exp(x)
            same = np.atleast_1d(first)  # the array itself
            return same * np.sin(x) + np.cos(x)

        compiled, x = tg.compile(function), np.linspace(0, 1, 5)
        for _ in range(2):
            np.testing.assert_array_equal(compiled(x), function(x))


class TestNumbers:
    @pytest.fixture
    def weights(self) -> list[tg.Tensor]:
        return [tg.tensor(value, requires_grad=True) for value in np.linspace(-1, 1, 40)]

    def test_in_formulas_of_many_terms_have_the_same_bits(self, weights: list[tg.Tensor]) -> None:
        def loss() -> Any:
            for w in weights:
                w.grad = None
            total = weights[0] * 1.5
            for i, w in enumerate(weights):
                total = (total - w * (i - 7.25)) / 3.0
            total.backward()
            return total

        compiled = tg.compile(loss)
        for scale in (1.0, 0.7, 1e300):
            for w in weights:
                w.data[...] *= scale
            expected, slopes = np.asarray(loss().data), [np.array(w.grad) for w in weights]
            assert np.asarray(compiled().data).tobytes() == expected.tobytes()
            assert [w.grad.tobytes() for w in weights] == [slope.tobytes() for slope in slopes]
        formulas = [line for line in lines(compiled) if line.startswith("v")]
        assert 1 < len(formulas) < 40  # several terms in one, but none without end
        assert max(map(len, formulas)) < 3 * LONG

    def test_that_are_needed_twice_are_computed_once(self) -> None:
        a = tg.tensor(2.0)
        compiled = tg.compile(lambda: (a * 3.0 + 1.0) * (a * 3.0 + 1.0) + a)
        assert float(compiled()) == 51.0
        assert sum(line.count("* constant") for line in lines(compiled)) == 1
        compiled = tg.compile(lambda: (y := a * 3.0, y + 1.0))
        assert [float(y) for y in compiled()] == [6.0, 7.0]
        assert sum(line.count("* constant") for line in lines(compiled)) == 1

    def test_that_arrays_are_multiplied_with_may_change_from_run_to_run(self) -> None:
        rate = tg.tensor(0.5)
        compiled = tg.compile(lambda x: x * (rate * 2.0) + rate)
        for value in (0.5, -3.0):
            rate.data[...] = value
            np.testing.assert_array_equal(compiled(np.arange(3.0)).data, np.arange(3.0) * (value * 2) + value)

    def test_overflow_where_that_is_allowed_and_nowhere_else(self) -> None:
        a = tg.tensor(2.0)

        def allowed() -> Any:
            with np.errstate(over="ignore"):
                y = a * 1e308
            return y + 1.0

        with np.errstate(over="raise"):
            assert float(tg.compile(allowed)()) == np.inf
            with pytest.raises(FloatingPointError):
                tg.compile(lambda: a * 1e308 + 1.0)()

    def test_that_are_stored_and_read_are_those_from_before(self) -> None:
        a, b = tg.tensor(1.0), tg.tensor(10.0)

        @tg.compile
        def swap() -> Any:
            old_a, old_b = a + 0.0, b + 0.0
            a.data[...] = old_b.data
            b.data[...] = old_a.data
            return old_a - old_b

        assert [float(swap()), float(swap()), float(a), float(b)] == [-9.0, 9.0, 1.0, 10.0]


def test_arrays_swap_their_contents() -> None:
    first, second = np.arange(3.0), np.ones(3)

    @tg.compile
    def swap() -> None:
        a, b = on_tape(first), on_tape(second)
        before = a * 1.0  # which is no call that a replay makes
        np.multiply(b, 1.0, out=a)
        np.multiply(before, 1.0, out=b)

    for _ in range(3):
        swap()
    np.testing.assert_array_equal([first, second], [np.ones(3), np.arange(3.0)])


def test_a_gradient_that_is_taken_away_is_gone_after_each_run() -> None:
    weight = tg.tensor(np.ones(3), requires_grad=True)

    @tg.compile
    def function(x: Any) -> Any:
        weight.grad = None
        return np.sum(weight.data * x)

    for _ in range(2):
        weight.grad = np.ones(3)
        function(np.ones(3))
        assert weight.grad is None


def test_elements_are_taken_from_a_matrix_as_from_its_rows_one_after_the_other() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    compiled = tg.compile(lambda index: np.take(matrix, index) * 2)
    for index in ([0, 1], [4, -1]):
        np.testing.assert_array_equal(compiled(np.array(index)), matrix.reshape(-1)[index] * 2)


@pytest.mark.parametrize("index", [[0, 2], [-1, 1], [2, 2]])
def test_an_element_is_taken_as_numpy_does(index: list[int]) -> None:
    values = np.array([1.0, 2.0, 4.0])
    compiled = tg.compile(lambda rows: np.take(values, rows) * 2)
    compiled(np.array([0, 1]))
    np.testing.assert_array_equal(compiled(np.array(index)), values[index] * 2)
    for outside in (3, -4):
        with pytest.raises(IndexError):
            compiled(np.array([0, outside]))
