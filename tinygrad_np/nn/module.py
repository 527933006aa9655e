"""Module: an object whose attributes are the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.core import Tensor
from tinygrad_np.state import fitting, joined, named

__all__ = ["Module"]

M = TypeVar("M", bound="Module")
Path = tuple[Any, ...]
"""The names of attributes, positions in lists and keys of dicts that lead to something."""


class Module:
    """A part of a model: its parameters and its parts are its attributes, and ``forward`` says what it computes.

    Nothing needs to be registered. Tensors and Modules are found by looking through the attributes, and through lists,
    tuples and dicts in them, in the order in which they were set. Those made with `tinygrad_np.tensor` are the state
    that is saved, and those of them that require a gradient are the parameters, which are trained. What was computed
    is not part of the state, as an output that is kept for a look at it: write into a Tensor, such as with
    ``self.count += 1``, to keep what is computed. A Tensor that is reachable in several ways is shared, and counts
    once, under the name found first.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> class Residual(tg.nn.Module):
    ...     def __init__(self, width):
    ...         self.dense = tg.nn.Dense(width, width)
    ...
    ...     def forward(self, x):
    ...         return x + tg.fused.relu(self.dense(x))
    >>> model = Residual(4)
    >>> model(np.ones((2, 4), np.float32)).shape
    (2, 4)
    >>> model
    Residual(
      dense: Dense(weight (4, 4), bias (4,)): 20 parameters
    ): 20 parameters
    """

    training: bool = True
    """Whether the module is being trained (`train`) or used (`eval`): for layers that differ between the two."""

    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """The parameters with their names: paths of attributes, list positions and dict keys, joined with dots."""
        return [(joined(path), t) for path, t in self._tensors() if t.requires_grad]

    def parameters(self) -> list[Tensor]:
        """The Tensors to train: what an optimiser takes."""
        return [parameter for _, parameter in self.named_parameters()]

    def named_modules(self) -> list[tuple[str, Module]]:
        """All modules in this one, and itself under the empty name."""
        return [(joined(path), found) for path, found in _walk((), self, set()) if isinstance(found, Module)]

    def train(self: M, mode: bool = True) -> M:
        """Set ``training`` here and in all modules in this one; returns the module."""
        for _, module in self.named_modules():
            if module.training != mode:
                module.training = mode
        return self

    def eval(self: M) -> M:
        """The same as ``train(False)``."""
        return self.train(False)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of the array of each parameter and other Tensor, by name: what `saving.save` takes.

        Raises
        ------
        ShapeError
            If two have one name, as under the keys 1 and "1" of a dict.
        """
        return {name: t.data.copy() for name, t in named(self._tensors()).items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays into the Tensors of these names; nothing changes unless everything fits.

        Parameters
        ----------
        state : mapping of str to array
            As `state_dict` returns it: the same names, shapes and dtypes.

        Raises
        ------
        ShapeError
            If names are missing or unknown, or shapes differ; lists all of them.
        DtypeError
            If dtypes differ; lists all of them.
        """
        tensors = named(self._tensors())
        for name, array in fitting(type(self).__name__, "model", tensors, state).items():
            np.copyto(tensors[name].data, array)
            tensors[name].mark_updated()

    def _tensors(self) -> list[tuple[Path, Tensor]]:
        """Every Tensor of the model's state; what the model computed and kept as an attribute is not part of it."""
        return [(path, t) for path, t in _walk((), self, set()) if isinstance(t, Tensor) and t._is_given]

    def _untrained(self) -> list[Tensor]:
        """The part of the state that a forward pass may change, such as running means."""
        return [t for _, t in self._tensors() if not t.requires_grad]

    def __repr__(self) -> str:
        return _described(self, "", set())


def _walk(path: Path, value: Any, seen: set[int]) -> Iterator[tuple[Path, Tensor | Module]]:
    """All Modules and Tensors from here down, depth first, each once."""
    if isinstance(value, Tensor | Module):
        if id(value) in seen:
            return
        seen.add(id(value))
        yield path, value
    for key, item in _items(value):
        yield from _walk((*path, key), item, seen)


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Module):
        return list(vars(value).items())
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _described(module: Module, indent: str, seen: set[int]) -> str:
    """A module's own Tensors on one line, each module in it on a line of its own, and how many parameters they have."""
    seen.add(id(module))
    own, parts = [], []
    for name, found in _nearest(module):
        if isinstance(found, Module):
            shared = id(found) in seen
            text = f"{type(found).__name__}, shared" if shared else _described(found, f"{indent}  ", seen)
            parts.append(f"\n{indent}  {name}: {text}")
        elif found._is_given:
            dtype = "" if found.dtype == np.float32 else f" {found.dtype}"
            own.append(f"{name} {found.shape}{dtype}{'' if found.requires_grad else ' fixed'}")
    count = sum(parameter.size for parameter in module.parameters())
    body = ", ".join(own) + "".join(parts) + (f"\n{indent}" if parts else "")
    return f"{type(module).__name__}({body})" + (f": {count:,} parameter{'s' * (count != 1)}" if count else "")


def _nearest(module: Module) -> Iterator[tuple[str, Tensor | Module]]:
    """The Modules and Tensors that are a module's own, not those of the modules in it."""

    def within(name: str, value: Any) -> Iterator[tuple[str, Tensor | Module]]:
        if isinstance(value, Tensor | Module):
            yield name, value
            return
        for key, item in _items(value):
            yield from within(f"{name}.{key}", item)

    for key, item in _items(module):
        yield from within(key, item)
