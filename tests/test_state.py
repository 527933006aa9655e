"""Arrays that outlive a call; what does not fit on loading is tested where it is loaded, in ``nn`` and ``optim``."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.state import fitting, flattened, on_tape


def test_outside_of_a_capture_arrays_are_themselves():
    array = np.zeros(2)
    tree = {"a": [array]}
    assert on_tape(array) is array
    assert on_tape(tree) is tree


def test_a_compiled_function_reads_and_writes_them_as_the_function_does():
    class Counter:
        def __init__(self):
            self.counts = {"calls": np.zeros(()), "sums": [np.zeros(2)], "name": "counter"}

        def __call__(self, x):
            counts = on_tape(self.counts)
            np.add(counts["calls"], 1, out=counts["calls"])
            np.add(counts["sums"][0], x, out=counts["sums"][0])
            return x * counts["calls"]

    eager, counter = Counter(), Counter()
    compiled = tg.compile(lambda x: counter(x))
    for i in range(4):
        x = np.array([1.0, i])
        np.testing.assert_array_equal(compiled(x), eager(x))
        assert counter.counts["calls"] == eager.counts["calls"] == i + 1
        np.testing.assert_array_equal(counter.counts["sums"][0], eager.counts["sums"][0])
    assert compiled.captures == 1


def test_what_is_transient_can_be_computed_in():
    scratch = np.zeros(2)

    def double(x):
        work = on_tape(scratch, transient=True)
        np.multiply(x, 2, out=work)
        return work + 1

    compiled = tg.compile(double)
    np.testing.assert_array_equal(compiled(np.ones(2)), [3, 3])
    np.testing.assert_array_equal(compiled(np.full(2, 5)), [11, 11])


def test_nested_dicts_become_one():
    assert flattened({"a": {"b": {"c": 1}, "d": 2}, "e": 3, "f": {}}) == {"a.b.c": 1, "a.d": 2, "e": 3}


def test_arrays_come_in_the_order_of_ones_own():
    own = {"a": np.zeros(2), "b": np.zeros(())}
    found = fitting("Dense", "model", own, {"b": 1.0, "a": tg.tensor([1.0, 2.0])})
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], [1, 2])


def test_everything_that_does_not_fit_is_listed():
    own = {"a": np.zeros(2), "b": np.zeros(())}
    with pytest.raises(tg.errors.ShapeError, match="of Dense: b is missing; c is not in the model; a is"):
        fitting("Dense", "model", own, {"a": np.zeros(3), "c": 1.0})
