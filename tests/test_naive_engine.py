"""The engine against a naive one, on random programs.

The naive engine has no derivative rules, no graph that is worth the name, and no thought for speed. Its functions are
affine in each argument, so it finds a derivative by putting a one in each element in turn and looking what comes out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

import tinygrad_np as tg
from tinygrad_np.errors import GradientError, LeafUpdateError

# ----------------------------------------------------------------------------------------------------- the naive engine


class Naive:
    """A value that knows what it was used for."""

    def __init__(self, value: Any, tracked: bool) -> None:
        self.value = np.asarray(value)
        self.tracked = tracked
        self.uses: list[tuple[Naive, Callable[[Any], Any]]] = []  # each result, and how to pull its cotangent back


def computed(function: Callable[..., Any], *inputs: Naive) -> Naive:
    """The value of a function that is affine in each of its arguments."""
    values = [x.value for x in inputs]
    output = Naive(function(*values), any(x.tracked for x in inputs))
    for position, x in enumerate(inputs):
        x.uses.append((output, functools.partial(pulled_back, function, values, position)))
    return output


def pulled_back(function: Callable[..., Any], values: list[Any], position: int, g: Any) -> Any:
    """The cotangent of one argument, element by element, given that of the result."""

    def at(x: Any) -> Any:
        return function(*values[:position], x, *values[position + 1 :])

    origin = np.zeros_like(values[position])
    gradient = np.empty_like(origin)
    for k in range(origin.size):
        one = origin.copy()
        one.flat[k] = 1
        gradient.flat[k] = np.sum(g * (at(one) - at(origin)))
    return gradient


def cotangent(x: Naive, output: Naive, g: Any, known: dict[Naive, Any]) -> Any:
    """By plain recursion: what all results that a value was used for pull back to it."""
    if x is output:
        return g
    if x not in known:
        known[x] = np.zeros_like(x.value)
        for result, pull in x.uses if x.tracked else ():
            known[x] = known[x] + pull(cotangent(result, output, g, known))
    return known[x]


# -------------------------------------------------------------------------------------------------- random programs

SMOOTH = {  # with their derivatives
    np.sin: np.cos,
    np.tanh: lambda x: 1 - np.tanh(x) ** 2,
    np.square: lambda x: 2 * x,
    np.negative: lambda x: -np.ones_like(x),
    np.arctan: lambda x: 1 / (1 + x * x),
}
LARGEST, MOST = 100.0, 16  # values stay below the one, and sizes below the other
SHAPES = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
NUMBERS = st.integers(-8, 8).map(lambda k: k / 4)


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Slices and integers, masks, and arrays of integers."""
    kinds = [hnp.basic_indices(shape, allow_newaxis=True), hnp.arrays(np.bool_, shape)]
    if shape and 0 not in shape:
        kinds.append(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)))
    return st.one_of(kinds)


def fits(function: Callable[..., Any], *values: Any) -> bool:
    """Whether NumPy takes these values, and gives something that is neither too large nor too much."""
    try:
        result = function(*values)
    except (ValueError, TypeError, IndexError):
        return False
    return result.size <= MOST and result.ndim <= 3 and np.max(np.abs(result), initial=0) < LARGEST


def written(index: Any) -> Callable[[Any, Any], Any]:
    """``x[index] = value`` as a function of both."""

    def function(x: Any, value: Any) -> Any:
        result = np.array(x)
        result[index] = value
        return result

    return function


class Variable:
    """The same value in both engines."""

    def __init__(self, tensor: tg.Tensor, naive: Naive) -> None:
        self.tensor = tensor
        self.naive = naive

    @property
    def is_protected(self) -> bool:
        """Whether it is a leaf that requires a gradient, and so refuses updates."""
        return self.tensor.is_leaf and self.tensor.requires_grad


class Programs(RuleBasedStateMachine):
    """Random programs, run by both engines at once."""

    variables = Bundle("variables")
    variable = variables  # reads better as the type of an argument

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Variable] = []
        self.grads: dict[Variable, Any] = {}

    def made(self, tensor: tg.Tensor, naive: Naive) -> Variable:
        variable = Variable(tensor, naive)
        self.all.append(variable)
        return variable

    def both(self, function: Callable[..., Any], *inputs: Variable) -> Any:
        """A new variable, if NumPy makes one that fits."""
        if not fits(function, *(x.naive.value for x in inputs)):
            return multiple()
        return self.made(function(*(x.tensor for x in inputs)), computed(function, *(x.naive for x in inputs)))

    def update(self, y: Variable, change: Callable[[], Any], function: Callable[..., Any], *inputs: Variable) -> None:
        """Update `y` in place, unless it is a leaf."""
        if y.is_protected:
            with pytest.raises(LeafUpdateError):
                change()
            return
        change()
        y.naive = computed(function, *(x.naive for x in inputs))

    @initialize(target=variables, values=hnp.arrays(float, (2, 3), elements=NUMBERS))
    def first(self, values: Any) -> Variable:
        return self.leaf(values)

    @rule(target=variables, values=hnp.arrays(float, SHAPES, elements=NUMBERS))
    def leaf(self, values: Any) -> Variable:
        variable = self.made(tg.tensor(values, requires_grad=True), Naive(values, tracked=True))
        self.grads[variable] = None
        return variable

    @rule(target=variables, values=hnp.arrays(float, SHAPES, elements=NUMBERS))
    def constant(self, values: Any) -> Variable:
        return self.made(tg.tensor(values), Naive(values, tracked=False))

    @rule(target=variables, x=variable, function=st.sampled_from(list(SMOOTH)))
    def smooth(self, x: Variable, function: Callable[..., Any]) -> Any:
        here = x.naive.value
        value, slope = function(here), SMOOTH[function](here)
        if not fits(function, here):
            return multiple()
        return self.made(function(x.tensor), computed(lambda v: value + slope * (v - here), x.naive))

    @rule(target=variables, x=variable)
    def one_output_of_two(self, x: Variable) -> Variable:
        here = x.naive.value
        fraction, _ = np.modf(here)
        return self.made(np.modf(x.tensor)[0], computed(lambda v: fraction + (v - here), x.naive))

    @rule(target=variables, x=variable, z=variable, function=st.sampled_from([np.add, np.subtract, np.multiply]))
    def elementwise(self, x: Variable, z: Variable, function: Callable[..., Any]) -> Any:
        return self.both(function, x, z)

    @rule(target=variables, x=variable, number=NUMBERS)
    def with_a_number(self, x: Variable, number: float) -> Any:
        return self.both(lambda v: number - v * 0.5, x)

    @rule(target=variables, x=variable, z=variable)
    def matmul(self, x: Variable, z: Variable) -> Any:
        return self.both(np.matmul, x, z)

    @rule(target=variables, x=variable, z=variable, data=st.data())
    def where(self, x: Variable, z: Variable, data: st.DataObject) -> Any:
        mask = data.draw(hnp.arrays(np.bool_, x.tensor.shape))
        return self.both(lambda a, b: np.where(mask, a, b), x, z)

    @rule(target=variables, x=variable, z=variable)
    def joined(self, x: Variable, z: Variable) -> Any:
        return self.both(lambda a, b: np.concatenate([a, b, a]), x, z)

    @rule(target=variables, x=variable, keepdims=st.booleans(), mean=st.booleans(), data=st.data())
    def reduced(self, x: Variable, keepdims: bool, mean: bool, data: st.DataObject) -> Any:
        ndim = x.tensor.ndim
        axis = data.draw(st.none() | hnp.valid_tuple_axes(ndim) | st.integers(-ndim, ndim - 1) if ndim else st.none())
        function = np.mean if mean and x.tensor.size else np.sum
        return self.both(lambda v: function(v, axis=axis, keepdims=keepdims), x)

    @rule(target=variables, x=variable)
    def flat(self, x: Variable) -> Any:
        return self.both(lambda v: v.reshape(-1), x)

    @rule(target=variables, x=variable)
    def transposed(self, x: Variable) -> Any:
        return self.both(lambda v: v.T, x)

    @rule(target=variables, x=variable, data=st.data())
    def read(self, x: Variable, data: st.DataObject) -> Any:
        index = data.draw(indices(x.tensor.shape))
        return self.both(lambda v: v[index], x)

    @rule(y=variable, x=variable, data=st.data())
    def write(self, y: Variable, x: Variable, data: st.DataObject) -> None:
        index = data.draw(indices(y.tensor.shape))
        function = written(index)
        if fits(function, y.naive.value, x.naive.value):
            self.update(y, lambda: y.tensor.__setitem__(index, x.tensor), function, y, x)

    @rule(y=variable, number=NUMBERS, data=st.data())
    def write_a_number(self, y: Variable, number: float, data: st.DataObject) -> None:
        index = data.draw(indices(y.tensor.shape))
        self.update(y, lambda: y.tensor.__setitem__(index, number), lambda v: written(index)(v, number), y)

    @rule(y=variable, x=variable, name=st.sampled_from(["add", "sub", "mul"]))
    def in_place(self, y: Variable, x: Variable, name: str) -> None:
        function = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[name]
        values = y.naive.value, x.naive.value
        if fits(function, *values) and function(*values).shape == y.tensor.shape:
            self.update(y, lambda: getattr(y.tensor, f"__i{name}__")(x.tensor), function, y, x)

    @rule(target=variables, x=variable)
    def detached(self, x: Variable) -> Variable:
        return self.made(x.tensor.detach(), Naive(x.naive.value, tracked=False))

    @rule(target=variables, x=variable, z=variable)
    def without_gradient(self, x: Variable, z: Variable) -> Any:
        if not fits(np.multiply, x.naive.value, z.naive.value):
            return multiple()
        with tg.no_grad():
            product = x.tensor * z.tensor
        return self.made(product, Naive(x.naive.value * z.naive.value, tracked=False))

    @rule(y=variable)
    def in_place_without_gradient(self, y: Variable) -> None:
        with tg.no_grad():
            self.update(y, lambda: y.tensor.__imul__(0.5), lambda v: v * 0.5, y)
        if not y.is_protected:
            y.naive = Naive(y.naive.value, tracked=False)

    # What is compared

    def expected(self, output: Variable, g: Any) -> tuple[list[Any], float]:
        """The gradients of all variables by the naive engine, and the size of the numbers that they were made from."""
        known: dict[Naive, Any] = {}
        found = [cotangent(x.naive, output.naive, g, known) for x in self.all]
        return found, max((np.max(np.abs(c), initial=0) for c in [*known.values(), g]), default=0.0)

    def compare(self, output: Variable, **options: Any) -> None:
        g = np.random.default_rng(0).uniform(0.5, 1.5, output.tensor.shape)
        expected, size = self.expected(output, g)
        tracked = [i for i, x in enumerate(self.all) if x.tensor.requires_grad]
        found = tg.gradients(output.tensor, [self.all[i].tensor for i in tracked], g, **options)
        for i, gradient in zip(tracked, found, strict=True):
            gradient = gradient.data if isinstance(gradient, tg.Tensor) else gradient
            np.testing.assert_allclose(gradient, expected[i], rtol=0, atol=1e-10 * (LARGEST + size), strict=True)

    @rule(output=variable, create_graph=st.booleans())
    def gradients(self, output: Variable, create_graph: bool) -> None:
        if output.tensor.requires_grad:
            self.compare(output, retain_graph=True, create_graph=create_graph)
        else:
            with pytest.raises(GradientError, match="not recorded"):
                output.tensor.backward()

    @rule(output=variable)
    def backward(self, output: Variable) -> None:
        if not output.tensor.requires_grad:
            return
        g = np.ones(output.tensor.shape)
        expected, size = self.expected(output, g)
        output.tensor.backward(g, retain_graph=True)
        for x, gradient in zip(self.all, expected, strict=True):
            if x not in self.grads:
                continue
            before = np.zeros(x.tensor.shape) if self.grads[x] is None else self.grads[x]
            after = np.zeros(x.tensor.shape) if x.tensor.grad is None else x.tensor.grad
            size = max(size, np.max(np.abs(after), initial=0))
            np.testing.assert_allclose(after - before, gradient, rtol=0, atol=1e-10 * (LARGEST + size))
            self.grads[x] = x.tensor.grad

    @invariant()
    def values_agree(self) -> None:
        for x in self.all:
            assert (x.tensor.shape, x.tensor.dtype) == (x.naive.value.shape, x.naive.value.dtype)
            np.testing.assert_array_equal(x.tensor.data, x.naive.value)
            assert x.tensor.requires_grad is x.naive.tracked

    def teardown(self) -> None:
        """The last gradient lets go of the graph as it passes."""
        for output in reversed(self.all):
            if output.tensor.requires_grad:
                self.compare(output)
                break


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(stateful_step_count=40)


# --------------------------------------------------------------------------------------- the naive engine itself


def test_the_naive_engine_is_right() -> None:
    """On something that one can check by hand: f = sum((x w + b)**2), with x used twice."""
    x, w = Naive([1.0, 2.0], tracked=True), Naive([3.0, 4.0], tracked=True)
    b = Naive(0.5, tracked=False)
    z = computed(lambda x, w, b: x * w + b, x, w, b)
    y = computed(lambda z, x: np.sum(z) + np.sum(x), z, x)
    assert y.value == 15
    assert cotangent(x, y, 1.0, {}).tolist() == [4.0, 5.0]
    assert cotangent(w, y, 1.0, {}).tolist() == [1.0, 2.0]
    assert cotangent(b, y, 1.0, {}) == 0  # not tracked
    assert cotangent(y, x, 1.0, {}) == 0
