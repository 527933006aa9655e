"""Whatever a function reads besides its arguments, and wherever that is: a change of it is seen by the next call.

Each case is a function and a change. Between two calls the change is made, and the compiled function must go on as the
function itself does. Where only the elements of arrays change, it is not even captured again.
"""

import argparse
import array
import collections
import collections.abc
import configparser
import contextvars
import dataclasses
import enum
import functools
import importlib
import itertools
import operator
import os
import random
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn
from tinygrad_np.compiler import Compiled
from tinygrad_np.compiler.compile import KEPT, OFTEN
from tinygrad_np.compiler.watch import Watch
from tinygrad_np.errors import CaptureError

X = np.arange(1.0, 4.0)
Case = tuple[Callable[[Any], Any], Callable[[], Any]]

SCALE = [1.0]  # what functions and methods read as a global
TABLE = np.ones(3)
NAME, BIAS = "number", "bias"
GET = operator.attrgetter("number")
VARIABLE = contextvars.ContextVar("VARIABLE", default=1.0)
ALIVE: list[Any] = [None]
DEFAULT = contextvars.ContextVar("DEFAULT", default=types.SimpleNamespace(number=1.0))  # noqa: B039
OTHER_METHOD = {"method": lambda self, x: x * 7}


class Box:
    """Has one of everything."""

    shared = 1.0
    shared_array = np.ones(3)

    def __init__(self) -> None:
        self.number = 1.0
        self.array = np.ones(3)
        self.items = [1.0]
        self.pair = (np.ones(3), "b")
        self.losses: list[float] = []  # which no function here names

    @property
    def doubled(self) -> float:
        return self.number * 2

    @classmethod
    def by_class(cls, x: Any) -> Any:
        return x * cls.shared

    @staticmethod
    def by_global(x: Any) -> Any:
        return x * SCALE[0]

    def method(self, x: Any) -> Any:
        return x * SCALE[0] + TABLE * 2

    def by_number(self, x: Any) -> Any:
        return x * self.number

    def __call__(self, x: Any) -> Any:
        return x * SCALE[0]

    def __getitem__(self, index: int) -> float:
        return SCALE[index]

    def fit(self) -> None:
        self.losses.append(1.0)


class Heir(Box):
    pass


class Made:
    def __init__(self) -> None:
        self.number = SCALE[0]


class Bag:
    def __init__(self, number: float) -> None:
        setattr(self, NAME, number)


class Weights(list[Any]):
    scale = 1.0


class Table(collections.abc.Mapping[str, float]):
    def __getitem__(self, key: str) -> float:
        return {"a": 1.0, "b": 2.0}[key]

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter("a")

    def keys(self) -> Any:
        return ["a"] if SCALE[0] == 1 else ["a", "b"]


class Meta(type):
    @property
    def scale(cls) -> float:
        return SCALE[0]


class Described(metaclass=Meta):
    pass


class Local(threading.local):
    n = 1.0


class Mode(str, enum.Enum):
    ONE = "one"

    def scale(self) -> float:
        return SCALE[0]


class Fixed(threading.local):
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


@dataclasses.dataclass(eq=False)
class Record:
    number: float


class Total(tuple[Any, ...]):
    @property
    def total(self) -> Any:
        return self[0] + self[1]


class Stern:
    __slots__ = ("number",)

    def __getattr__(self, name: str) -> Any:
        raise KeyError(name)


class Wrapping(dict[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return Wrapping(super().__getitem__(key))


class Dispatched:
    @functools.singledispatchmethod
    def method(self, x: Any) -> Any:
        return x * SCALE[0]

    def scaled(self, factor: float, x: Any) -> Any:
        return x * SCALE[0] * factor

    doubled = functools.partialmethod(scaled, 2.0)


@functools.singledispatch
def dispatched(x: Any) -> Any:
    raise NotImplementedError


@dispatched.register(object)
def _scaled_object(x: Any) -> Any:
    return x * SCALE[0]


class Pair(NamedTuple):
    array: np.ndarray
    name: str


class Slotted:
    __slots__ = ("array", "number")

    def __init__(self) -> None:
        self.number = 1.0
        self.array = np.ones(3)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    inside: dict[str, float]
    array: np.ndarray


class Delegating:
    def __init__(self) -> None:
        self.target = Box()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class Module(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean, self.variance = np.ones(3), np.ones(3)

    def forward(self, x: Any) -> Any:
        return (x - self.mean) / np.sqrt(self.variance + 1e-5) * SCALE[0]


def doubling(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    def doubled(x: Any) -> Any:
        return function(x) * 2

    return doubled


def with_scale(x: Any) -> Any:
    return x * SCALE[0]


def with_default(x: Any, factor: Any = TABLE, *, options: Any = SCALE) -> Any:
    return x * (factor + 1) * options[0]


def counted(x: Any) -> Any:
    return x * counted.factor  # type: ignore[attr-defined]


def with_import(x: Any) -> Any:
    import helpers  # type: ignore[import-not-found]

    return helpers.scaled(x)


@functools.cache
def cached_array() -> np.ndarray:
    return np.ones(3)


def set_on(thing: Any, name: str) -> Callable[[], None]:
    """A change: another number under this name."""
    return lambda: setattr(thing, name, getattr(thing, name) + 1)


def add_to(array: np.ndarray) -> Callable[[], Any]:
    """A change: other elements in the same array."""
    return lambda: np.add(array, 1, out=array)


def add_to_item(container: Any, key: Any) -> Callable[[], Any]:
    return lambda: operator.setitem(container, key, container[key] + 1)


def matched(box: Any, x: Any) -> Any:
    match box:
        case Bag(number=n):
            return x * n


def ordered(items: dict[str, float], x: Any) -> Any:
    for factor in items.values():
        x = x * 2 + factor
    return x


def turned(items: dict[str, float]) -> Callable[[], Any]:
    return lambda: items.update([(next(iter(items)), items.pop(next(iter(items))))])


def biased(thing: Any) -> float:
    return getattr(thing, BIAS, 0.0) + 1


def by_values(items: dict[str, float]) -> Callable[[Any], Any]:
    values = items.values()
    return lambda x: x * sum(values)


def by_proxy(items: dict[str, float]) -> Callable[[Any], Any]:
    proxy = types.MappingProxyType(items)
    return lambda x: x * proxy["a"]


def weakly(box: Box) -> Callable[[Any], Any]:
    ALIVE[0], reference = box, weakref.ref(box)
    return lambda x: x * reference().number  # type: ignore[union-attr]


def by_weak_set(box: Box) -> Callable[[Any], Any]:
    ALIVE[0], found = box, weakref.WeakSet([box])
    return lambda x: x * sum(b.number for b in found)


def by_proxy_of(box: Box) -> Callable[[Any], Any]:
    ALIVE[0], proxy = box, weakref.proxy(box)
    return lambda x: x * proxy.number


def by_get(get: Callable[[str], float]) -> Callable[[Any], Any]:
    return lambda x: x * get("a")


def by_weak_keys(box: Box) -> Callable[[Any], Any]:
    ALIVE[0], keys = box, weakref.WeakKeyDictionary({box: 1.0})
    return lambda x: x * sum(b.number for b in keys)


def local(number: float) -> Any:
    made = threading.local()
    made.n = number
    return made


def configuration() -> configparser.ConfigParser:
    made = configparser.ConfigParser()
    made.read_string("[s]\nn = 1")
    return made


def with_inner(x: Any) -> Any:
    def inner() -> Any:
        return x * SCALE[0]

    return inner()


def module(**names: Any) -> types.ModuleType:
    made = types.ModuleType("helpers")
    exec("def scaled(x):\n    return x * scale + table * 2", vars(made))
    vars(made).update(names)
    sys.modules["helpers"] = made
    return made


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    reset()
    yield
    reset()


def reset() -> None:
    SCALE[0] = Box.shared = 1.0
    Local.n = 1.0
    for table in (TABLE, Box.shared_array, cached_array()):
        table[:] = 1
    sys.modules.pop("helpers", None)
    os.environ["FACTOR"] = "1"
    VARIABLE.set(1.0)
    DEFAULT.get().number = 1.0


def of(thing: Any, function: Callable[[Any, Any], Any], change: Callable[[Any], Callable[[], Any]]) -> Case:
    """A case about an object."""
    return (lambda x: function(thing, x)), change(thing)


PYTHON_STATE: dict[str, Callable[[], Case]] = {
    "attribute": lambda: of(Box(), lambda b, x: x * b.number, lambda b: set_on(b, "number")),
    "attribute_by_getattr": lambda: of(Box(), lambda b, x: x * getattr(b, NAME), lambda b: set_on(b, "number")),
    "attribute_by_vars": lambda: of(Box(), lambda b, x: x * vars(b)["number"], lambda b: set_on(b, "number")),
    "attribute_by_a_pattern": lambda: of(Bag(1.0), matched, lambda b: set_on(b, "number")),
    "attribute_of_a_list": lambda: of(Weights(), lambda v, x: x * v.scale, lambda v: set_on(v, "scale")),
    "attribute_by_a_bound_method": lambda: (lambda b: (b.by_number, set_on(b, "number")))(Box()),
    "attribute_in_a_set": lambda: of({box := Box()}, lambda v, x: x * min(v).number, lambda _: set_on(box, "number")),
    "attribute_of_another": lambda: of(Delegating(), lambda d, x: x * d.number, lambda d: set_on(d.target, "number")),
    "attribute_by_attrgetter": lambda: of(Box(), lambda b, x: x * GET(b), lambda b: set_on(b, "number")),
    "attribute_by_a_weak_reference": lambda: (lambda b: (weakly(b), set_on(b, "number")))(Box()),
    "attribute_of_a_thread": lambda: of(local(1.0), lambda t, x: x * t.n, lambda t: set_on(t, "n")),
    "attribute_by_a_weak_proxy": lambda: (lambda b: (by_proxy_of(b), set_on(b, "number")))(Box()),
    "attribute_of_a_class_of_a_thread": lambda: of(Local(), lambda t, x: x * t.n, lambda t: set_on(t, "n")),
    "item_by_a_bound_method": lambda: (lambda d: (by_get(d.get), add_to_item(d, "a")))({"a": 1.0}),
    "attribute_of_a_class_of_a_thread_of_old": lambda: of(Local(), lambda t, x: x * t.n, lambda _: set_on(Local, "n")),
    "attribute_by_asdict": lambda: of(Record(1.0), lambda r, x: x * asdict(r)["number"], lambda r: set_on(r, "number")),
    "attribute_by_astuple": lambda: of(
        Record(1.0), lambda r, x: x * dataclasses.astuple(r)[0], lambda r: set_on(r, "number")
    ),
    "global_of_a_string": lambda: of(Mode.ONE, lambda m, x: x * m.scale(), lambda _: add_to_item(SCALE, 0)),
    "global_of_an_enum": lambda: (lambda x: x * Mode.ONE.scale(), add_to_item(SCALE, 0)),
    "property": lambda: of(Box(), lambda b, x: x * b.doubled, lambda b: set_on(b, "number")),
    "slot": lambda: of(Slotted(), lambda s, x: x * s.number, lambda s: set_on(s, "number")),
    "frozen": lambda: of(Frozen({"a": 1.0}, X), lambda f, x: x * f.inside["a"], lambda f: add_to_item(f.inside, "a")),
    "class": lambda: of(Box, lambda kind, x: x * kind.shared, lambda kind: set_on(kind, "shared")),
    "class_of_an_instance": lambda: of(Box(), lambda b, x: x * b.shared, lambda _: set_on(Box, "shared")),
    "class_inherited_from": lambda: of(Heir(), lambda b, x: x * b.shared, lambda _: set_on(Box, "shared")),
    "class_by_getattr": lambda: of(Box, lambda b, x: x * getattr(b, "sha" + "red"), lambda b: set_on(b, "shared")),
    "class_attribute_that_is_new": lambda: of(
        type("Empty", (), {})(),
        lambda e, x: x + getattr(e, BIAS, 0),
        lambda e: lambda: setattr(type(e), BIAS, biased(e)),
    ),
    "class_method_that_is_new": lambda: of(
        type("Empty", (Box,), {})(),
        lambda e, x: e.method(x),
        lambda e: lambda: setattr(type(e), "method", lambda self, x: x * 7),
    ),
    "class_of_an_object": lambda: of(
        Box(), lambda b, x: b.method(x), lambda b: lambda: setattr(b, "__class__", type("Other", (Box,), OTHER_METHOD))
    ),
    "class_method": lambda: of(Box, lambda kind, x: kind.by_class(x), lambda kind: set_on(kind, "shared")),
    "namespace": lambda: of(types.SimpleNamespace(n=1.0), lambda s, x: x * s.n, lambda s: set_on(s, "n")),
    "parsed_arguments": lambda: of(argparse.Namespace(n=1.0), lambda s, x: x * s.n, lambda s: set_on(s, "n")),
    "module": lambda: of(module(scale=1.0, table=X), lambda m, x: m.scaled(x), lambda m: set_on(m, "scale")),
    "module_imported_in_the_function": lambda: (with_import, set_on(module(scale=1.0, table=X), "scale")),
    "global_of_a_method": lambda: of(Box(), lambda b, x: b.method(x), lambda _: add_to_item(SCALE, 0)),
    "global_of_a_special_method": lambda: of(Box(), lambda b, x: x * b[0], lambda _: add_to_item(SCALE, 0)),
    "global_of_a_static_method": lambda: of(Box(), lambda b, x: b.by_global(x), lambda _: add_to_item(SCALE, 0)),
    "global_of_a_callable": lambda: (Box(), add_to_item(SCALE, 0)),
    "global_of_a_made_object": lambda: (lambda x: Box().method(x), add_to_item(SCALE, 0)),
    "global_of_a_constructor": lambda: (lambda x: x * Made().number, add_to_item(SCALE, 0)),
    "global_of_an_inner_function": lambda: (with_inner, add_to_item(SCALE, 0)),
    "global_of_an_override": lambda: of(Table(), lambda t, x: x * len(dict(t)), lambda _: add_to_item(SCALE, 0)),
    "global_of_a_forward": lambda: of(Module(), lambda m, x: m(x), lambda _: add_to_item(SCALE, 0)),
    "global_of_a_metaclass": lambda: (lambda x: x * Described.scale, add_to_item(SCALE, 0)),
    "global_of_a_function_by_type": lambda: (lambda x: dispatched(x), add_to_item(SCALE, 0)),
    "global_of_a_method_by_type": lambda: of(Dispatched(), lambda d, x: d.method(x), lambda _: add_to_item(SCALE, 0)),
    "global_of_a_partial_method": lambda: of(Dispatched(), lambda d, x: d.doubled(x), lambda _: add_to_item(SCALE, 0)),
    "global_by_getattr": lambda: of(Box(), lambda b, x: getattr(b, "met" + "hod")(x), lambda _: add_to_item(SCALE, 0)),
    "global_by_globals": lambda: (lambda x: x * globals()["SCALE"][0], add_to_item(SCALE, 0)),
    "global_under_a_decorator": lambda: (doubling(with_scale), add_to_item(SCALE, 0)),
    "global_under_no_grad": lambda: (tg.no_grad()(with_scale), add_to_item(SCALE, 0)),
    "global_under_a_checkpoint": lambda: (tg.checkpoint(with_scale), add_to_item(SCALE, 0)),
    "global_under_a_compile": lambda: (tg.compile(with_scale), add_to_item(SCALE, 0)),
    "keyword_default": lambda: (with_default, add_to_item(SCALE, 0)),
    "attribute_of_a_function": lambda: (setattr(counted, "factor", 1.0) or counted, set_on(counted, "factor")),
    "partial": lambda: of({"a": 1.0}, functools.partial(lambda d, x: x * d["a"]), lambda d: add_to_item(d, "a")),
    "list": lambda: of([1.0], lambda v, x: x * v[0], lambda v: add_to_item(v, 0)),
    "long_list": lambda: of([1.0] * 2000, lambda v, x: x * v[7], lambda v: add_to_item(v, 7)),
    "long_dict": lambda: of(dict.fromkeys(range(2000), 1.0), lambda v, x: x * v[7], lambda v: add_to_item(v, 7)),
    "deque": lambda: of(collections.deque([1.0]), lambda v, x: x * v[0], lambda v: add_to_item(v, 0)),
    "counter": lambda: of(collections.Counter("a"), lambda v, x: x * v["a"], lambda v: add_to_item(v, "a")),
    "user_dict": lambda: of(collections.UserDict(a=1.0), lambda v, x: x * v["a"], lambda v: add_to_item(v, "a")),
    "dict_in_another_order": lambda: of({"a": 1.0, "b": 2.0}, ordered, turned),
    "dict_with_objects_as_keys": lambda: of(
        {Box(): 1.0}, lambda v, x: x * sum(b.number for b in v), lambda v: set_on(next(iter(v)), "number")
    ),
    "dict_by_its_values": lambda: (lambda v: (by_values(v), add_to_item(v, "a")))({"a": 1.0}),
    "dict_behind_a_proxy": lambda: (lambda v: (by_proxy(v), add_to_item(v, "a")))({"a": 1.0}),
    "dict_of_weak_keys": lambda: (lambda b: (by_weak_keys(b), set_on(b, "number")))(Box()),
    "configuration": lambda: of(
        configuration(), lambda c, x: x * float(c["s"]["n"]), lambda c: lambda: c.set("s", "n", c["s"]["n"] + "1")
    ),
    "context_variable_by_default": lambda: (lambda x: x * DEFAULT.get().number, set_on(DEFAULT.get(), "number")),
    "context_variable": lambda: (lambda x: x * VARIABLE.get(), lambda: VARIABLE.set(VARIABLE.get() + 1)),
    "complex_negative_zero": lambda: of(
        [complex(-1, 0.0)], lambda v, x: x * np.sqrt(v[0]), lambda v: lambda: v.append(v.pop().conjugate())
    ),
    "weak_set": lambda: (lambda b: (by_weak_set(b), set_on(b, "number")))(Box()),
    "set": lambda: of({0}, lambda v, x: x * len(v), lambda v: lambda: v.add(len(v))),
    "bytes": lambda: of(bytearray(b"a"), lambda v, x: x * v[0], lambda v: add_to_item(v, 0)),
    "array_module": lambda: of(array.array("d", [1.0]), lambda v, x: x * v[0], lambda v: add_to_item(v, 0)),
    "negative_zero": lambda: of([0.0], lambda v, x: np.copysign(x, v[0]), lambda v: lambda: v.append(-v.pop())),
    "environment": lambda: (
        lambda x: x * float(os.environ["FACTOR"]),
        lambda: os.environ.update(FACTOR=str(float(os.environ["FACTOR"]) + 1)),
    ),
}

ELEMENTS: dict[str, Callable[[], Case]] = {
    "attribute": lambda: of(Box(), lambda b, x: x * (b.array * 2), lambda b: add_to(b.array)),
    "slot": lambda: of(Slotted(), lambda s, x: x * (s.array * 2), lambda s: add_to(s.array)),
    "frozen": lambda: of(Frozen({}, np.ones(3)), lambda f, x: x * (f.array * 2), lambda f: add_to(f.array)),
    "tuple_of_a_class": lambda: of([Total((np.ones(3), X))], lambda v, x: x * v[0].total, lambda v: add_to(v[0][0])),
    "tuple": lambda: of(Box(), lambda b, x: x * (b.pair[0] * 2), lambda b: add_to(b.pair[0])),
    "named_tuple": lambda: of([Pair(np.ones(3), "a")], lambda v, x: x * (v[0].array * 2), lambda v: add_to(v[0].array)),
    "class": lambda: of(Box, lambda b, x: x * (b.shared_array * 2), lambda b: add_to(b.shared_array)),
    "list": lambda: of([np.ones(3)], lambda v, x: x * (v[0] * 2), lambda v: add_to(v[0])),
    "dict": lambda: of({"a": np.ones(3)}, lambda v, x: x * (v["a"] * 2), lambda v: add_to(v["a"])),
    "nested": lambda: of([{"a": (np.ones(3),)}], lambda v, x: x * (v[0]["a"][0] * 2), lambda v: add_to(v[0]["a"][0])),
    "long_list": lambda: of([np.ones(3)] * 2000, lambda v, x: x * v[0], lambda v: add_to(v[0])),
    "module": lambda: of(module(scale=1.0, table=np.ones(3)), lambda m, x: m.scaled(x), lambda m: add_to(m.table)),
    "global_of_a_method": lambda: of(Box(), lambda b, x: b.method(x), lambda _: add_to(TABLE)),
    "default": lambda: (with_default, add_to(TABLE)),
    "partial": lambda: (lambda w: (functools.partial(lambda w, x: x * (w * 2), w), add_to(w)))(np.ones(3)),
    "layer": lambda: of(Module(), lambda m, x: m(x), lambda m: add_to(m.variance)),
    "cache": lambda: (lambda x: x * cached_array(), add_to(cached_array())),
    "part_of_a_cache": lambda: (lambda x: x[:2] * cached_array()[1:], add_to(cached_array())),
    "indices": lambda: of(np.array([0, 1]), lambda i, x: TABLE[i[:1]] * x, lambda i: lambda: TABLE.__setitem__(0, 7.0)),
}


@pytest.mark.parametrize("name", PYTHON_STATE)
def test_python_state_is_watched(name: str) -> None:
    compiled, results = assert_goes_on(PYTHON_STATE[name])
    assert len({result.tobytes() for result in results}) <= compiled.captures <= 3  # some go back to what they were


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_of_arrays_are_read_on_every_call(name: str) -> None:
    assert assert_goes_on(ELEMENTS[name])[0].captures == 1


def assert_goes_on(make: Callable[[], Case]) -> tuple[Compiled, list[np.ndarray]]:
    """The compiled function does what the function itself does, with the change between its calls."""
    eager = called_with_changes(lambda function: function, make)[0]
    found, compiled = called_with_changes(tg.compile, make)
    np.testing.assert_array_equal(found, eager)
    assert not np.array_equal(eager[0], eager[1]), "the change should make a difference"
    return compiled, found


def called_with_changes(wrap: Callable[[Any], Any], make: Callable[[], Case]) -> tuple[list[np.ndarray], Any]:
    reset()
    function, change = make()
    called = wrap(function)
    results = []
    for _ in range(3):
        results.append(np.array(called(X)))
        change()
    return results, called


class TestMethodsAndObjects:
    class Trainer:
        def __init__(self) -> None:
            self.rate, self.table, self.losses = 1.0, np.ones(3), [0.0]

        @tg.compile
        def step(self, x: Any) -> Any:
            return x * self.rate + self.table * 2

    def test_a_compiled_method_sees_its_object(self) -> None:
        trainer = self.Trainer()
        np.testing.assert_array_equal(trainer.step(X), X + 2)
        trainer.rate = 3.0
        np.testing.assert_array_equal(trainer.step(X), 3 * X + 2)
        trainer.table += 1
        np.testing.assert_array_equal(trainer.step(X), 3 * X + 4)
        other = self.Trainer()
        np.testing.assert_array_equal(other.step(X), X + 2)

    def test_what_is_not_named_may_change_without_a_capture(self) -> None:
        trainer = self.Trainer()
        before = type(trainer).__dict__["step"].captures
        for epoch in range(5):
            trainer.step(X)
            trainer.losses.append(float(epoch))
            trainer.losses = list(trainer.losses)
        assert type(trainer).__dict__["step"].captures == before + 1

    def test_an_object_as_an_argument(self) -> None:
        box = Box()
        compiled = tg.compile(lambda box, x: x * box.number + box.array * 2)
        np.testing.assert_array_equal(compiled(box, X), X + 2)
        box.number = 2.0
        np.testing.assert_array_equal(compiled(box, X), 2 * X + 2)
        box.array += 1
        np.testing.assert_array_equal(compiled(box, X), 2 * X + 4)
        assert compiled.captures == 2

    def test_containers_of_the_users_classes_as_arguments(self) -> None:
        class Batch(dict[str, Any]):
            scale = 1.0

        class Rows(list[Any]):
            scale = 1.0

        class Triple(NamedTuple):
            x: Any

            def scaled(self) -> Any:
                return self.x * SCALE[0]

        batch, rows = Batch(x=X), Rows([X])
        batch.scale = rows.scale = 2.0
        for_dict, for_list = tg.compile(lambda b: b["x"] * b.scale), tg.compile(lambda r: r[0] * r.scale)
        for_tuple = tg.compile(lambda t: t.scaled())
        for n in (2.0, 3.0, 4.0):
            batch.scale = rows.scale = SCALE[0] = n
            np.testing.assert_array_equal([for_dict(batch), for_list(rows), for_tuple(Triple(X))], [X * n] * 3)
        other = Batch(x=X)
        other.scale = 9.0
        np.testing.assert_array_equal(for_dict(other), X * 9)

    def test_equal_objects_are_not_the_same(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Options:
            name: str
            scale: float = dataclasses.field(compare=False)

        compiled = tg.compile(lambda options, x: x * options.scale)
        for n in (1.0, 2.0, 3.0):
            np.testing.assert_array_equal(compiled(Options("a", n), X), X * n)

    def test_a_tensor_that_is_updated_between_calls(self) -> None:
        w, h = tg.tensor(np.ones(3), requires_grad=True), tg.tensor(np.zeros(3))
        compiled = tg.compile(lambda h, x: h + x)
        for n in range(3):
            with tg.no_grad():
                np.testing.assert_array_equal(compiled(h, X).data, n * X.size + X)
            h = h + w * X.size
        assert compiled.captures == 1

    def test_items_that_a_dict_wraps_anew(self) -> None:
        settings = Wrapping(a={"b": 1.0})
        compiled = tg.compile(lambda x: x * len(settings["a"]))
        np.testing.assert_array_equal(compiled(X), X)

    def test_functions_that_call_one_another_in_a_long_chain(self) -> None:
        names: dict[str, Any] = {"__name__": "chain"}
        for n in range(2000):
            exec(f"def f{n}(x):\n    return f{n + 1}(x)" if n < 1999 else f"def f{n}(x):\n    return x * 2", names)
        assert len(Watch(names["f0"])._entries) > 1999

    def test_a_module_that_is_imported_at_capture(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        package = tmp_path / "lazily"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "steps.py").write_text(
            "def relative(x):\n    from .settings import SCALE\n    return x * SCALE[0]\n"
            "def absolute(x):\n    import lazily.more\n    return x * lazily.more.SCALE\n"
        )
        (package / "settings.py").write_text("SCALE = [1.0]\n")
        (package / "more.py").write_text("SCALE = 1.0\n")
        monkeypatch.syspath_prepend(tmp_path)
        lazily = importlib.import_module("lazily.steps")
        relative, absolute = tg.compile(lazily.relative), tg.compile(lazily.absolute)
        for n in (1.0, 2.0, 3.0):
            np.testing.assert_array_equal([relative(X), absolute(X)], [X * n] * 2)
            sys.modules["lazily.settings"].SCALE[0] = sys.modules["lazily.more"].SCALE = n + 1
        for name in [name for name in sys.modules if name.startswith("lazily")]:
            monkeypatch.delitem(sys.modules, name)

    def test_what_a_library_keeps_is_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        library = types.ModuleType("installed")
        library.__file__ = "lib/site-packages/installed.py"
        monkeypatch.setitem(sys.modules, "installed", library)
        exec("calls = []\ndef remembered(x):\n    calls.append(1)\n    return x * 2", vars(library))
        np.testing.assert_array_equal(tg.compile(lambda x: library.remembered(x))(X), 2 * X)


class TestWhatARefusedCaptureLeavesBehind:
    @pytest.mark.parametrize(
        "change",
        [
            lambda box, x: setattr(box, "number", x * 2),
            lambda box, x: setattr(box, "table", np.exp(box.array)),
            lambda box, x: box.items.append(x * 2),
            lambda box, x: vars(box).pop("number"),
            lambda box, x: box.tensor.__setitem__(0, x[1]),
            lambda box, x: setattr(Box, "shared", x),
            lambda box, x: SCALE.__setitem__(0, x),
        ],
    )
    def test_nothing(self, change: Callable[[Any, Any], Any]) -> None:
        box, scale, shared = Box(), SCALE[0], Box.shared
        box.tensor = tg.tensor(np.ones(3))  # type: ignore[attr-defined]
        before, items = dict(vars(box)), list(box.items)

        def changes(x: Any) -> Any:
            change(box, x)
            return x * box.shared * SCALE[0]

        compiled = tg.compile(changes)
        for _ in range(2):
            with pytest.raises(CaptureError, match="which is Python state"):
                compiled(X)
        assert vars(box) == before
        assert (box.items, SCALE[0], Box.shared) == (items, scale, shared)
        np.testing.assert_array_equal(box.tensor.data, 1)  # type: ignore[attr-defined]

    def test_what_another_capture_left_is_an_array(self) -> None:
        kept: list[Any] = []
        keep = itertools.repeat(kept).__next__
        tg.compile(lambda x: keep().append(x * 2) or x)(X)
        np.testing.assert_array_equal(tg.compile(lambda x: x * kept[0])(X), 2 * X * X)
        kept[0][0] = 5.0
        np.testing.assert_array_equal(kept[0] + 1, [6, 5, 7])


class TestOddObjects:
    def test_which_are_left_as_they_are(self) -> None:
        stern, total, safe = Stern(), Total((np.ones(3), np.ones(3))), random.SystemRandom()
        stern.number = 2.0
        compiled = tg.compile(lambda x: x * stern.number * total.total if safe is not None else x)
        np.testing.assert_array_equal(compiled(X), 4 * X)
        assert type(total) is Total

    def test_which_nothing_can_be_put_into(self) -> None:
        fixed = Fixed()
        vars(fixed)["table"] = table = np.ones(3)
        compiled = tg.compile(lambda x: x * fixed.table)
        np.testing.assert_array_equal(compiled(X), X)
        table += 1
        np.testing.assert_array_equal(compiled(X), X * 2)
        assert fixed.table is table

    @pytest.mark.parametrize("numbers", [itertools.count(), (n for n in range(9)), iter([1.0, 2.0])])
    def test_iterators_are_refused(self, numbers: Iterator[float]) -> None:
        with pytest.raises(CaptureError, match="may take the next item of numbers"):
            tg.compile(lambda x: x * 1 if next(numbers) < 5 else x)(X)

    def test_iterators_that_are_only_held_are_not(self) -> None:
        box = Box()
        box.numbers = itertools.count()  # type: ignore[attr-defined]
        np.testing.assert_array_equal(tg.compile(lambda x: next(iter([x])) * box.number)(X), X)
        numbers = itertools.count()
        np.testing.assert_array_equal(tg.compile(lambda x: x * 2 if numbers is not None else x)(X), X * 2)

    def test_the_method_of_an_array_is_refused(self) -> None:
        total = np.ones(3).sum
        with pytest.raises(CaptureError, match="is the method sum of an array"):
            tg.compile(lambda x: x * total())(X)

    def test_a_method_that_changes_a_list_is_refused(self) -> None:
        history: list[float] = []
        push = history.append
        with pytest.raises(CaptureError, match="which is Python state"):
            tg.compile(lambda x: push(1.0) or x)(X)
        assert not history


class TestWhatStandsIn:
    def test_it_is_gone_after_the_capture(self) -> None:
        box = Box()
        before, pair = box.array, box.pair
        tg.compile(lambda x: x * (box.array * box.pair[0]))(X)
        assert box.array is before
        assert box.pair is pair
        assert before.flags.writeable

    def test_it_is_gone_after_an_exception(self) -> None:
        box = Box()
        before = box.array

        def fails(x: Any) -> Any:
            raise KeyError(str((box.array * x).shape))

        with pytest.raises(KeyError):
            tg.compile(fails)(X)
        assert box.array is before
        assert before.flags.writeable

    def test_another_array_under_its_name_is_an_error(self) -> None:
        box = Box()
        before = box.array

        def moves_on(x: Any) -> Any:
            box.array = box.array + x
            return box.array

        compiled = tg.compile(moves_on)
        for _ in range(2):
            with pytest.raises(CaptureError, match=r"gives the name box\.array"):
                compiled(X)
        assert box.array is before

    def test_a_new_attribute_is_an_error(self) -> None:
        box = Box()

        def remembers(x: Any) -> Any:
            box.last = x * 2  # type: ignore[attr-defined]
            return x

        with pytest.raises(CaptureError, match="changes the attributes of box"):
            tg.compile(remembers)(X)

    def test_writing_in_place_is_done_on_every_call(self) -> None:
        box = Box()

        def adds(x: Any) -> Any:
            box.array += x
            box.array[0] = 5.0
            return box.array * 1

        compiled = tg.compile(adds)
        for n in (1, 2, 3):
            np.testing.assert_array_equal(compiled(X), [5, 1 + 2 * n, 1 + 3 * n])
            np.testing.assert_array_equal(box.array, [5, 1 + 2 * n, 1 + 3 * n])

    def test_arrays_that_are_not_used_do_not_matter(self) -> None:
        box = Box()
        box.array = np.zeros(6)
        box.items = box.array[:3]  # type: ignore[assignment]

        def adds(x: Any) -> Any:
            box.items += x
            return box.items * 1 if len(x) == 3 else box.array

        compiled = tg.compile(adds)
        for n in (1, 2, 3):
            np.testing.assert_array_equal(compiled(X), n * X)
            np.testing.assert_array_equal(box.array, [*n * X, 0, 0, 0])

    def test_the_elements_of_tensors_cannot_be_written_to_behind_its_back(self) -> None:
        w = tg.tensor(np.ones(3))
        behind = itertools.repeat(w.data).__next__

        def writes(x: Any) -> Any:
            behind()[0] = 5.0
            return w * x

        with pytest.raises(CaptureError, match="plain array in place"):
            tg.compile(writes)(X)
        np.testing.assert_array_equal(w.data, 1)

    def test_other_threads_compute_with_it(self) -> None:
        box, inside, proceed = Box(), threading.Event(), threading.Event()

        def slow(x: Any) -> Any:
            result = x * (box.array * 2)
            inside.set()
            proceed.wait(10)
            return result + box.array

        compiled = tg.compile(slow)
        thread = threading.Thread(target=lambda: compiled(X))
        thread.start()
        assert inside.wait(10)
        try:
            table = box.array
            assert float(np.sum(table * 2 + 1)) == 9
            assert list(np.asarray(table)) == table.tolist() == [1, 1, 1]
            assert [bool(table[0]), int(table[0]), complex(table[0]), table[0].item()] == [1, 1, 1, 1]
            assert (f"{table[2]:.1f}", str(table), 1.0 in table) == ("1.0", "[1. 1. 1.]", True)
        finally:
            proceed.set()
            thread.join()
        np.testing.assert_array_equal(compiled(X), 2 * X + 1)
        assert len(compiled.program.program.calls) == 3

    def test_another_capture_waits_for_it_to_be_gone(self) -> None:
        box, inside, proceed = Box(), threading.Event(), threading.Event()

        def slow(x: Any) -> Any:
            inside.set()
            proceed.wait(10)
            return x * (box.array * 2)

        other = tg.compile(lambda x: x + box.array * 3)
        threads = [threading.Thread(target=tg.compile(slow), args=(X,)), threading.Thread(target=other, args=(X,))]
        threads[0].start()
        assert inside.wait(10)
        threads[1].start()
        threads[1].join(0.1)
        assert threads[1].is_alive()
        proceed.set()
        for thread in threads:
            thread.join()
        box.array += 1
        np.testing.assert_array_equal(other(X), X + 6)
        assert other.captures == 1

    def test_another_capture_does_not_wait_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.modules["tinygrad_np.compiler.compile"], "PATIENCE", 0.05)
        inside, proceed = threading.Event(), threading.Event()

        def slow(x: Any) -> Any:
            inside.set()
            proceed.wait(10)
            return x * 2

        thread = threading.Thread(target=tg.compile(slow), args=(X,))
        thread.start()
        assert inside.wait(10)
        with pytest.raises(CaptureError, match=r"has been captured for 0\.05 s"):
            tg.compile(lambda x: x)(X)
        proceed.set()
        thread.join()

    def test_what_the_function_computes_cannot_go_to_other_threads(self) -> None:
        with ThreadPoolExecutor(1) as pool, pytest.raises(CaptureError, match="in another thread than the one"):
            tg.compile(lambda x: sum(pool.map(np.sin, [x, x + 1])))(X)

    def test_functions_that_share_an_array_are_captured_one_after_the_other(self) -> None:
        box, together = Box(), threading.Barrier(4)

        def work(n: int, found: dict[int, Any]) -> None:
            compiled = tg.compile(lambda x: x * (box.array * n))
            together.wait(10)
            found[n] = [compiled(X) for _ in range(20)]

        found: dict[int, Any] = {}
        threads = [threading.Thread(target=work, args=(n, found)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for n in range(4):
            np.testing.assert_array_equal(found[n], [X * n] * 20)


def test_a_long_list_costs_one_look() -> None:
    numbers = [1.0] * 2000
    assert len(Watch(lambda x: x * numbers[0])._entries) < 10


def test_what_goes_to_and_fro_is_captured_once_for_each() -> None:
    w, box = tg.tensor(np.ones(3), requires_grad=True), Box()
    compiled = tg.compile(lambda x: np.sum(w * x * box.number).backward())
    for n in range(8):
        if n % 2 == 0:
            w.grad = None
        compiled(X)
        np.testing.assert_array_equal(w.grad, X * (1 + n % 2))
    assert compiled.captures == 2


def test_capturing_again_and_again_is_told() -> None:
    box = Box()
    compiled = tg.compile(lambda x: x * box.number)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for n in range(OFTEN + 5):
            box.number = float(n)
            compiled(X)
    assert [len(entries) for entries in compiled._entries.values()] == [KEPT]
    assert [str(OFTEN) in str(w.message) and "box.number" in str(w.message) for w in told] == [True]


def test_other_arguments_again_and_again_are_told() -> None:
    compiled = tg.compile(lambda x, n: x * n)
    for n in range(OFTEN - 1):
        compiled(X, n)
    with pytest.warns(UserWarning, match="arguments of another kind"):
        compiled(X, -1)
