"""Bad input: each error is the builtin one too, repeats the call with shapes and dtypes, and says what to do."""

import array
import decimal
import fractions
import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensors import assert_tensor, leaf

import tinygrad_np as tg
from tinygrad_np import errors
from tinygrad_np.core import Tensor, table
from tinygrad_np.errors import (
    BadAxisError,
    BadIndexError,
    DtypeError,
    EscapeError,
    MissingMethodError,
    MissingRuleError,
    ShapeError,
    TinygradError,
    UnsupportedArgumentError,
)

M = leaf(np.arange(1.0, 7.0).reshape(2, 3))  # no call changes it
V = leaf(np.ones(4, np.float32))
S = leaf(2.0)

# ---------------------------------------------------------------------------------------------------------- the classes

BUILTIN = {
    "BadAxisError": np.exceptions.AxisError,
    "BadIndexError": IndexError,
    "CaptureError": RuntimeError,
    "DtypeError": TypeError,
    "EscapeError": TypeError,
    "FreedGraphError": RuntimeError,
    "GradcheckError": AssertionError,
    "GradientError": ValueError,
    "LeafUpdateError": RuntimeError,
    "MissingMethodError": AttributeError,
    "MissingRuleError": NotImplementedError,
    "RuleError": ValueError,
    "ShapeError": ValueError,
    "StaleGraphError": RuntimeError,
    "UnsupportedArgumentError": TypeError,
}


def test_every_class_is_listed() -> None:
    own = {name: thing for name, thing in vars(errors).items() if getattr(thing, "__module__", "") == errors.__name__}
    classes = {name for name, thing in own.items() if inspect.isclass(thing)}
    assert classes == {*errors.__all__} == {*BUILTIN, "TinygradError"}


@pytest.mark.parametrize(("name", "builtin"), BUILTIN.items(), ids=BUILTIN)
def test_each_class_is_the_builtin_one_too(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, TinygradError)
    assert issubclass(error, builtin)
    assert inspect.getdoc(error)
    assert str(error("what happened")) == "what happened"


# ------------------------------------------------------------------------------------------------------- what they say

F = r"float64\(2, 3\)"
G = r"float32\(4,\)"

SHAPES = {
    "add": (lambda: M + V, rf"np.add\({F}, {G}\): operands could not be broadcast together .*\. Reshape"),
    "reflected": (lambda: np.ones(4) - M, rf"np.subtract\(float64\(4,\), {F}\)"),
    "number of columns": (lambda: M @ V, rf"np.matmul\({F}, {G}\): .*Reshape, transpose or index"),
    "matmul of a number": (lambda: M @ 2.0, rf"np.matmul\({F}, 2.0\)"),
    "where": (lambda: np.where(np.ones(4) > 0, M, 0), rf"np.where\(bool\(4,\), {F}, 0\)"),
    "concatenate": (lambda: np.concatenate([M, V]), rf"np.concatenate\(\[{F}, {G}\]\): all the input array"),
    "stack": (lambda: np.stack([M, V]), rf"np.stack\(\[{F}, {G}\]\): all arrays must have the same shape"),
    "vstack": (lambda: np.vstack((M, V)), rf"np.vstack\(\[{F}, {G}\]\)"),
    "split": (lambda: np.split(M, 4), rf"np.split\({F}, 4\): axis 0 .* does not divide into 4 .*np.array_split"),
    "reshape": (lambda: M.reshape(4, 2), rf"np.reshape\({F}, \(4, 2\).*: cannot reshape array of size 6"),
    "transpose": (lambda: M.transpose(0, 1, 2), rf"np.transpose\({F}, axes=\(0, 1, 2\)\): axes don't match"),
    "broadcast_to": (lambda: np.broadcast_to(M, (3, 2)), rf"np.broadcast_to\({F}, shape=\(3, 2\)\)"),
    "squeeze": (lambda: np.squeeze(M, 0), rf"np.squeeze\({F}, axis=0\): cannot select an axis"),
    "einsum": (lambda: np.einsum("ij,jk->ik", M, V), rf"np.einsum\('ij,jk->ik', {F}, {G}\)"),
    "tensordot": (lambda: np.tensordot(M, V, 1), rf"np.tensordot\({F}, {G}, 1\): shapes \(2, 3\) and \(4,\)"),
    "dot": (lambda: np.dot(M, V), rf"np.dot\({F}, {G}\)"),
    "pad": (lambda: np.pad(M, -1), rf"np.pad\({F}, -1\): pad_width must not be negative"),
    "written values": (lambda: (M * 1).__setitem__(0, np.ones(7)), rf"\({F}, float64\(7,\), index=0\): could not"),
    "in place": (lambda: (V * 1).__imul__(np.ones((2, 4))), r"in-place multiply .*shape \(4,\) into \(2, 4\)"),
    "ragged list": (lambda: tg.tensor([[1], [1, 2]]), r"tg\.tensor: .* of one length: \[\[1\], \[1, 2\]\]"),
    "labels": (
        lambda: tg.functions.cross_entropy(M, np.array([0, 3])),
        r"cross_entropy: labels must be from 0 to 2 for logits of shape \(2, 3\).* 3",
    ),
    "truth": (lambda: bool(M > 0), r"a tensor of bool\(2, 3\) is neither true nor false: write t.any\(\), t.all"),
    "float": (lambda: float(M), rf"a tensor of {F} is not one number: index or reduce it first"),
    "item": (lambda: M.item(), rf"a tensor of {F} is not one number"),
    "format": (lambda: f"{M:.3f}", rf"a tensor of {F} is not one number"),
}

AXES = {
    "sum": (lambda: np.sum(M, axis=5), rf"np.sum\({F}, axis=5\): axis 5 is out of bounds for array of dimension 2"),
    "method": (lambda: M.max(-3), rf"np.max\({F}, axis=-3\): .*Axes count from 0, or from -1 backwards"),
    "flip": (lambda: np.flip(M, 4), rf"np.flip\({F}, 4\)"),
    "moveaxis": (lambda: np.moveaxis(M, 0, 9), rf"np.moveaxis\({F}, source=0, destination=9\)"),
    "expand_dims": (lambda: np.expand_dims(M, 7), rf"np.expand_dims\({F}, axis=7\)"),
    "concatenate": (lambda: np.concatenate([M, M], axis=2), rf"np.concatenate\(\[{F}, {F}\], axis=2\)"),
    "argmax": (lambda: np.argmax(M, axis=2), rf"np.argmax\({F}, axis=2\)"),
}

INDICES = {
    "too large": (lambda: M[5], rf"\({F}, index=5\): index 5 is out of bounds.*Indices are integers, slices"),
    "too many": (lambda: M[0, 0, 0], rf"\({F}, index=\(0, 0, 0\)\): too many indices"),
    "float": (lambda: M[1.5], rf"\({F}, index=1.5\): only integers, slices"),
    "string": (lambda: M["x"], rf"\({F}, index='x'\)"),
    "mask": (lambda: M[np.ones(3, bool)], rf"\({F}, index=bool\(3,\)\): boolean index did not match"),
    "float array": (lambda: M[V], rf"\({F}, index={G}\): arrays used as indices must be of integer"),
    "take": (lambda: np.take(M, 7), rf"np.take\({F}, 7\): index 7 is out of bounds"),
    "writing": (lambda: (M * 1).__setitem__(9, 1.0), rf"\({F}, 1.0, index=9\): index 9 is out of bounds"),
}

DTYPES = {
    "integer leaf": (
        lambda: tg.tensor([1, 2], requires_grad=True),
        r"dtype int64 and shape \(2,\) cannot require a gradient: .*dtype=np.float32 or pass floats such as 1.0",
    ),
    "boolean leaf": (lambda: tg.tensor([True], requires_grad=True), r"dtype bool and shape \(1,\) cannot require"),
    "leaf of another dtype": (lambda: leaf([1.0], dtype=int), "dtype int64"),
    "objects": (lambda: tg.tensor([None, 1]), r"a tensor holds numbers, not dtype object \(shape \(2,\)\)"),
    "strings": (lambda: tg.tensor("a"), "a tensor holds numbers, not dtype <U1"),
    "dates": (lambda: tg.tensor(np.array(["2020"], "M8[Y]")), r"not dtype datetime64\[Y\]"),
    "unknown dtype": (lambda: tg.tensor([1.0], dtype="foo"), r"tg.tensor\(\[1.0\], dtype='foo'\): data type 'foo'"),
    "bits of floats": (lambda: M & 1, rf"np.bitwise_and\({F}, 1\): .*Arguments must be numbers or numeric arrays"),
    "complement of floats": (lambda: ~M, rf"np.invert\({F}\)"),
    "floor of complex": (lambda: np.floor(tg.tensor([1j])), r"np.floor\(complex128\(1,\)\)"),
    "order of complex": (lambda: np.arctan2(tg.tensor([1j]), 1.0), r"np.arctan2\(complex128\(1,\), 1.0\)"),
    "difference of booleans": (lambda: (M > 1) - (M > 2), r"np.subtract\(bool\(2, 3\), bool\(2, 3\)\)"),
    "plus a string": (lambda: M + "x", "np.add: an argument of type str is no array of numbers: 'x'"),
    "compared to a string": (lambda: M == "x", rf"np.equal\({F}, 'x'\)"),
    "times None": (lambda: M * None, "np.multiply: an argument of type NoneType is no array of numbers: None"),
    "nothing times None": (lambda: leaf([]) * None, "np.multiply: an argument of type NoneType"),
    "plus objects": (lambda: M + np.array([None, 1, 2]), "np.add: an argument of type ndarray is no array of numbers"),
    "plus a decimal": (lambda: M + decimal.Decimal(1), "np.add: an argument of type Decimal"),
    "plus a fraction": (lambda: fractions.Fraction(1, 2) + M, "np.add: an argument of type Fraction"),
    "masked array": (lambda: M * np.ma.array([1.0, 2.0, 3.0]), r"masked array would lose its mask: write np.where"),
    "written string": (lambda: (M * 1).__setitem__(0, "x"), "an argument of type str is no array of numbers: 'x'"),
    "in place": (lambda: tg.tensor([1, 2]).__itruediv__(2), "in-place divide would turn dtype int64 into float64"),
    "cast": (lambda: M.astype(int, casting="safe"), rf"\({F}, dtype=dtype\('int64'\), casting='safe'\): Cannot cast"),
    "astype unknown": (lambda: M.astype("foo"), rf"t.astype\({F}, 'foo'\): data type 'foo' not understood"),
    "len": (lambda: len(S), r"a tensor of shape \(\) has no len\(\)"),
    "iteration": (lambda: iter(S), r"a tensor of shape \(\) cannot be iterated over"),
}

OUT = {
    "ufunc": lambda: np.exp(M, out=np.ones((2, 3))),
    "ufunc by position": lambda: np.add(M, 1, np.ones((2, 3))),
    "ufunc into itself": lambda: np.add(M, 1, out=M),
    "array into tensor": lambda: np.exp(np.ones((2, 3)), out=M),
    "comparison": lambda: np.greater(M, 1, out=np.ones((2, 3), bool)),
    "matmul": lambda: np.matmul(M, M.T, out=np.ones((2, 2))),
    "several outputs": lambda: np.modf(M, out=(np.ones((2, 3)), np.ones((2, 3)))),
    "array += tensor": lambda: np.ones((2, 3)).__iadd__(M),
    "sum": lambda: np.sum(M, out=np.ones(())),
    "method by position": lambda: M.sum(0, None, np.ones(3)),
    "cumsum by position": lambda: np.cumsum(M, 0, None, np.ones((2, 3))),
    "concatenate": lambda: np.concatenate([M, M], out=np.ones((4, 3))),
    "clip by position": lambda: np.clip(M, 0, 1, np.ones((2, 3))),
    "take by position": lambda: np.take(M, [0], 0, np.ones((1, 3))),
    "dot by position": lambda: np.dot(M, M.T, np.ones((2, 2))),
    "argmax by position": lambda: np.argmax(M, None, np.ones((), int)),
    "all": lambda: np.all(M, out=np.ones((), bool)),
    "reduce": lambda: np.add.reduce(M, out=np.ones(3)),
}


def cases(group: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("call", "message"), group.values(), ids=group)


@cases(SHAPES)
def test_shapes_that_do_not_fit(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call()


@cases(AXES)
def test_axes_that_are_not_there(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadAxisError, match=message):
        call()


@cases(INDICES)
def test_indices_that_do_not_index(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(BadIndexError, match=message):
        call()


@cases(DTYPES)
def test_dtypes_that_do_not_fit(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(DtypeError, match=message):
        call()


@pytest.mark.parametrize("call", OUT.values(), ids=OUT)
def test_nothing_is_written_into(call: Callable[[], Any]) -> None:
    message = rf"np\.\w+[^:]*\(.*{F}.*\): a tensor is a value.*Write y = np\..*\(\.\.\.\), or t\[\.\.\.\] = np\."
    with pytest.raises(UnsupportedArgumentError, match=message):
        call()
    assert_tensor(M, np.arange(1.0, 7.0).reshape(2, 3))


def test_where_without_out_would_leave_elements_undefined() -> None:
    message = r"np.exp: there is no derivative for where=bool\(2, 3\).*np.where\(mask, f\(x\), other\)"
    with pytest.raises(UnsupportedArgumentError, match=message):
        np.exp(M, where=np.ones((2, 3), bool))


@pytest.mark.usefixtures("scratch_table")
def test_a_function_without_a_rule() -> None:
    @tg.primitive
    def strange(x: Any) -> Any:
        return x

    del table[strange]
    message = rf"strange\({F}\): the function has no derivative rule.*terms of NumPy functions.*tg.defvjp.*t.data"
    with pytest.raises(MissingRuleError, match=message):
        strange(M)
    with pytest.raises(MissingRuleError, match=r"np.apply_over_axes|\(vectorized\)"):
        np.frompyfunc(math.sin, 1, 1)(M)


@pytest.mark.parametrize("name", ["view", "resize", "setfield", "flat", "strides", "tobytes"])
def test_array_methods_that_make_no_sense_say_what_to_write(name: str) -> None:
    with pytest.raises(MissingMethodError, match=rf"a tensor has no \.{name}: .*(write|writing|tensor)"):
        getattr(M, name)


@pytest.mark.usefixtures("scratch_table")
def test_somebody_elses_exception_is_left_as_it_is() -> None:
    class OwnError(ValueError):
        pass

    @tg.primitive
    def failing(x: Any) -> Any:
        raise OwnError("as it is")

    tg.defvjp(failing, tg.zero)
    with pytest.raises(OwnError, match=r"^as it is$"):
        failing(M)


@pytest.mark.usefixtures("scratch_table")
@pytest.mark.parametrize("error", [ValueError("no root. Try a bracket."), TypeError("no root"), IndexError("no root")])
def test_an_error_in_somebody_elses_function_comes_without_advice_of_ours(error: Exception) -> None:
    @tg.primitive(name="root")
    def failing(x: Any) -> Any:
        raise error

    tg.defvjp(failing, tg.zero)
    with pytest.raises(type(error), match=rf"root\({F}\): {re.escape(str(error))}$") as caught:
        failing(M)
    assert caught.value.__cause__ is error


def test_numpys_own_error_is_the_cause() -> None:
    for call in (lambda: M + V, lambda: np.stack([M, V @ V])[5], lambda: M.reshape(4), lambda: np.argmax(M, axis=3)):
        with pytest.raises(TinygradError) as caught:
            call()
        assert isinstance(caught.value.__cause__, ValueError | IndexError)
        assert not isinstance(caught.value.__cause__, TinygradError)


# ------------------------------------------------------------------------------------- exits (more in test_escapes.py)


def test_the_escape_error_names_the_ways_out() -> None:
    with pytest.raises(EscapeError, match=rf"a tensor of {F} that .*t.data or t.detach\(\).*np.stack\(\[...\]\)"):
        np.asarray(M)


def test_tensors_that_require_none_become_arrays() -> None:
    constant = M.detach()
    for exit in (np.asarray, np.array, lambda t: np.array([t, t])[0], lambda t: np.asarray(t, np.float32)):
        np.testing.assert_array_equal(exit(constant), M.data)
    assert np.asarray(constant, np.float32).dtype == np.float32
    assert np.shares_memory(np.asarray(constant), constant.data)
    assert not np.shares_memory(np.array(constant), constant.data)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(constant, np.float32, copy=False)


def test_buffers_do_not_come_out() -> None:
    for exit in (memoryview, bytes, lambda t: array.array("d").frombytes(t)):
        with pytest.raises(TypeError):
            exit(M)
    with pytest.raises((AttributeError, TypeError)):
        np.from_dlpack(M)
    for name in ("__array_interface__", "__array_struct__", "__dlpack__", "__buffer__"):
        assert not hasattr(M, name)


def test_lists_of_a_tensor_are_tensors() -> None:
    for elements in (list(V), tuple(V), [*V], sorted(V, key=float), list(reversed(V)), [max(V), min(V)]):
        assert all(type(element) is Tensor and element.requires_grad for element in elements)
    for row in M:
        assert row.requires_grad


@pytest.mark.parametrize("stranger", [None, "x", np.array([None, None, None]), [None] * 3, object(), {}, {1.0}, int])
@pytest.mark.parametrize(
    "ufunc",
    sorted((f for f in table if isinstance(f, np.ufunc) and f.nin == 2 and not f.signature), key=lambda f: f.__name__),
    ids=lambda f: f.__name__,
)
def test_nothing_becomes_an_array_of_objects(ufunc: np.ufunc, stranger: Any) -> None:
    """Whatever NumPy would do with it, an object is refused, or compared to, by every function of two arrays."""
    for x in (tg.tensor(np.ones(3)), leaf(), tg.tensor(np.zeros(0)), tg.tensor([1, 2, 3]), tg.tensor([True] * 3)):
        for arguments in ((x, stranger), (stranger, x)):
            try:
                result = ufunc(*arguments)
            except (TypeError, ValueError):
                continue
            for output in result if isinstance(result, tuple) else (result,):
                assert type(output) is Tensor
                assert output.dtype.kind in "biufc"


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.astype(object),
        lambda t: t.astype(str),
        lambda t: np.sum(t, dtype=object),
        lambda t: np.prod(t, dtype=object),
        lambda t: np.add(t, 1, dtype=object),
        lambda t: np.where(t > 0, t, None),
        lambda t: np.zeros_like(t, dtype=object),
        lambda t: np.full_like(t, None, dtype=object),
        lambda t: np.stack([t, np.full(t.shape, None)]),
        lambda t: np.concatenate([t, [["x"] * t.shape[-1]]]),
        lambda t: np.logical_and(t, None),
        lambda t: np.logical_or(None, t),
        lambda t: np.clip(t, None, "x"),
    ],
)
def test_nor_by_way_of_a_dtype(call: Callable[[Any], Any]) -> None:
    for x in (M, M.detach()):
        with pytest.raises(DtypeError):
            call(x)


@pytest.mark.usefixtures("scratch_table")
@pytest.mark.parametrize("returned", [None, 1.0, [1.0], "x", np.array([None]), (np.ones(1), "x")], ids=repr)
def test_nor_from_a_function_of_ones_own(returned: Any) -> None:
    f = tg.defvjp(lambda x: returned, lambda g, _y, _x: g)
    with pytest.raises(DtypeError, match=r"<lambda>\(float64\(\)\) returned .*: tensors hold numbers"):
        f(S)
