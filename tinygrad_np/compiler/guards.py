"""What a captured function depends on besides its arguments: remembered, compared, replaced, restored.

A program is right as long as the Python state that the function reads is the same: the parameters are the same arrays,
a layer is in training mode, a flag is set. What that state is, `watch` finds out.

The elements of plain arrays may change between runs. So while the function is captured, each such array is replaced,
where it was found, by what stands in for it.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from tinygrad_np.core import Tensor
from tinygrad_np.errors import CaptureError
from tinygrad_np.trees import refilled

__all__ = ["PLAIN", "Get", "Guards", "Put"]

Get = Callable[[Any, Any], Any]
Put = Callable[[Any, Any, Any], None]

PLAIN = (bool, int, float, complex, str, bytes, type(None))

_NOTHING: dict[Any, Any] = {}
_HAVE_NONE_OF = type(_NOTHING.keys()).isdisjoint  # takes as long as the shorter one is


class _Place(NamedTuple):
    """Where something was found, and how to put something else there."""

    get: Get
    put: Put
    thing: Any
    key: Any
    known: Any
    name: str

    def now(self) -> Any:
        """What is there."""
        return self.get(self.thing, self.key)

    def fill(self, value: Any) -> None:
        """Put something there."""
        self.put(self.thing, self.key, value)


class Guards:
    """Python state as it was when it was found."""

    def __init__(self) -> None:
        # What to call with which two arguments, what it returned, and the name for that.
        self._entries: list[tuple[Get, Any, Any, Any, str]] = []
        self._places: list[_Place] = []
        self._replaceable: list[_Place] = []  # those with plain arrays, or tuples of such
        self._contents: list[tuple[Any, Any]] = []  # dicts and lists, with a copy of each
        self._absent: list[tuple[Any, frozenset[str]]] = []  # what was not in a dict
        self._tensors: list[tuple[Tensor, Any, Any]] = []

    # Remember

    def expect(self, get: Get, thing: Any, key: Any, known: Any, name: str) -> None:
        """Remember what a call returns."""
        self._entries.append((get, thing, key, known, name))

    def expect_at(self, get: Get, put: Put, thing: Any, key: Any, name: str, *, replace: bool) -> Any:
        """Remember, and return, what is at a place where something else can be put; also whether that is to be done if
        it is an array.
        """
        value = get(thing, key)
        self.expect(get, thing, key, value, name)
        self._places.append(_Place(get, put, thing, key, value, name))
        if replace and _holds_arrays(value):
            self._replaceable.append(self._places[-1])
        return value

    def expect_length(self, container: Any, name: str) -> None:
        """Remember how many items there are, and which, in case that they have to be put back."""
        self.keep_items(container)
        self.expect(operator.length_hint, container, 0, len(container), name)

    def keep_items(self, container: Any) -> None:
        """Remember the items of a dict or list in case that they have to be put back."""
        if isinstance(container, (dict, list)):
            self._contents.append((container, [*container] if isinstance(container, list) else {**container}))

    def expect_keys(self, container: Any, name: str) -> None:
        """Remember the keys of a dict, or what is in a set, in their order."""
        self.expect(_has_keys, container, list(container), True, name)

    def expect_absent(self, attributes: Mapping[str, Any], names: frozenset[str], name: str) -> None:
        """Remember that none of these names is there."""
        if names:
            self.expect(_HAVE_NONE_OF, attributes.keys(), names, True, name)
            self._absent.append((attributes, names))

    def expect_items(self, container: Any, name: str) -> None:
        """Remember all items at once."""
        self.expect(_has_items, container, _items(container), True, name)

    def expect_tensor(self, tensor: Tensor, name: str) -> None:
        """Remember which array a tensor has."""
        self.expect(getattr, tensor, "_value", tensor._value, f"{name}.data")
        self._tensors.append((tensor, tensor._value, tensor._node))

    # Compare, replace, restore

    def changed(self) -> str | None:
        """The name of something that is not as it was, or None."""
        for get, thing, key, known, name in self._entries:
            try:
                now = get(thing, key)
            except (KeyError, IndexError, AttributeError, ValueError):
                return name
            if now is not known and not _is_same(now, known):
                return name
        return None

    @contextmanager
    def replaced(self, stand_in: Callable[[np.ndarray[Any, Any]], Any]) -> Iterator[None]:
        """Put something in the place of each plain array for a while.

        Raises
        ------
        CaptureError
            In the end, if another array is there by then.
        """
        placed = []
        try:
            for place in self._replaceable:
                standing = _with_stand_ins(place.known, stand_in)
                with suppress(Exception):  # what does not let itself be replaced is read where it is
                    place.fill(standing)
                    placed.append((place, standing))
            yield
            for place, standing in placed:
                if place.now() is not standing:
                    raise CaptureError(
                        f"the function gives the name {place.name}, which is outside of it, to another array: a replay "
                        "would not. Keep it in a tensor and update that, or return it"
                    )
        finally:
            for place, _ in reversed(placed):
                with suppress(Exception):
                    place.fill(place.known)

    def restore(self) -> None:
        """Undo what a function has changed of all this, as it leaves behind what stood in for arrays."""
        for place in self._places:
            with suppress(Exception):
                if place.now() is not place.known:
                    place.fill(place.known)
        for container, before in self._contents:
            if not _has_items(container, _items(before)):
                container.clear()
                (container.update if isinstance(container, dict) else container.extend)(before)
        for attributes, names in self._absent:
            for name in names & attributes.keys():
                if not isinstance(attributes[name], types.ModuleType):  # what is imported stays so
                    with suppress(Exception):
                        del attributes[name]
        for tensor, value, node in self._tensors:
            tensor._value, tensor._node = value, node


def _items(container: Any) -> list[Any]:
    """Keys and values of a dict, or the items of a list or the like."""
    return [*container.keys(), *container.values()] if isinstance(container, dict) else list(container)


def _has_items(container: Any, items: list[Any]) -> bool:
    now = _items(container)
    return len(now) == len(items) and all(map(operator.is_, now, items))


def _has_keys(container: Any, keys: list[Any]) -> bool:
    same_length = len(container) == len(keys)
    return same_length and (all(map(operator.is_, container, keys)) or all(map(_is_same, list(container), keys)))


def _is_same(now: Any, known: Any) -> bool:
    """Whether these are one object, or plain values that nothing can tell apart, or tuples of such."""
    if now is known:
        return True
    if type(now) is not type(known):  # 1, 1.0 and True are equal
        return False
    if type(known) is tuple:
        return len(now) == len(known) and all(map(_is_same, now, known))
    if not isinstance(known, PLAIN) or getattr(known, "__dict__", None):  # such as a string with attributes
        return False
    # 0.0 and -0.0 are equal too, and NaN is not.
    return repr(now) == repr(known) if isinstance(now, (float, complex)) else bool(now == known)


def _holds_arrays(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (isinstance(value, tuple) and any(map(_holds_arrays, value)))


def _with_stand_ins(value: Any, stand_in: Callable[[Any], Any]) -> Any:
    if isinstance(value, np.ndarray):
        return stand_in(value)
    if not _holds_arrays(value):
        return value
    return refilled(value, [_with_stand_ins(item, stand_in) for item in value])
