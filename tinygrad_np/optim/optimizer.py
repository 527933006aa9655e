"""What all optimisers share: the parameters in groups, the learning rates, the state, and arrays to compute in."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked
from tinygrad_np.core import Tensor
from tinygrad_np.errors import DtypeError, GradientError, ShapeError
from tinygrad_np.graph import capturing
from tinygrad_np.memory import aligned, aligned_bytes
from tinygrad_np.standins import gradient_of, live, mark_updated, set_gradient
from tinygrad_np.state import fitting, flattened, on_tape

__all__ = ["Group", "Optimizer", "Parameters"]

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]
"""What an optimiser takes: leaves, or groups of them such as ``{"params": leaves, "lr": 0.1}``."""


class Group(Mapping[str, Any]):
    """Some of an optimiser's parameters and the options that they share; ``group["lr"] = 0.01`` changes one.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> first, last = tg.nn.Dense(3, 4), tg.nn.Dense(4, 2)
    >>> groups = [{"params": first.parameters(), "lr": 0.01}, {"params": last.parameters()}]
    >>> optimiser = tg.optim.SGD(groups, lr=0.1, momentum=0.9)
    >>> optimiser.param_groups[1]["lr"] = 0.2
    >>> optimiser
    SGD(
      2 parameters, lr=0.01, momentum=0.9, weight_decay=0.0, nesterov=False
      2 parameters, lr=0.2, momentum=0.9, weight_decay=0.0, nesterov=False
    )
    """

    def __init__(self, kind: type[Optimizer], parameters: tuple[Tensor, ...], options: dict[str, Any]) -> None:
        self.parameters = parameters
        self.rate = np.zeros(())
        """The learning rate, in an array so that a compiled step sees it change."""
        self.options: dict[str, Any] = {}
        """All other options: numbers, which a compiled step is captured anew for."""
        self._kind = kind
        self.update(options)

    def update(self, options: Mapping[str, Any]) -> None:
        """Change several options at once; nothing changes if one is out of its range."""
        rate, others = self.accepted(options)
        on_tape(self.rate)[...] = rate
        # A compiled step is captured anew for another object, be it equal.
        self.options.update({n: v for n, v in others.items() if n not in self.options or self.options[n] != v})

    def accepted(self, options: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
        """The learning rate and the other options as they would be; raises if they are out of their ranges."""
        others = {name: value for name, value in {**self.options, **options}.items() if name != "lr"}
        rate = options["lr"] if "lr" in options else self["lr"]
        return checked(self._kind.__name__, "lr", rate), self._kind._checked(others)

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.parameters
        return float(on_tape(self.rate)) if name == "lr" else self.options[name]

    def __setitem__(self, name: str, value: Any) -> None:
        owner = self._kind.__name__
        if name == "params" or name not in self:
            options = ", ".join(self.numbers())
            raise ShapeError(f"{owner}: a group has no option {name!r} to set, only {options}")
        _, others = self.accepted({name: value})
        nothing = np.zeros(())
        before, after = (self._kind._fresh(nothing, options) for options in (self.options, others))
        if before.keys() != after.keys():
            raise ShapeError(
                f"{owner}: {name} cannot go from {self[name]!r} to {value!r}, as the state would need "
                f"{list(after) or 'no arrays'} and has {list(before) or 'none'}: make a new optimiser"
            )
        self.update({name: value})

    def __iter__(self) -> Iterator[str]:
        return iter(["params", "lr", *self.options])

    def __len__(self) -> int:
        return 2 + len(self.options)

    def numbers(self) -> dict[str, Any]:
        """All options, without the parameters."""
        return {"lr": self["lr"], **self.options}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.numbers().items())
        return f"{len(self.parameters)} parameters, {options}"


class Optimizer(ABC):
    """Base class: checks the parameters, and hands each with its gradient to `_update`.

    A step is a straight list of NumPy calls into arrays that were made beforehand. Whatever changes from step to step,
    the learning rate included, is in an array, never in a Python number: so a step can be captured and replayed. It is
    computed, and its state is kept, in the dtype of each parameter, but for those of float16 in float32.

    Parameters
    ----------
    parameters : iterable of Tensor, or of dict
        Leaves that require a gradient, such as ``model.parameters()``; or groups, each a dict with its leaves under
        ``"params"`` and those options that differ from the optimiser's own.
    lr : float
        The learning rate.
    **options : float
        Others, by name.

    Attributes
    ----------
    parameters : tuple of Tensor
        Those of all groups.
    param_groups : tuple of Group
        One, if the parameters were not given in groups. To train others, make an optimiser of all of them.

    Raises
    ------
    ShapeError
        If there are no parameters, if one is there twice, if a group has an unknown option, or if a number is out of
        its range.
    DtypeError
        If a parameter is not a Tensor.
    GradientError
        If a parameter is not a leaf that requires a gradient.
    """

    _real_only: ClassVar[bool] = False
    _transient: ClassVar[tuple[str, ...]] = ("_scratch", "_rates")  # arrays that each step writes before it reads them

    def __init__(self, parameters: Parameters, lr: float, **options: Any) -> None:
        self.param_groups = _grouped(type(self), parameters, {"lr": lr, **options})
        grouped = [(group, parameter) for group in self.param_groups for parameter in group.parameters]
        self.parameters = tuple(parameter for _, parameter in grouped)
        if len({id(parameter) for parameter in self.parameters}) != len(self.parameters):
            raise ShapeError(f"{type(self).__name__}: a parameter is there twice, and would be updated twice a step")
        for position, parameter in enumerate(self.parameters):
            if self._real_only and parameter.dtype.kind == "c":
                raise DtypeError(
                    f"{type(self).__name__}: parameter {position} is {parameter.dtype}, and only real ones have a g**2 "
                    "to average: keep the real and the imaginary part as two parameters"
                )
        # In float16 the square of 256 is infinite, and that of 0.0001 is zero.
        self._narrow = tuple(p.dtype.type is np.float16 for p in self.parameters)
        wide = [p.data.astype(np.float32) if self._narrow[i] else p.data for i, p in enumerate(self.parameters)]
        # Tuples, of which a compiled step need not ask each time whether they are as they were.
        self._lrs = tuple(group.rate for group, _ in grouped)
        self._options = tuple(group.options for group, _ in grouped)
        self._state = tuple(
            {name: aligned(array) for name, array in self._fresh(like, group.options).items()}
            for (group, _), like in zip(grouped, wide, strict=True)
        )
        self._scratch = tuple(zip(*(_shared_scratch(wide) for _ in range(2)), strict=True))
        # An array, unlike a Python number, widens the dtype of what it multiplies: it must be in that of the step.
        kinds = [(id(group), like.dtype) for (group, _), like in zip(grouped, wide, strict=True)]
        shared = {kind: (np.zeros((), kind[1]), group.rate) for kind, (group, _) in zip(kinds, grouped, strict=True)}
        self._rates = tuple(shared[kind][0] for kind in kinds)
        self._shared_rates = tuple(shared.values())

    @property
    def lr(self) -> float:
        """The learning rate of all groups; it can be set between steps."""
        rates = list(dict.fromkeys(group["lr"] for group in self.param_groups))
        if len(rates) > 1:
            raise ShapeError(
                f"{type(self).__name__}: the groups have the learning rates {', '.join(map(str, rates))}: "
                'read optimiser.param_groups[i]["lr"]'
            )
        return float(rates[0])

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self) -> None:
        """Forget the gradients, so that the next backward starts from nothing."""
        for parameter in self.parameters:
            leaf: Any = parameter._node
            set_gradient(leaf, None)

    def step(self) -> None:
        """Change each parameter in place, as its gradient says; those without a gradient stay as they are."""
        this = self._on_tape()
        for rate, lr in this._shared_rates:
            np.copyto(rate, lr, casting="same_kind")
        leaves: list[Any] = [parameter._node for parameter in self.parameters]
        gradients = {i: g for i, leaf in enumerate(leaves) if (g := gradient_of(leaf)) is not None}
        this._begin(gradients.keys())
        update = this._update
        for i, gradient in gradients.items():
            if this._narrow[i]:
                gradient = gradient.astype(np.float32)
            update(i, live(self.parameters[i]._value), gradient)
            mark_updated(leaves[i])

    def state_dict(self) -> dict[str, Any]:
        """Copies of all options and of the state of each parameter: nested dicts of numbers and arrays."""
        groups = {str(i): _as_arrays(group.numbers()) for i, group in enumerate(self.param_groups)}
        arrays = {str(i): {n: a.copy() for n, a in self._kept(i).items()} for i in range(len(self._state))}
        return {"groups": groups, "state": arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the optimiser did that `state_dict` was called on; nothing changes unless everything fits.

        Parameters
        ----------
        state : mapping
            As `state_dict` returns it, of an optimiser of the same class and of parameters with the same shapes.

        Raises
        ------
        ShapeError
            If names are missing or unknown, if shapes differ, or if an option is out of its range.
        DtypeError
            If dtypes differ.
        """
        own = {"groups": {str(i): _as_arrays(group.numbers()) for i, group in enumerate(self.param_groups)}}
        own["state"] = {str(i): self._kept(i) for i in range(len(self._state))}
        as_arrays = {name: np.asarray(value) for name, value in flattened(own).items()}
        found = fitting(type(self).__name__, "optimiser", as_arrays, flattened(state))
        options = [
            {name: _as_option(found[f"groups.{i}.{name}"]) for name in group.numbers()}
            for i, group in enumerate(self.param_groups)
        ]
        for group, numbers in zip(self.param_groups, options, strict=True):
            group.accepted(numbers)
        for group, numbers in zip(self.param_groups, options, strict=True):
            group.update(numbers)
        for name, array in flattened({"state": own["state"]}).items():
            np.copyto(array, found[name])

    def _on_tape(self) -> Optimizer:
        """Itself; while `tinygrad_np.compile` captures a step, a copy whose arrays are what stands in for them."""
        if capturing.get() is None:
            return self
        this = copy.copy(self)
        for name, value in vars(self).items():
            if name != "parameters":
                setattr(this, name, on_tape(value, transient=name in self._transient))
        return this

    @classmethod
    def _checked(cls, options: dict[str, Any]) -> dict[str, Any]:
        """The options other than the learning rate, or an error that names the one that is out of its range."""
        return options

    @classmethod
    def _fresh(cls, parameter: NDArray[Any], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """The arrays that a parameter's updates keep from step to step, by name, as they start.

        The parameter is given in the dtype that its steps are computed in.
        """
        return {}

    def _kept(self, i: int) -> dict[str, NDArray[Any]]:
        """All arrays that belong to parameter i and outlive a step, or views of them, by name."""
        return self._state[i]

    def _begin(self, stepping: Collection[int]) -> None:  # noqa: B027 (there may be nothing)
        """Compute what is a single number for each parameter, given which ones have a gradient this time."""

    @abstractmethod
    def _update(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> None:
        """Change the array of parameter i in place; neither keep nor change the gradient.

        ``self._state[i]``, ``self._options[i]`` and ``self._lrs[i]`` are what belongs to it; ``self._rates[i]`` is the
        learning rate, or what is written there; ``self._scratch[i]`` are two arrays of its shape to compute in. These
        and the gradient have its dtype or, if that is float16, are float32.
        """

    def _pulled(self, i: int, parameter: NDArray[Any], gradient: NDArray[Any]) -> NDArray[Any]:
        """``gradient + weight_decay * parameter``, if there is any decay in the first of the scratch arrays."""
        weight_decay = self._options[i]["weight_decay"]
        if not weight_decay:
            return gradient
        pulled: NDArray[Any] = self._scratch[i][0]
        np.multiply(parameter, weight_decay, out=pulled)
        np.add(pulled, gradient, out=pulled)
        return pulled

    def __repr__(self) -> str:
        groups = [repr(group) for group in self.param_groups]
        inside = groups[0] if len(groups) == 1 else "".join(f"\n  {group}" for group in groups) + "\n"
        return f"{type(self).__name__}({inside})"


def _as_arrays(options: dict[str, Any]) -> dict[str, Any]:
    return {name: np.array(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _as_option(array: NDArray[Any]) -> Any:
    return tuple(array.tolist()) if array.ndim else array.item()


def _grouped(kind: type[Optimizer], parameters: Parameters, options: dict[str, Any]) -> tuple[Group, ...]:
    owner = kind.__name__
    if isinstance(parameters, Tensor | Mapping):
        what = f"one tensor of shape {parameters.shape}: write [t]" if isinstance(parameters, Tensor) else "one dict"
        raise DtypeError(f"{owner}: parameters must be a list of tensors, or of dicts, not {what}")
    given = _listed(owner, parameters)
    if not given or not isinstance(given[0], Mapping):
        return (Group(kind, _leaves(owner, given), options),)
    return tuple(_group(kind, i, group, options) for i, group in enumerate(given))


def _group(kind: type[Optimizer], i: int, given: Any, options: dict[str, Any]) -> Group:
    owner = f"{kind.__name__}, group {i}"
    if not isinstance(given, Mapping):
        raise DtypeError(f"{owner}: a group must be a dict like those before it, not a {type(given).__name__}")
    unknown = given.keys() - options.keys() - {"params"}
    if unknown or "params" not in given:
        what = f"no option is called {', '.join(sorted(unknown))}" if unknown else "there are no 'params'"
        raise ShapeError(f"{owner}: {what}; a group has 'params' and any of {', '.join(options)}")
    own = {name: value for name, value in given.items() if name != "params"}
    return Group(kind, _leaves(owner, given["params"]), {**options, **own})


def _listed(owner: str, parameters: Any) -> list[Any]:
    if not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        raise DtypeError(f"{owner}: parameters must be a list of tensors, not a {kind}: pass model.parameters()")
    return list(parameters)


def _leaves(owner: str, parameters: Any) -> tuple[Tensor, ...]:
    found = (parameters,) if isinstance(parameters, Tensor) else tuple(_listed(owner, parameters))
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
    return found


def _shared_scratch(alike: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Arrays of the shapes and dtypes of others to compute in. They share memory: one is in use at a time."""
    sizes: dict[np.dtype[Any], int] = {}
    for array in alike:
        sizes[array.dtype] = max(sizes.get(array.dtype, 0), array.size)
    buffers = {dtype: aligned_bytes(size * dtype.itemsize).view(dtype) for dtype, size in sizes.items()}
    return [buffers[array.dtype][: array.size].reshape(array.shape) for array in alike]
