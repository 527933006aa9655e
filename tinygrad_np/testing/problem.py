"""What is checked, whatever it is, as functions of plain arrays: the values, and the pullback of cotangents."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_np.core import Tensor, gradients
from tinygrad_np.errors import DtypeError, GradientError, ShapeError
from tinygrad_np.graph import Leaf, enable_grad, no_grad
from tinygrad_np.nn.module import Module
from tinygrad_np.random import manual_seed
from tinygrad_np.state import kept
from tinygrad_np.trees import leaves, map_leaves, matched, paths, rebuild

__all__ = ["PlainProblem", "Problem", "TensorProblem", "tensor_problem"]

Array = np.ndarray[Any, Any]
Pull = Callable[[Sequence[Array]], list[Array]]


class Problem(ABC):
    """A function of some arrays, with a gradient to check.

    Attributes
    ----------
    function : str
        What to call it.
    names : list of str
        What to call the inputs.
    arrays : list of ndarray
        The point to check at.
    notes : list of str
        What of the arguments is not checked.
    """

    function: str
    names: list[str]
    arrays: list[Array]
    notes: Sequence[str] = ()

    @abstractmethod
    def outputs(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs that have a derivative, at a point."""

    @abstractmethod
    def pullback(self, arrays: Sequence[Array]) -> tuple[list[Array], Pull]:
        """The outputs, and the function that is checked: from their cotangents to the gradients of the inputs."""

    def call_text(self, *, output: int | None = None) -> str:
        """How to write the call, or one of several outputs of it."""
        text = f"{self.function}({', '.join(self.names)})" if len(self.names) <= 4 else f"{self.function}(...)"
        return text if output is None else f"{text}[{output}]"


class TensorProblem(Problem):
    """A function of Tensors.

    Parameters
    ----------
    function, names, arrays
        As for `Problem`.
    call : callable
        From a list of Tensors to a list of Tensors.
    outputs_named : list of str, optional
        What to call the outputs, if not after the call.
    """

    def __init__(
        self,
        function: str,
        names: list[str],
        arrays: list[Array],
        call: Callable[[Sequence[Tensor]], list[Tensor]],
        outputs_named: list[str] | None = None,
    ) -> None:
        self.function, self.names, self.arrays = function, names, arrays
        self.call = call
        self.outputs_named = outputs_named

    def call_text(self, *, output: int | None = None) -> str:
        if self.outputs_named is None:
            return super().call_text(output=output)
        return self.function if output is None else self.outputs_named[output]

    def outputs(self, arrays: Sequence[Array]) -> list[Array]:
        with no_grad():
            return [np.asarray(y.data) for y in self.call([Tensor(x) for x in arrays])]

    def pullback(self, arrays: Sequence[Array]) -> tuple[list[Array], Pull]:
        inputs = _as_leaves(arrays)
        with enable_grad():
            outputs = self.call(inputs)

        def pull(cotangents: Sequence[Array]) -> list[Array]:
            pairs = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.requires_grad]
            if not pairs:
                return [np.zeros_like(x) for x in arrays]
            ends, starts = zip(*pairs, strict=True)
            return list(gradients(ends, inputs, starts, retain_graph=True))

        return [np.asarray(y.data) for y in outputs], pull

    def derivative(self, rng: np.random.Generator) -> TensorProblem:
        """The gradient as a problem of its own, of the inputs and of cotangents."""
        count = len(self.arrays)
        outputs = self.outputs(self.arrays)
        cotangents = [random_like(y, rng) for y in outputs]
        names = [self.call_text(output=i if len(outputs) > 1 else None) for i in range(len(outputs))]

        def call(tensors: Sequence[Tensor]) -> list[Tensor]:
            inputs, starts = tensors[:count], tensors[count:]
            recorded = any(t.requires_grad for t in tensors)
            if not recorded:
                inputs = _as_leaves([t.data for t in inputs])
            with enable_grad():
                pairs = [(y, g) for y, g in zip(self.call(inputs), starts, strict=True) if y.requires_grad]
            if not pairs:
                return [Tensor(np.zeros_like(x.data)) for x in inputs]
            ends, begins = zip(*pairs, strict=True)
            begins = begins if recorded else tuple(g.data for g in begins)
            found = gradients(ends, inputs, begins, create_graph=recorded)
            return [g if isinstance(g, Tensor) else Tensor(g) for g in found]

        return TensorProblem(
            f"the gradient of {self.function}",
            [*self.names, *(f"(cotangent of {name})" for name in names)],
            [*self.arrays, *cotangents],
            call,
            [f"(gradient of {self.function} by {name})" for name in self.names],
        )


class PlainProblem(Problem):
    """A function of plain arrays that returns a number, and a gradient written by hand."""

    def __init__(self, function: Callable[[Any], Any], gradient: Any, x: Any) -> None:
        self.function = name_of(function)
        self.value, self.gradient, self.tree = function, gradient, x
        self.arrays = [np.array(leaf) for leaf in leaves(x)]
        self.names = [f"x{path}" for path, _ in paths(x)]
        for name, array in zip(self.names, self.arrays, strict=True):
            if array.dtype.kind not in "fc":
                raise DtypeError(f"check_gradient(): {name} of dtype {array.dtype} has no gradient: pass floats")

    def outputs(self, arrays: Sequence[Array]) -> list[Array]:
        value = np.asarray(self.value(rebuild(self.tree, list(arrays))))
        if value.size != 1:
            raise ShapeError(f"check_gradient(): {self.function} must return a single number, not shape {value.shape}")
        return [value.reshape(())]

    def pullback(self, arrays: Sequence[Array]) -> tuple[list[Array], Pull]:
        outputs = self.outputs(arrays)
        if outputs[0].dtype.kind == "c":
            raise DtypeError(f"check_gradient(): {self.function} must return a real number, not a complex one")
        tree = rebuild(self.tree, list(arrays))
        found = self.gradient(tree) if callable(self.gradient) else self.gradient
        slopes = [np.asarray(leaf) for leaf in matched(found, tree)]
        for name, slope, x in zip(self.names, slopes, arrays, strict=True):
            if slope.shape != x.shape:
                raise GradientError(f"the gradient of {name} has shape {slope.shape}, and {name} has {x.shape}")
            if slope.dtype != x.dtype and callable(self.gradient):
                raise GradientError(f"the gradient of {name} has dtype {slope.dtype}, and {name} has {x.dtype}")
        # The number may have more digits than the input, as a Python float has; its gradient has the input's.
        kinds = [np.result_type(slope, x) for slope, x in zip(slopes, arrays, strict=True)]

        def pull(cotangents: Sequence[Array]) -> list[Array]:
            scaled = (slope * cotangents[0] for slope in slopes)
            return [np.asarray(s, kind) for s, kind in zip(scaled, kinds, strict=True)]

        return outputs, pull

    def call_text(self, *, output: int | None = None) -> str:
        return f"{self.function}(x)"


def tensor_problem(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], parameters: Any, seed: int | None
) -> TensorProblem:
    """A function of nested arrays, with the parameters that it uses, as one of a flat list of Tensors."""
    labels, found, holes = _differentiable(function, [*args, *kwargs.values()], list(kwargs))
    numbers = [leaf for tree in holes for leaf in leaves(tree) if isinstance(leaf, float | complex)]
    count = len(args)
    handles = _parameters(function, parameters)
    models = [model for model in (function, parameters) if isinstance(model, Module)]
    arrays = [*found, *(handle.data.copy() for handle in handles.values())]
    if not arrays:
        raise GradientError(
            "gradcheck(): there is nothing to check: no argument is a float or complex array, and there is no "
            "parameter. A number within a list, tuple or dict is passed on as it is: write np.array(2.0)"
        )

    def call(tensors: Sequence[Tensor]) -> list[Tensor]:
        supply = iter(tensors)
        given = [map_leaves(lambda leaf: next(supply) if leaf is _HOLE else leaf, tree) for tree in holes]
        if seed is not None:
            manual_seed(seed)
        with _replaced(list(handles.values()), list(supply)), _kept(models):
            result = function(*given[:count], **dict(zip(kwargs, given[count:], strict=True)))
        outputs = [y for y in map(_as_tensor, leaves(result)) if y.dtype.kind in "fc"]
        if not outputs and any(x.size for x in arrays):
            raise GradientError(
                f"{name_of(function)} returned {_described(result)}, which has no derivative: return a "
                "float or complex tensor, or several in dicts, lists and tuples"
            )
        return outputs

    problem = TensorProblem(name_of(function), [*labels, *handles], arrays, call)
    if numbers:
        some, first = ", ".join(map(repr, numbers[:3])), f"np.array({numbers[0]!r})"
        problem.notes = [f"numbers within arguments, {some}, are passed on unchecked: {first} is checked"]
    return problem


_HOLE = object()


def _differentiable(
    function: Callable[..., Any], trees: Sequence[Any], keywords: Sequence[str]
) -> tuple[list[str], list[Array], list[Any]]:
    """Names and arrays of what is differentiated, and the arguments with holes in their places."""
    names, found, holes = _argument_names(function, len(trees) - len(keywords)), [], []
    labels: list[str] = []
    for name, tree in zip([*names, *keywords], trees, strict=True):

        def taken(leaf: Any, whole: Any = tree) -> Any:
            if not _has_gradient(leaf, alone=leaf is whole):
                return leaf
            found.append(np.array(leaf.data if isinstance(leaf, Tensor) else leaf))
            return _HOLE

        holes.append(map_leaves(taken, tree))
        labels += [f"{name}{path}" for path, leaf in paths(holes[-1]) if leaf is _HOLE]
    return labels, found, holes


def _has_gradient(leaf: Any, alone: bool) -> bool:
    """Whether a leaf is differentiated: float arrays, numbers passed by themselves, and Tensors that ask for it."""
    if isinstance(leaf, Tensor):
        return leaf.requires_grad
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind in "fc"
    return alone and isinstance(leaf, float | complex)


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    target = function.forward if isinstance(function, Module) else function
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    names += [f"x{i}" for i in range(len(names), count)]
    return names


def _parameters(function: Any, given: Any) -> dict[str, Tensor]:
    """The Tensors to differentiate by besides the arguments, with their names."""
    given = function if given is None and isinstance(function, Module) else given
    if given is None:
        return {}
    if isinstance(given, Module):
        return dict(given.named_parameters())
    if isinstance(given, Mapping):
        found = {str(name): t for name, t in given.items()}
    else:
        found = {f"parameters[{i}]": t for i, t in enumerate(given)}
    for name, t in found.items():
        if not isinstance(t, Tensor) or not t.requires_grad or not t.is_leaf:
            raise GradientError(f"gradcheck(): {name} is no leaf tensor that requires a gradient")
    return found


@contextmanager
def _replaced(handles: Sequence[Tensor], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let parameters stand for other Tensors for a while: recorded ones, or ones of another dtype."""
    before = [(handle, handle._value, handle._node) for handle in handles]
    try:
        for handle, t in zip(handles, tensors, strict=True):
            handle._value, handle._node = t._value, t._node
        yield
    finally:
        for handle, value, node in before:
            handle._value, handle._node = value, node


@contextmanager
def _kept(models: Sequence[Module]) -> Iterator[None]:
    """Let models move what they keep besides parameters, such as running means, and put it back."""
    put_back = kept([t for model in models for t in model._untrained()])
    try:
        yield
    finally:
        put_back()


def _described(result: Any) -> str:
    if isinstance(result, Tensor | np.ndarray | np.generic):
        return f"a {type(result).__name__} of {result.dtype}"
    return "None" if result is None else f"a {type(result).__name__}"


def _as_tensor(leaf: Any) -> Tensor:
    return leaf if isinstance(leaf, Tensor) else Tensor(np.asarray(leaf))


def _as_leaves(arrays: Sequence[Array]) -> list[Tensor]:
    """Leaves that share the arrays, so that memory layout and changes in place are the caller's."""
    return [Tensor(x, Leaf(x)) for x in map(np.asarray, arrays)]


def random_like(y: Any, rng: np.random.Generator) -> Array:
    """Numbers of about 1, none of them small, in the shape and dtype of an array."""
    values = rng.uniform(0.5, 1, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    return np.asarray(values * np.exp(2j * np.pi * rng.random(y.shape)) if y.dtype.kind == "c" else values, y.dtype)


def name_of(function: Any) -> str:
    """A name that can stand in code: of a lambda, ``f``."""
    if isinstance(function, Module):
        return "model"
    name = str(getattr(function, "__name__", "f"))
    return name if name.isidentifier() else "f"
