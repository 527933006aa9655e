"""What all optimisers share: the parameters, the learning rate, and arrays to compute in."""

from __future__ import annotations

import copy
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.core import Tensor
from tinygrad_np.errors import DtypeError, GradientError, ShapeError
from tinygrad_np.graph import capturing
from tinygrad_np.trees import map_leaves

__all__ = ["Optimizer", "checked", "zeros_like"]


class Optimizer(ABC):
    """Base class: checks the parameters, and hands each with its gradient to `_update`.

    A step is a straight list of NumPy calls into arrays that were made beforehand. Whatever changes from step to step,
    the learning rate included, is in an array, never in a Python number: so a step can be captured and replayed.

    Parameters
    ----------
    parameters : iterable of Tensor
        Leaves that require a gradient, such as ``model.parameters()``.
    lr : float
        The learning rate.

    Raises
    ------
    ShapeError
        If there are no parameters, if one is there twice, or if a number is out of its range.
    DtypeError
        If a parameter is not a Tensor.
    GradientError
        If a parameter is not a leaf that requires a gradient.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = _checked_parameters(type(self).__name__, parameters)
        self._lr = np.zeros(())
        self.lr = lr
        self._scratch = _shared_scratch(self.parameters)

    @property
    def lr(self) -> float:
        """The learning rate; it can be set between steps."""
        return float(self._lr)

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr[...] = checked(type(self).__name__, "lr", value)

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts from nothing."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Change each parameter in place, as its gradient says; those without a gradient stay as they are."""
        this = self._on_tape()
        for i, parameter in enumerate(self.parameters):
            gradient = parameter.grad
            if gradient is not None:
                this._update(i, parameter.data, gradient)
                parameter.mark_updated()

    def _on_tape(self) -> Optimizer:
        """Itself; while `tinygrad_np.compile` captures a step, a copy whose arrays are what stands in for them."""
        tape = capturing.get()
        if tape is None:
            return self
        this = copy.copy(self)
        for name, value in vars(self).items():
            if name != "parameters":
                transient = name == "_scratch"  # its content does not outlive the step
                replace = functools.partial(_stand_in, tape, transient=transient)
                setattr(this, name, map_leaves(replace, value))
        return this

    @abstractmethod
    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        """Change the array of parameter i in place; neither keep nor change the gradient."""

    def __repr__(self) -> str:
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, bool | int | float | tuple)}
        options = ", ".join(f"{name}={value}" for name, value in {"lr": self.lr, **numbers}.items())
        return f"{type(self).__name__}({len(self.parameters)} parameters, {options})"


def _stand_in(tape: Any, leaf: Any, *, transient: bool) -> Any:
    return tape.storage(leaf, transient=transient) if isinstance(leaf, np.ndarray) else leaf


def checked(owner: str, name: str, value: float, below: float = math.inf) -> float:
    """A number from 0 up to a limit, or an error that names it."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DtypeError(f"{owner}: {name} must be a number, not {value!r}") from None
    if not 0 <= number < below:
        limit = "finite" if below == math.inf else f"below {below:g}"
        raise ShapeError(f"{owner}: {name} must be zero or above, and {limit}, not {value!r}")
    return number


def _checked_parameters(owner: str, parameters: Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        raise DtypeError(
            f"{owner}: parameters must be a list of tensors, not one tensor of shape {parameters.shape}: write [t]"
        )
    found = list(parameters)
    if not found:
        raise ShapeError(f"{owner}: there are no parameters to optimise; pass model.parameters(), or a list of leaves")
    for position, parameter in enumerate(found):
        if not isinstance(parameter, Tensor):
            raise DtypeError(f"{owner}: parameter {position} is a {type(parameter).__name__}, not a tensor")
        if not (parameter.is_leaf and parameter.requires_grad):
            why = "does not require a gradient" if parameter.is_leaf else "is a result, not a leaf"
            raise GradientError(
                f"{owner}: parameter {position} of shape {parameter.shape} {why}: "
                "make it with tg.tensor(..., requires_grad=True)"
            )
    if len({id(parameter) for parameter in found}) != len(found):
        raise ShapeError(f"{owner}: a parameter is there twice, and would be updated twice a step")
    return found


def _shared_scratch(parameters: list[Tensor]) -> list[NDArray[Any]]:
    """Arrays of each parameter's shape and dtype to compute in. They share memory: one is in use at a time."""
    sizes: dict[np.dtype[Any], int] = {}
    for parameter in parameters:
        sizes[parameter.dtype] = max(sizes.get(parameter.dtype, 0), parameter.size)
    buffers = {dtype: np.empty(size, dtype) for dtype, size in sizes.items()}
    return [buffers[parameter.dtype][: parameter.size].reshape(parameter.shape) for parameter in parameters]


def zeros_like(parameters: list[Tensor]) -> list[NDArray[Any]]:
    """Arrays of each parameter's shape and dtype for an optimiser's state, which starts at zero."""
    return [np.zeros(parameter.shape, parameter.dtype) for parameter in parameters]
