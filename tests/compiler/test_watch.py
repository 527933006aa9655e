"""What a captured function has read, and what it asked for in vain: the next call sees whatever has become of that.

`test_guards` changes what a function finds. Here is what it does not find at first, what it finds by a string, and what
is put in the place of something that compares equal to it.
"""

import array
import collections
import ctypes
import enum
import functools
import math
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.compiler.names import globals_in, named_in
from tinygrad_np.compiler.watch import Watch
from tinygrad_np.errors import CaptureError

X = np.arange(1.0, 5.0)
SCALES = {"a": 1.0, "b": 2.0, "1": 3.0, "1.0": 4.0, "True": 5.0}
SCALE = 1.0  # what is found by a string


def follows(function: Callable[[Any], Any], change: Callable[[], Any]) -> None:
    """Compiled, a function does what it does itself before and after a change, and is captured once for each."""
    compiled = tg.compile(function)
    before = np.array(function(X))
    np.testing.assert_array_equal([compiled(X), compiled(X)], [before, before])
    change()
    after = np.array(function(X))
    assert not np.array_equal(before, after), "the change should make a difference"
    np.testing.assert_array_equal([compiled(X), compiled(X)], [after, after])
    assert compiled.captures == 2


def goes_on(function: Callable[[Any], Any], change: Callable[[], Any]) -> None:
    """A change that makes no difference does not have it captured again."""
    compiled = tg.compile(function)
    compiled(X)
    change()
    np.testing.assert_array_equal(compiled(X), function(X))
    assert compiled.captures == 1


class Thing:
    """Has the attributes that it is made with."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Spelled(Thing):
    """Says what it is by its attribute."""

    def __str__(self) -> str:
        return str(self.kind)  # type: ignore[attr-defined]


class Represented(Thing):
    def __repr__(self) -> str:
        return str(self.kind)  # type: ignore[attr-defined]


class Mode(str, enum.Enum):
    A = "a"


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    globals()["SCALE"] = 1.0
    globals().pop("LATER", None)


class TestWhatIsNotThereYet:
    @staticmethod
    def by_attribute(thing: Any, x: Any) -> Any:
        try:
            return x * thing.scale
        except AttributeError:
            return x

    @pytest.mark.parametrize(
        "find", [lambda t: getattr(t, "scale", 1.0), lambda t: 2.0 if hasattr(t, "scale") else 1.0]
    )
    @pytest.mark.parametrize("make", [lambda: types.ModuleType("settings"), Thing, lambda: type("Kind", (), {})])
    def test_an_attribute_that_is_asked_for(self, find: Callable[[Any], float], make: Callable[[], Any]) -> None:
        thing = make()
        follows(lambda x: x * find(thing), lambda: setattr(thing, "scale", 3.0))

    @pytest.mark.parametrize("make", [lambda: types.ModuleType("settings"), Thing, lambda: type("Kind", (), {})])
    def test_an_attribute_that_is_missed(self, make: Callable[[], Any]) -> None:
        thing = make()
        follows(lambda x: self.by_attribute(thing, x), lambda: setattr(thing, "scale", 3.0))

    @pytest.mark.parametrize("make", [Thing, lambda **attributes: type("Kind", (), attributes)])
    def test_an_attribute_in_the_place_of_another(self, make: Callable[..., Any]) -> None:
        def change() -> None:
            del thing.other
            thing.scale = 3.0

        thing = make(other=1.0)
        follows(lambda x: self.by_attribute(thing, x), change)

    def test_an_attribute_that_hides_that_of_the_class(self) -> None:
        def change() -> None:
            del thing.other
            thing.scale = 3.0

        thing = type("Kind", (Thing,), {"scale": 1.0})(other=1.0)
        follows(lambda x: x * thing.scale, change)

    def test_an_attribute_that_nobody_asks_for(self) -> None:
        for thing in (Thing(scale=2.0), types.ModuleType("settings"), type("Kind", (), {"scale": 2.0})):
            goes_on(lambda x, t=thing: self.by_attribute(t, x), lambda t=thing: setattr(t, "history", []))  # type: ignore[misc]

    def test_a_global(self) -> None:
        def scaled(x: Any) -> Any:
            try:
                return x * LATER  # type: ignore[name-defined]
            except NameError:
                return x

        follows(scaled, lambda: globals().update(LATER=3.0))

    def test_a_global_that_hides_what_is_built_in(self) -> None:
        namespace: dict[str, Any] = {}
        exec("def scaled(x):\n    return x * len('ab')", namespace)
        follows(namespace["scaled"], lambda: namespace.update(len=lambda _: 3.0))

    def test_a_global_of_the_name_of_an_attribute(self) -> None:
        thing = Thing(LATER=2.0)
        goes_on(lambda x: x * thing.LATER, lambda: globals().update(LATER=3.0))

    def test_a_variable_of_an_outer_function(self) -> None:
        def scaled(x: Any) -> Any:
            try:
                return x * scale
            except NameError:
                return x

        def define() -> None:
            nonlocal scale
            scale = 3.0

        if False:
            scale = 0.0
        follows(scaled, define)

    def test_what_it_defines_itself_is_refused(self) -> None:
        def keeps(x: Any) -> Any:
            global LATER
            LATER = x * 2
            return LATER

        for _ in range(2):
            with pytest.raises(CaptureError, match="changes the globals of"):
                tg.compile(keeps)(X)
            assert "LATER" not in globals()

    def test_an_attribute_that_it_adds_is_refused(self) -> None:
        for thing in (Thing(), types.ModuleType("settings")):

            def keeps(x: Any, thing: Any = thing) -> Any:
                thing.scale = x * 2
                return thing.scale

            for _ in range(2):
                with pytest.raises(CaptureError, match="changes the attributes of"):
                    tg.compile(keeps)(X)
                assert not hasattr(thing, "scale")


class TestWhatIsNamedByAString:
    def test_in_evaluated_code(self) -> None:
        follows(lambda x: x * eval("SCALE + 1"), lambda: globals().update(SCALE=2.0))

    def test_by_the_method_of_object(self) -> None:
        thing = Thing(scale=1.0)
        follows(lambda x: x * object.__getattribute__(thing, "scale"), lambda: setattr(thing, "scale", 2.0))

    @pytest.mark.parametrize("spell", [lambda t: "{.kind}".format(t), lambda t: "{t.kind}".format_map({"t": t})])  # noqa: UP032
    def test_in_a_format(self, spell: Callable[[Any], str]) -> None:
        thing = Thing(kind="a")
        follows(lambda x: x * SCALES[spell(thing)], lambda: setattr(thing, "kind", "b"))

    def test_words_of_other_strings_are_no_names(self) -> None:
        def documented(x: Any) -> Any:
            """Has history in it."""
            return "history.history {}".format(x.history)  # noqa: UP032

        assert set(named_in(documented.__code__)) == {"format", "history", "__str__", "__repr__"}
        assert globals_in(documented.__code__) == {"history"}


class TestWhatObjectsSayTheyAre:
    @pytest.mark.parametrize(
        "spell",
        [
            lambda t: str(t),
            lambda t: repr(t),
            lambda t: "{}".format(t),  # noqa: UP032
            lambda t: f"{t}",
            lambda t: f"{t!r:>1}",
            lambda t: "%s" % t,  # noqa: UP031
        ],
    )
    def test_by_an_attribute(self, spell: Callable[[Any], str]) -> None:
        thing = Represented(kind="a")
        follows(lambda x: x * SCALES[spell(thing)], lambda: setattr(thing, "kind", "b"))

    def test_by_the_other_method(self) -> None:
        thing = Spelled(kind="a")
        follows(lambda x: x * SCALES[str(thing)], lambda: setattr(thing, "kind", "b"))

    def test_does_not_matter_to_code_that_spells_nothing(self) -> None:
        thing = Spelled(kind="a", scale=2.0)
        goes_on(lambda x: x * thing.scale, lambda: setattr(thing, "kind", "b"))


class TestWhatComparesEqual:
    """1, 1.0 and True are equal, and so are 0.0 and -0.0; a program with one in it is none with another."""

    def test_a_key(self) -> None:
        def change() -> None:
            del table[1]
            table[1.0] = 2.0

        table: dict[Any, float] = {1: 2.0}
        follows(lambda x: SCALES[str(next(iter(table)))] * x, change)
        assert [type(key) for key in table] == [float]

    def test_a_part_of_a_key(self) -> None:
        table: dict[Any, float] = {("a", 0.0): 2.0}
        follows(
            lambda x: np.copysign(x, list(table)[0][1]),  # noqa: RUF015
            lambda: table.update({("a", -0.0): table.pop(("a", 0.0))}),
        )

    def test_an_element_of_a_set(self) -> None:
        known = {0.0}
        follows(lambda x: np.copysign(x, min(known)), lambda: (known.clear(), known.add(-0.0)))

    def test_an_element_of_an_array(self) -> None:
        known = array.array("d", [0.0])
        follows(lambda x: np.copysign(x, known[0]), lambda: known.__setitem__(0, -0.0))

    def test_a_string_with_attributes(self) -> None:
        class Name(str):
            scale = 1.0

        def named(scale: float) -> Name:
            made = Name("a")
            made.scale = scale
            return made

        thing = Thing(name=named(1.0))
        follows(lambda x: x * thing.name.scale, lambda: setattr(thing, "name", named(2.0)))

    def test_what_cannot_be_told_apart_is_the_same(self) -> None:
        table: dict[Any, float] = {("a", 1000): 2.0, 1000: 3.0}
        goes_on(
            lambda x: x * sum(table.values()),
            lambda: [table.update({key: table.pop(key)}) for key in (("a", int("1000")), int("1000"))],
        )
        thing = Thing(shape=(2, math.nan))
        goes_on(lambda x: x * thing.shape[0], lambda: setattr(thing, "shape", (2, float("nan"))))


class Words(ctypes.Structure):
    _fields_ = (("scale", ctypes.c_double),)


BUFFERS: dict[str, tuple[Any, Callable[[Any], float], Callable[[Any, float], None]]] = {
    "record": (np.zeros(1, [("scale", float)])[0], lambda b: b["scale"], lambda b, v: b.__setitem__("scale", v)),
    "memoryview": (memoryview(bytearray(1)), lambda b: b[0], lambda b, v: b.__setitem__(0, int(v))),
    "number of C": (ctypes.c_double(), lambda b: b.value, lambda b, v: setattr(b, "value", v)),
    "array of C": ((ctypes.c_double * 1)(), lambda b: b[0], lambda b, v: b.__setitem__(0, v)),
    "structure of C": (Words(), lambda b: b.scale, lambda b, v: setattr(b, "scale", v)),
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_what_is_in_memory(kind: str) -> None:
    buffer, read, write = BUFFERS[kind]
    write(buffer, 2.0)
    follows(lambda x: x * read(buffer), lambda: write(buffer, 3.0))


class TestFunctions:
    @staticmethod
    def made(change: Callable[[Any], Any]) -> None:
        def scaled(x: Any, more: float = 1.0, *, scale: float = 2.0) -> Any:
            return x * scale + more

        def tripled(x: Any, more: float = 1.0, *, scale: float = 2.0) -> Any:
            return x * 3

        follows(lambda x: scaled(x), lambda: change((scaled, tripled)))

    def test_other_defaults(self) -> None:
        self.made(lambda f: setattr(f[0], "__defaults__", (2.0,)))

    def test_other_defaults_of_keywords(self) -> None:
        self.made(lambda f: setattr(f[0], "__kwdefaults__", {"scale": 3.0}))

    def test_other_code(self) -> None:
        """As a tool does that loads a module anew while its functions are in use."""
        self.made(lambda f: setattr(f[0], "__code__", f[1].__code__))

    def test_another_function_for_a_class(self) -> None:
        @functools.singledispatch
        def scale(kind: Any) -> float:
            return 1.0

        thing = Thing()
        follows(lambda x: x * scale(thing), lambda: scale.register(Thing)(lambda _: 2.0))
        follows(lambda x: x * scale(thing), lambda: scale.register(Thing)(lambda _: 3.0))


@pytest.mark.usefixtures("scratch_table")
class TestRules:
    @staticmethod
    def cube() -> Callable[[Any], Any]:
        return tg.primitive(lambda x: x * x * x)

    def test_a_rule_that_is_given_anew(self) -> None:
        cube = self.cube()
        tg.defvjp(cube, lambda g, _y, x: g * x)
        follows(
            tg.grad(lambda x: np.sum(cube(x))),
            lambda: tg.defvjp(cube, lambda g, _y, x: g * 3 * x**2),
        )

    def test_what_a_rule_reads(self) -> None:
        cube, scales = self.cube(), [1.0]
        tg.defvjp(cube, lambda g, _y, x: g * scales[0] * x)
        follows(tg.grad(lambda x: np.sum(cube(x))), lambda: scales.__setitem__(0, 2.0))

    def test_the_first_rule_of_another_function(self) -> None:
        goes_on(np.sin, lambda: tg.defvjp(self.cube(), lambda g, _y, x: g * 3 * x**2))


class TestArguments:
    """One call is told from another by all that its results may depend on."""

    @pytest.mark.parametrize(
        "keys",
        [
            *[(1, 1.0, True), (0.0, -0.0), ("a", Mode.A), ((1, "a"), (1.0, "a")), (np.int64(1), 1, np.float32(1))],
            (np.float32(0), np.float32(-0.0)),
        ],
    )
    def test_keys(self, keys: tuple[Any, ...]) -> None:
        compiled = tg.compile(lambda d: {key: x * 2 for key, x in d.items()})
        for key in (*keys, *keys):
            (found,) = compiled({key: X})
            assert (type(found), repr(found)) == (type(key), repr(key))
        assert compiled.captures == len(keys)

    def test_keys_that_cannot_be_told_apart(self) -> None:
        compiled = tg.compile(lambda d: [x * 2 for x in d.values()])
        for _ in range(3):
            compiled({Path("a"): X, ("a", int("1000")): X, int("1000"): X})
        assert compiled.captures == 1

    def test_ranges(self) -> None:
        compiled = tg.compile(lambda x, r: x * r.stop)
        for given in (range(0, 3, 2), range(0, 4, 2), range(3, 0), range(4, 0), range(0, 3, 2)):
            np.testing.assert_array_equal(compiled(X, given), X * given.stop)
        assert compiled.captures == 4

    def test_slices(self) -> None:
        compiled = tg.compile(lambda x, s: x[s] * 2)
        for given in (slice(2), slice(1, None), slice(np.int64(1), 3), slice(True, 3), slice(2)):
            np.testing.assert_array_equal(compiled(X, given), X[given] * 2)
        assert compiled.captures == 4

    @pytest.mark.parametrize("base", [dict, list])
    def test_slots_of_a_container(self, base: type) -> None:
        kind: Any = type("Batch", (base,), {"__slots__": ("scale",)})
        compiled = tg.compile(lambda batch, x: x * batch.scale)
        for scale in (1.0, 2.0, 1.0):
            batch = kind()
            batch.scale = scale
            np.testing.assert_array_equal(compiled(batch, X), X * scale)
        assert compiled.captures == 2

    def test_the_factory_of_a_default_dict(self) -> None:
        compiled = tg.compile(lambda d, x: x * (dict.get(d, "a", d.default_factory()) + 1))
        for factory in (int, lambda: 2, int):
            batch = collections.defaultdict(factory)
            np.testing.assert_array_equal(compiled(batch, X), X * (factory() + 1))
        assert compiled.captures == 2

    def test_fields_of_a_record(self) -> None:
        compiled = tg.compile(lambda x, p: x * len(p.dtype.names))
        for fields in ([("a", "f4"), ("b", "f4")], [("a", "f8")]):
            np.testing.assert_array_equal(compiled(X, p=np.zeros(1, fields)[0]), X * len(fields))


def test_what_is_not_there_costs_one_look() -> None:
    def function(x: Any) -> Any:
        return x.missing + x.other + MISSING + OTHER  # type: ignore[name-defined] # noqa: F821

    names = [name for *_, name in Watch(function, ([Thing()],))._entries]
    assert sum("globals" in name for name in names) == 1
    assert sum("the attributes of an argument" in name for name in names) == 1
