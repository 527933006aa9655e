"""What a replay consists of: steps for the calls that are the same on every run, and short lines for the others."""

from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.compiler.code import Code, Step
from tinygrad_np.compiler.writing import LONG


def lines(compiled: Any) -> list[str]:
    return [line.strip() for line in compiled.program.source.splitlines()]


class TestSteps:
    def test_are_made_in_order_with_the_lines_between_them(self) -> None:
        code, made = Code(), list[Any]()
        code.step(made.append, 1)
        code.step(made.append, 2)
        code.add(f"{code.name(made.extend)}([x, 3])")
        code.step(made.append, 4)
        source, function = code.function(["x"])
        function("x")
        assert made == [1, 2, "x", 3, 4]
        assert sum(line.strip().startswith("for ") for line in source.splitlines()) == 2

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

    def test_names_do_not_hide_what_the_loop_uses(self) -> None:
        code = Code()
        for name in ("call", "given", "steps"):

            def function(x: Any) -> Any:
                return x

            function.__name__ = name
            code.add(f"x = {code.name(function)}(x)")
            code.step(len, "")
        code.add("return x")
        assert code.function(["x"])[1](7) == 7

    def test_read_anew_what_is_written_between_runs(self) -> None:
        weight = tg.tensor(np.ones(3), requires_grad=True)
        compiled = tg.compile(lambda: np.sum(np.exp(weight) * 2))
        compiled()
        weight.data[...] = 2.0
        assert float(compiled()) == float(np.sum(np.exp(weight.data) * 2))

    def test_are_plain_pairs(self) -> None:
        assert Step(len, ("ab",)) == (len, ("ab",))


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

    def test_that_arrays_are_multiplied_with_may_change_from_run_to_run(self) -> None:
        rate = tg.tensor(0.5)
        compiled = tg.compile(lambda x: x * (rate * 2.0) + rate)
        for value in (0.5, -3.0):
            rate.data[...] = value
            np.testing.assert_array_equal(compiled(np.arange(3.0)).data, np.arange(3.0) * (value * 2) + value)

    def test_that_are_stored_and_read_are_those_from_before(self) -> None:
        a, b = tg.tensor(1.0), tg.tensor(10.0)

        @tg.compile
        def swap() -> Any:
            old_a, old_b = a + 0.0, b + 0.0
            a.data[...] = old_b.data
            b.data[...] = old_a.data
            return old_a - old_b

        assert [float(swap()), float(swap()), float(a), float(b)] == [-9.0, 9.0, 1.0, 10.0]


@pytest.mark.parametrize("index", [[0, 2], [-1, 1], [2, 2]])
def test_an_element_is_taken_as_numpy_does(index: list[int]) -> None:
    values = np.array([1.0, 2.0, 4.0])
    compiled = tg.compile(lambda rows: np.take(values, rows) * 2)
    compiled(np.array([0, 1]))
    np.testing.assert_array_equal(compiled(np.array(index)), values[index] * 2)
    for outside in (3, -4):
        with pytest.raises(IndexError):
            compiled(np.array([0, outside]))
