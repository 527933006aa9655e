"""What happens to a NumPy function that is not a primitive of its own: spelled in others, constant, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from tinygrad_np.core import Handler, Tensor, table
from tinygrad_np.errors import DtypeError, MissingRuleError, TinygradError
from tinygrad_np.methods import ArrayMethods
from tinygrad_np.signatures import described_call, explained, given_out, refuse_out, without_out
from tinygrad_np.standins import live
from tinygrad_np.trees import leaves, map_leaves

F = TypeVar("F", bound=Callable[..., Any])


class Composite(Handler):
    """Spelled in terms of functions that have rules, so that it needs none."""

    __slots__ = ("spelling",)

    def __init__(self, function: Callable[..., Any], spelling: Callable[..., Any]) -> None:
        super().__init__(function)
        self.spelling = spelling

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        refuse_out(given_out(self.function, args, kwargs), self.name, args, kwargs)
        try:
            args, kwargs = without_out(self.function, args, kwargs)
            result = self.spelling(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            # NumPy's complaint about a call inside of the spelling is one about the call that the user wrote.
            cause = error.__cause__ if isinstance(error, TinygradError) and error.__cause__ else error
            own = f"{getattr(self.spelling, '__qualname__', '')}()"  # so is Python's about the spelling's arguments
            if type(cause) is TypeError and str(cause).startswith(own):
                cause = TypeError(f"{self.name}(){str(cause).removeprefix(own)}").with_traceback(cause.__traceback__)
            raise explained(cast(Exception, cause), self.name, args, kwargs) from cause
        return result if isinstance(result, Tensor) else _as_tensors(result, self.name, args, kwargs)


class Constant(Handler):
    """Piecewise constant, or integer, or boolean: the result is a Tensor that needs no gradient."""

    __slots__ = ()

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        refuse_out(given_out(self.function, args, kwargs), self.name, args, kwargs)
        return _as_tensors(self._values(args, kwargs), self.name, args, kwargs)

    def _values(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        values, keywords = plain(list(args)), plain(kwargs)
        try:
            return self.function(*values, **keywords)
        except (ValueError, TypeError, IndexError, AttributeError) as error:  # the last for want of a method of objects
            raise explained(error, self.name, values, keywords) from error


class Query(Constant):
    """A question about shape, dtype or memory: the answer is a plain Python value."""

    __slots__ = ()

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return self._values(args, kwargs)


class Unrelated(Constant):
    """No array of numbers goes into it, so NumPy asks no Tensor what to do, unless ``like=t`` says that it should."""

    __slots__ = ()


class Refused(Handler):
    """Not offered for Tensors; the error says why and what to write instead."""

    __slots__ = ("reason",)

    def __init__(self, function: Callable[..., Any], reason: str) -> None:
        super().__init__(function)
        self.reason = reason

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        raise MissingRuleError(f"{self.name} does not take tensors: {self.reason}")


def composite(*functions: Callable[..., Any]) -> Callable[[F], F]:
    """Register the decorated function as the spelling of NumPy's."""

    def register(spelling: F) -> F:
        for function in functions:
            table[function] = Composite(function, spelling)
        return spelling

    return register


def constant(*functions: Callable[..., Any]) -> None:
    """Register functions whose derivative is zero or undefined everywhere."""
    for function in functions:
        table[function] = Constant(function)


def query(*functions: Callable[..., Any]) -> None:
    """Register functions that answer with a plain Python value."""
    for function in functions:
        table[function] = Query(function)


def unrelated(*functions: Callable[..., Any]) -> None:
    """Register functions of shapes, dtypes, texts, files and settings."""
    for function in functions:
        table[function] = Unrelated(function)


def refuse(reason: str, *functions: Callable[..., Any]) -> None:
    """Register functions that raise, with the reason and the alternative."""
    for function in functions:
        table[function] = Refused(function, reason)


def plain(tree: Any) -> Any:
    """Nested lists, tuples and dicts with every Tensor replaced by its array."""
    return map_leaves(_plain_leaf, tree)


def _plain_leaf(leaf: Any) -> Any:
    if isinstance(leaf, slice):
        return slice(*(_plain_leaf(part) for part in (leaf.start, leaf.stop, leaf.step)))
    return live(leaf._value) if isinstance(leaf, Tensor) else leaf


def _as_tensors(result: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if any(getattr(leaf, "dtype", None) == np.object_ for leaf in leaves(result)):
        raise DtypeError(f"{described_call(name, args, kwargs)} returned objects: tensors hold numbers")
    return map_leaves(as_tensor, result)


def as_tensor(leaf: Any) -> Any:
    """An array as a Tensor that is not recorded, and anything else as it is."""
    is_array = isinstance(leaf, np.ndarray | np.generic | ArrayMethods) and not isinstance(leaf, Tensor)
    return Tensor(leaf) if is_array else leaf
