"""Reading signatures, binding calls to them, and describing calls that failed."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_np.errors import (
    BadAxisError,
    BadIndexError,
    DtypeError,
    RuleError,
    ShapeError,
    UnsupportedArgumentError,
)
from tinygrad_np.signatures import (
    CallSignature,
    RuleSignature,
    described_call,
    explained,
    function_name,
    given_out,
    refuse_out,
    rule_name,
)

# --------------------------------------------------------------------------------------------------------------- names


def cube(x: Any) -> Any:
    return x * x * x


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.tanh, "np.tanh"),
        (np.add, "np.add"),
        (np.add.reduce, "np.add.reduce"),
        (np.multiply.outer, "np.multiply.outer"),
        (np.sum, "np.sum"),
        (np.linalg.det, "np.linalg.det"),
        (np.fft.fft, "np.fft.fft"),
        (np.frompyfunc(cube, 1, 1), "cube (vectorized)"),
        (np.frompyfunc(cube, 1, 1).reduce, "cube (vectorized).reduce"),
        (cube, "cube"),
        (functools.partial(cube), "functools.partial("),
    ],
)
def test_functions_are_named_as_one_would_write_them(function: Callable[..., Any], name: str) -> None:
    found = function_name(function)
    assert found.startswith(name) if name.endswith("(") else found == name


def test_rules_are_named_with_the_line_that_defines_them() -> None:
    line = cube.__code__.co_firstlineno
    assert rule_name(cube) == f"cube (test_signatures.py:{line})"
    assert rule_name(functools.partial(cube, 1)) == f"cube (test_signatures.py:{line})"
    assert rule_name(np.sin) == "sin"


# --------------------------------------------------------------------------------------------------------------- rules


def test_what_a_rule_keeps() -> None:
    rule = RuleSignature(lambda g, _y, x, _z: g, 2, "f")
    assert (rule.keeps_output, rule.keeps) == (False, (True, False))
    assert rule.arrays == ["x", "z"]
    rule = RuleSignature(lambda g, y, _x: g, 1, "f")
    assert (rule.keeps_output, rule.keeps) == (True, (False,))


def test_what_a_rule_of_any_number_of_arrays_keeps() -> None:
    for rule, keeps in ((lambda g, _y, *xs, argnum: g, True), (lambda g, _y, *_xs, argnum: g, False)):
        signature = RuleSignature(rule, -1, "f")
        assert signature.keeps == (keeps,)
        assert signature.static == {"argnum"}


@pytest.mark.parametrize(
    ("rule", "static"),
    [
        (lambda g, y, x: g, set()),
        (lambda g, y, x, axis: g, {"axis"}),
        (lambda g, y, x, axis=None: g, {"axis"}),
        (lambda g, y, x, *, axis, keepdims=False: g, {"axis", "keepdims"}),
        (lambda g, y, x, **static: g, None),
        (lambda g, y, x, axis, **static: g, None),
    ],
)
def test_which_static_keywords_a_rule_knows(rule: Callable[..., Any], static: set[str] | None) -> None:
    assert RuleSignature(rule, 1, "f").static == static


@pytest.mark.parametrize("rule", [lambda: 0, lambda g: g, lambda g, y, x: g, lambda g, *, y, x, z: g])
def test_a_rule_with_too_few_parameters(rule: Callable[..., Any]) -> None:
    with pytest.raises(RuleError, match=r"a rule for f must be .* its 2 array arguments, rule\(g, y, x0, x1.*<lambda>"):
        RuleSignature(rule, 2, "f")


# --------------------------------------------------------------------------------------------------------------- calls


def signature(function: Callable[..., Any], *rules: Callable[..., Any]) -> CallSignature:
    name, arity = function_name(function), len(rules)
    return CallSignature(function, [RuleSignature(rule, arity, name) for rule in rules], arity, name)


@pytest.mark.parametrize(
    ("args", "kwargs", "arrays", "static"),
    [
        ((1,), {}, [1], {}),
        ((1, 2), {}, [1], {"axis": 2}),
        ((1,), {"axis": 2}, [1], {"axis": 2}),
        ((1, None, None, None, True), {}, [1], {"keepdims": True}),
        ((), {"a": 1, "axis": 0}, [1], {"axis": 0}),
        ((1,), {"axis": None, "dtype": None, "out": None, "keepdims": np._NoValue}, [1], {}),
    ],
)
def test_calls_of_a_numpy_function(args: Any, kwargs: Any, arrays: Any, static: Any) -> None:
    """Arrays come by position, and what is at its default does not come at all."""
    assert signature(np.sum, lambda g, y, a, axis=None, keepdims=False: g).bind(args, kwargs) == (arrays, static)


def test_calls_of_a_function_of_ones_own() -> None:
    def f(x: Any, scale: Any = 2.0, *, offset: Any = 0.0) -> Any:
        return x * scale + offset

    two = signature(f, lambda g, _y, _x, _s, offset: g, lambda g, _y, _x, _s, offset: g)
    assert two.bind((1.0,), {}) == ([1.0, 2.0], {})
    assert two.bind((1.0, 3.0), {"offset": 4.0}) == ([1.0, 3.0], {"offset": 4.0})
    assert two.bind((), {"scale": 3.0, "x": 1.0}) == ([1.0, 3.0], {})


def test_calls_of_a_ufunc() -> None:
    add = signature(np.add, lambda g, _y, _x0, _x1: g, lambda g, _y, _x0, _x1: g)
    assert add.bind((1, 2), {"order": "C", "casting": "same_kind"}) == ([1, 2], {"order": "C"})


@pytest.mark.parametrize("option", [{"dtype": np.float32}, {"signature": (None, None, "f")}, {"signature": "ff->f"}])
def test_a_dtype_converts_the_arguments_of_a_ufunc(option: dict[str, Any]) -> None:
    add = signature(np.add, lambda g, _y, _x0, _x1: g, lambda g, _y, _x0, _x1: g)
    arrays, static = add.bind((np.ones(2, np.float16), 2), option)
    assert (arrays[0].dtype, arrays[1], static) == (np.float32, 2, {})
    arrays, static = add.bind(([True], np.int8(1)), option)
    assert ([x.dtype for x in arrays], static) == ([np.float32] * 2, {})


def test_a_dtype_that_the_ufunc_does_not_have_is_left_for_numpy_to_refuse() -> None:
    sqrt = signature(np.sqrt, lambda g, _y, _x: g)
    assert sqrt.bind((np.float32(2),), {"dtype": int}) == ([2], {"dtype": int})


def test_calls_of_any_number_of_arrays() -> None:
    def total(*xs: Any, scale: Any = 1.0) -> Any:
        return sum(xs) * scale

    variadic = CallSignature(total, [RuleSignature(lambda g, _y, *_xs, argnum: g, -1, "total")], -1, "total")
    assert variadic.bind((1, 2, 3), {"scale": 2.0}) == ([1, 2, 3], {"scale": 2.0})
    assert variadic.bind((1,), {"scale": 1.0}) == ([1], {})


def test_a_missing_argument() -> None:
    def f(x: Any, z: Any) -> Any:
        return x * z

    two = signature(f, lambda g, _y, _x, _z: g, lambda g, _y, _x, _z: g)
    with pytest.raises(DtypeError, match=r"f\(\) misses its argument 'z'"):
        two.bind((1.0,), {})


def test_too_many_arguments() -> None:
    with pytest.raises(DtypeError, match=r"cube\(\) takes 1 positional arguments, not 2"):
        signature(cube, lambda g, _y, _x: g).bind((1.0, 2.0), {})


def test_static_keywords_for_the_rules() -> None:
    known = signature(np.sum, lambda g, _y, _a, axis=None, keepdims=False: g)
    assert known.for_rules({"axis": 1}) == {"axis": 1}
    with pytest.raises(UnsupportedArgumentError, match=r"is no derivative for where=bool\(2,\); leave it"):
        known.for_rules({"axis": 1, "where": np.ones(2, bool)})
    any_keyword = signature(np.sum, lambda g, _y, _a, **static: g)
    assert any_keyword.for_rules({"where": True}) == {"where": True}


def test_a_keyword_is_known_if_all_rules_know_it() -> None:
    both = signature(cube, lambda g, _y, _x, *, a, b: g)
    assert both.known == {"a", "b"}

    def product(x: Any, z: Any) -> Any:
        return x * z

    one = signature(product, lambda g, _y, _x, _z, *, a: g, lambda g, _y, _x, _z, *, a, b: g)
    with pytest.raises(UnsupportedArgumentError, match="no derivative for b=1"):
        one.for_rules({"a": 0, "b": 1})


def test_options_of_ufuncs_are_no_concern_of_rules() -> None:
    exp = signature(np.exp, lambda g, y, _x: g * y)
    assert exp.for_rules({"dtype": np.float32, "casting": "unsafe", "order": "F"}) == {}


# ----------------------------------------------------------------------------------------------------------------- out=


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [
        (np.argmax, (1, None, "buffer"), {}),
        (np.argmax, (1,), {"out": "buffer"}),
        (np.take, (1, 2, 0, "buffer"), {}),
        (np.round, (1, 2, "buffer"), {}),
        (cube, (1,), {"out": "buffer"}),
    ],
)
def test_out_is_found_by_name_and_by_position(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    assert given_out(function, args, kwargs) == "buffer"


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [(np.argmax, (1, None), {}), (np.argmax, (1,), {"out": None}), (cube, (1, 2, 3), {}), (np.where, (1, 2, 3), {})],
)
def test_there_need_not_be_an_out(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    assert given_out(function, args, kwargs) is None
    refuse_out(None, "np.argmax", args, kwargs)


# ----------------------------------------------------------------------------------------------------- described calls


@pytest.mark.parametrize(
    ("values", "static", "described"),
    [
        ([np.ones((2, 3)), 2.0], {}, "f(float64(2, 3), 2.0)"),
        ([np.float32(1)], {"axis": (0, 1)}, "f(float32(), axis=(0, 1))"),
        ([[np.ones(2), np.ones(3)]], {}, "f([float64(2,), float64(3,)])"),
        ([(np.ones(2), None)], {}, "f([float64(2,), None])"),
        ([], {"dtype": np.float32}, "f(dtype=float32)"),
        (["x" * 100], {}, f"f('{'x' * 56}...)"),
    ],
)
def test_calls_are_described_by_shapes_and_dtypes(values: Any, static: Any, described: str) -> None:
    assert described_call("f", values, static) == described


@pytest.mark.parametrize(
    ("error", "ours", "message"),
    [
        (ValueError("bad shapes. "), ShapeError, "f(float64(2,)): bad shapes. Reshape, transpose or index"),
        (TypeError("bad type"), DtypeError, "f(float64(2,)): bad type. Arguments must be numbers"),
        (IndexError("bad index"), BadIndexError, "f(float64(2,)): bad index. Indices are integers"),
        (np.exceptions.AxisError(3, 2), BadAxisError, "f(float64(2,)): axis 3 is out of bounds for array of dim"),
        (ValueError("f: says what to do"), ShapeError, "f(float64(2,)): says what to do"),
    ],
)
def test_errors_are_explained_by_the_call(error: Exception, ours: type[Exception], message: str) -> None:
    found = explained(error, "f", [np.ones(2)], {})
    assert type(found) is ours
    assert str(found).startswith(message)


def test_an_error_raised_on_purpose_gets_no_advice_that_it_did_not_give() -> None:
    assert str(explained(ValueError("f: write g"), "f", [1], {})) == "f(1): write g"


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("Singular matrix"), ShapeError("ours already")])
def test_errors_that_say_enough_are_raised_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        explained(error, "f", [], {})
    assert caught.value is error
