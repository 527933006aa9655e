"""Nothing leaves the graph without anyone saying so: what does not dispatch raises, and names what to write.

Only ``float(t)``, ``complex(t)``, ``int(t)``, ``bool(t)``, ``t.item()`` and ``t.tolist()`` give plain numbers, for
logging and for decisions. What calls them behind the scenes cannot always be told from them: see the end of this page.
"""

import array
import copy
import math
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import (
    DtypeError,
    EscapeError,
    LeafUpdateError,
    MissingRuleError,
    UnsupportedArgumentError,
)

Call = Callable[[Any, Any, Any], Any]

VECTOR, MATRIX, NUMBER = np.array([1.0, 2.0, 3.0]), np.array([[1.0, 2.0], [3.0, 4.0]]), np.float64(0.5)


def recorded() -> list[tg.Tensor]:
    """A vector, a matrix and a number that were computed from leaves."""
    return [+tg.tensor(x, requires_grad=True) for x in (VECTOR, MATRIX, NUMBER)]


def each(calls: dict[str, Call]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", calls.values(), ids=calls)


# --------------------------------------------------------------------------------------- what would make a plain array

ARRAYS: dict[str, Call] = {
    "np.array(t)": lambda t, q, s: np.array(t),
    "np.array(t, dtype=object)": lambda t, q, s: np.array(t, dtype=object),
    "np.array(s, dtype=float)": lambda t, q, s: np.array(s, dtype=float),
    "np.array([t, t])": lambda t, q, s: np.array([t, t]),
    "np.array([s, s])": lambda t, q, s: np.array([s, s]),
    "np.array([s, 1.0])": lambda t, q, s: np.array([s, 1.0]),
    "np.array([[s, 1], [2, 3]], 'f4')": lambda t, q, s: np.array([[s, 1], [2, 3]], "f4"),
    "np.array([s, s], dtype=object)": lambda t, q, s: np.array([s, s], dtype=object),
    "np.asarray(t)": lambda t, q, s: np.asarray(t),
    "np.asarray([s, s])": lambda t, q, s: np.asarray([s, s]),
    "np.asanyarray(t)": lambda t, q, s: np.asanyarray(t),
    "np.asarray_chkfinite(t)": lambda t, q, s: np.asarray_chkfinite(t),
    "np.ascontiguousarray(t)": lambda t, q, s: np.ascontiguousarray(t),
    "np.asfortranarray(t)": lambda t, q, s: np.asfortranarray(t),
    "np.require(t)": lambda t, q, s: np.require(t, requirements="C"),
    "np.full(3, s)": lambda t, q, s: np.full(3, s),
    "np.full(3, s, float)": lambda t, q, s: np.full(3, s, float),
    "np.full(3, t, float)": lambda t, q, s: np.full(3, t, float),
    "np.full_like(array, s)": lambda t, q, s: np.full_like(VECTOR, s),
    "np.arange(s)": lambda t, q, s: np.arange(s),
    "np.arange(0, 2, s)": lambda t, q, s: np.arange(0, 2, s),
    "np.kaiser(3, s)": lambda t, q, s: np.kaiser(3, s),
    "np.r_[t, t]": lambda t, q, s: np.r_[t, t],
    "np.c_[t, t]": lambda t, q, s: np.c_[t, t],
    "np.r_[s, 1]": lambda t, q, s: np.r_[s, 1],
    "np.r_[0:s:3j]": lambda t, q, s: np.r_[0:s:3j],
    "np.mgrid[0:s]": lambda t, q, s: np.mgrid[0:s],
    "np.matrix(q)": lambda t, q, s: np.matrix(q),
    "np.asmatrix(q)": lambda t, q, s: np.asmatrix(q),
    "np.bmat([[q, q]])": lambda t, q, s: np.bmat([[q, q]]),
    "np.rec.fromarrays([t, t])": lambda t, q, s: np.rec.fromarrays([t, t]),
    "np.ma.array(t)": lambda t, q, s: np.ma.array(t),
    "np.ma.masked_where(mask, t)": lambda t, q, s: np.ma.masked_where([True, False, True], t),
    "np.ma.sqrt(t)": lambda t, q, s: np.ma.sqrt(t),
    "np.ma.sum(t)": lambda t, q, s: np.ma.sum(t),
    "masked + t": lambda t, q, s: np.ma.array(VECTOR, mask=[0, 1, 0]) + t,
    "np.vectorize(f)(t)": lambda t, q, s: np.vectorize(lambda v: v * v)(t),
    "np.vectorize(math.sqrt)(s)": lambda t, q, s: np.vectorize(math.sqrt)(s),
    "np.vectorize(closure)(array)": lambda t, q, s: np.vectorize(lambda v: v * s)(VECTOR),
    "np.broadcast(t, array)": lambda t, q, s: np.broadcast(t, VECTOR),
    "np.ndenumerate(t)": lambda t, q, s: np.ndenumerate(t),
    "np.float32(s)": lambda t, q, s: np.float32(s),
    "np.longdouble(s)": lambda t, q, s: np.longdouble(s),
    "np.complex128(s)": lambda t, q, s: np.complex128(s),
    "np.int64(s)": lambda t, q, s: np.int64(s),
    "np.float64(t)": lambda t, q, s: np.float64(t),
    "np.polynomial.Polynomial(t)": lambda t, q, s: np.polynomial.Polynomial(t),
    "rng.normal(t)": lambda t, q, s: np.random.default_rng(0).normal(t),
    "rng.normal(s)": lambda t, q, s: np.random.default_rng(0).normal(s),
    "rng.normal(0, s)": lambda t, q, s: np.random.default_rng(0).normal(0, s),
    "rng.uniform(0, t)": lambda t, q, s: np.random.default_rng(0).uniform(0, t),
    "rng.choice(t)": lambda t, q, s: np.random.default_rng(0).choice(t),
    "rng.choice(3, p=t)": lambda t, q, s: np.random.default_rng(0).choice(3, p=t / 6),
    "rng.permutation(t)": lambda t, q, s: np.random.default_rng(0).permutation(t),
    "np.random.normal(s)": lambda t, q, s: np.random.normal(s),  # noqa: NPY002
    "array.dot(t)": lambda t, q, s: VECTOR.dot(t),
    "array.searchsorted(t)": lambda t, q, s: VECTOR.searchsorted(t),
    "np.put(array, 0, s)": lambda t, q, s: np.put(VECTOR.copy(), 0, s),
    "np.copyto(array, t)": lambda t, q, s: np.copyto(VECTOR.copy(), t),
    "np.add.at(array, 0, s)": lambda t, q, s: np.add.at(VECTOR.copy(), 0, s),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@each(ARRAYS)
def test_what_makes_a_plain_array_raises_and_names_what_to_write(call: Call) -> None:
    with pytest.raises(EscapeError, match=r"would lose the gradient[:.] [Ww]rite"):
        call(*recorded())


CONVERSIONS = (
    "np.array(t)",
    "np.array([t, t])",
    "np.asarray(t)",
    "np.full(3, t, float)",
    "np.ma.array(t)",
    "np.r_[t, t]",
)


@each({name: ARRAYS[name] for name in CONVERSIONS})
def test_a_tensor_without_a_gradient_is_an_array_like_any_other(call: Call) -> None:
    plain = [t.detach() for t in recorded()]
    expected = call(VECTOR, MATRIX, NUMBER)
    np.testing.assert_array_equal(call(*plain), expected)
    with tg.no_grad():
        np.testing.assert_array_equal(call(*(t * 1 for t in recorded())), expected)


# ------------------------------------------------------------------------------------------- writing into plain arrays


def store(target: Any, index: Any, value: Any) -> Any:
    target[index] = value
    return target


def add(target: Any, value: Any) -> Any:
    target += value
    return target


SLOTS: dict[str, Call] = {
    "array[0] = s": lambda t, q, s: store(VECTOR.copy(), 0, s),
    "array[0] = t[0]": lambda t, q, s: store(VECTOR.copy(), 0, t[0]),
    "array[1, 0] = s": lambda t, q, s: store(MATRIX.copy(), (1, 0), s),
    "array[()] = s": lambda t, q, s: store(np.zeros(()), (), s),
    "float32 array[0] = s": lambda t, q, s: store(np.zeros(3, np.float32), 0, s),
    "complex array[0] = s": lambda t, q, s: store(np.zeros(3, complex), 0, s),
    "np.sum(array, initial=s)": lambda t, q, s: np.sum(VECTOR, initial=s),
    "np.max(array, initial=s)": lambda t, q, s: np.max(VECTOR, initial=s),
    "np.vectorize(closure, otypes=[float])": lambda t, q, s: np.vectorize(lambda v: v * s, otypes=[float])(VECTOR),
}
SLICES: dict[str, Call] = {
    "array[...] = t": lambda t, q, s: store(VECTOR.copy(), ..., t),
    "array[0:1] = s": lambda t, q, s: store(VECTOR.copy(), slice(0, 1), s),
    "array[mask] = s": lambda t, q, s: store(VECTOR.copy(), VECTOR > 1, s),
    "array[[0]] = s": lambda t, q, s: store(VECTOR.copy(), [0], s),
    "array[:] = [s, s, s]": lambda t, q, s: store(VECTOR.copy(), slice(None), [s, s, s]),
    "array.put(0, s)": lambda t, q, s: VECTOR.copy().put(0, s),
    "array.real = t": lambda t, q, s: setattr(VECTOR.copy(), "real", t),
    "array.flat = t": lambda t, q, s: setattr(VECTOR.copy(), "flat", t),
}


@each(SLOTS)
def test_a_scalar_tensor_is_not_stored_as_a_number(call: Call) -> None:
    """NumPy says that the element is a sequence, and why it thinks so is in the cause."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*recorded())
    reason = caught.value if isinstance(caught.value, EscapeError) else caught.value.__cause__
    assert isinstance(reason, EscapeError)
    assert "write t.item() if that is meant, np.stack([...]) to join tensors" in str(reason)


@each(SLICES)
def test_a_tensor_is_not_stored_in_part_of_an_array(call: Call) -> None:
    with pytest.raises(EscapeError, match=r"would lose the gradient: write t\.data"):
        call(*recorded())


def test_a_python_array_stores_no_tensor_as_a_number() -> None:
    _, _, s = recorded()
    with pytest.raises(EscapeError, match=r"write t\.item\(\)"):
        store(array.array("d", [0.0]), 0, s)
    assert store([0.0], 0, s)[0] is s
    assert store({}, 0, s)[0] is s


@pytest.mark.parametrize("value", [0, 2], ids=["t", "s"])
def test_adding_in_place_to_an_array_is_writing_into_it(value: int) -> None:
    with pytest.raises(UnsupportedArgumentError, match=r"Write y = np\.add"):
        add(VECTOR.copy(), recorded()[value])


def test_numbers_for_a_log_are_stored_by_saying_so() -> None:
    _, _, s = recorded()
    log = np.zeros(4)
    log[0], log[1], log[2], log[3] = float(s), s.item(), s.data, s.detach()
    np.testing.assert_array_equal(log, [0.5] * 4)


# ------------------------------------------------------------------------------------------------- other ways to leave

MASKED = np.ma.array(VECTOR, mask=[0, 1, 0])
AS_MATRIX = VECTOR.view(np.matrix)  # np.matrix() itself warns that it is not to be used

OTHERS: dict[str, tuple[Call, type[Exception], str]] = {
    "t + masked": (lambda t, q, s: t + np.ma.array(VECTOR, mask=[0, 1, 0]), DtypeError, "np.where(mask, other, t)"),
    "tg.tensor(masked)": (lambda t, q, s: tg.tensor(MASKED), DtypeError, "np.where(mask, other, t)"),
    "matrix * t": (lambda t, q, s: AS_MATRIX * t, DtypeError, "write np.asarray(matrix), and @ for products"),
    "t + matrix": (lambda t, q, s: t + AS_MATRIX, DtypeError, "write np.asarray(matrix), and @ for products"),
    "np.dot(matrix, t)": (lambda t, q, s: np.dot(AS_MATRIX, t), DtypeError, "write np.asarray(matrix)"),
    "np.frompyfunc(f, 1, 1)(t)": (lambda t, q, s: np.frompyfunc(abs, 1, 1)(t), MissingRuleError, "NumPy functions"),
    "np.frombuffer(t)": (lambda t, q, s: np.frombuffer(t), TypeError, "bytes-like"),
    "np.from_dlpack(t)": (lambda t, q, s: np.from_dlpack(t), AttributeError, "dlpack"),
    "memoryview(t)": (lambda t, q, s: memoryview(t), TypeError, "bytes-like"),
    "np.nditer(t)": (lambda t, q, s: np.nditer(t), TypeError, "Iterator operand"),
    "array.flat[0] = s": (lambda t, q, s: store(VECTOR.copy().flat, 0, s), ValueError, "Error setting single item"),
    "np.save(file, t)": (lambda t, q, s: np.save("never.npy", t), MissingRuleError, "write t.data"),
    "copy.deepcopy(t)": (lambda t, q, s: copy.deepcopy(t), EscapeError, "t.detach()"),
    "pickle.dumps(t)": (lambda t, q, s: pickle.dumps(t), EscapeError, "t.detach()"),
    "np.eye(2, k=s)": (lambda t, q, s: np.eye(2, k=s), TypeError, "integer"),
    "np.zeros(s)": (lambda t, q, s: np.zeros(s), TypeError, "integer"),
    "np.array([1], like=t)": (lambda t, q, s: np.array([1], like=t), MissingRuleError, "np.stack"),
    "np.full(3, s, like=t)": (lambda t, q, s: np.full(3, s, like=t), MissingRuleError, "np.broadcast_to"),
    "np.arange(s, like=t)": (lambda t, q, s: np.arange(s, like=t), MissingRuleError, "np.arange(n)"),
    "np.emath.sqrt(t)": (lambda t, q, s: np.emath.sqrt(t), MissingRuleError, "t.data"),
}


@pytest.mark.parametrize(("call", "error", "advice"), OTHERS.values(), ids=OTHERS)
def test_other_ways_to_lose_a_gradient_raise_too(call: Call, error: type[Exception], advice: str) -> None:
    with pytest.raises(error) as caught:
        call(*recorded())
    assert advice in str(caught.value)


def test_a_recorded_tensor_is_not_copied_into_an_unrecorded_one() -> None:
    t = tg.tensor([1.0], requires_grad=True)
    for recorded in (t, t * 2):
        with pytest.raises(EscapeError, match=r"tg\.tensor of a tensor of float64\(1,\) .* t\.detach\(\)"):
            tg.tensor(recorded)
    assert not tg.tensor(t.detach()).requires_grad


def test_a_leaf_is_not_shuffled() -> None:
    t = tg.tensor(VECTOR, requires_grad=True)
    with pytest.warns(UserWarning, match="shuffling a 'Tensor'"), pytest.raises(LeafUpdateError):
        np.random.default_rng(0).shuffle(t)


# ------------------------------------------------------------------------------------------- what keeps the gradient

KEPT: dict[str, Call] = {
    "np.stack([t, t])": lambda t, q, s: np.stack([t, t]),
    "np.block([[q, q]])": lambda t, q, s: np.block([[q, q]]),
    "np.broadcast_to(s, 3)": lambda t, q, s: np.broadcast_to(s, 3),
    "np.full_like(t, s)": lambda t, q, s: np.full_like(t, s),
    "list(t)": lambda t, q, s: np.stack(list(t)),
    "first, *rest = t": lambda t, q, s: (lambda first, *rest: first)(*t),
    "sum(t)": lambda t, q, s: sum(t),
    "max(t)": lambda t, q, s: max(t),
    "sorted(t)": lambda t, q, s: sorted(t)[0],
    "math.prod(t)": lambda t, q, s: math.prod(t),
    "array @ t": lambda t, q, s: VECTOR @ t,
    "array.clip(t)": lambda t, q, s: VECTOR.clip(t, None),
    "float64 += s": lambda t, q, s: add(np.float64(3), s),
    "np.mgrid[0:s:3j]": lambda t, q, s: np.mgrid[0:s:3j],
    "np.fromfunction(closure)": lambda t, q, s: np.fromfunction(lambda i: i * s, (3,)),
    "np.poly1d(t)(2.0)": lambda t, q, s: np.poly1d(t)(2.0),
    "copy.copy(t)": lambda t, q, s: copy.copy(t),
    "np.fft.fftfreq(3, s)": lambda t, q, s: np.fft.fftfreq(3, s),
}


@each(KEPT)
def test_what_is_made_of_tensors_keeps_the_gradient(call: Call) -> None:
    result = call(*recorded())
    assert isinstance(result, tg.Tensor)
    assert result.requires_grad
    np.testing.assert_array_equal(result.data, call(VECTOR, MATRIX, NUMBER))


# ------------------------------------------------------------------------------------------------------- plain numbers

NUMBERS: dict[str, Callable[[Any], Any]] = {
    "float(s)": float,
    "complex(s)": complex,
    "int(s)": int,
    "bool(s)": bool,
    "s.item()": lambda s: s.item(),
    "s.tolist()": lambda s: s.tolist(),
    "format": lambda s: f"{s:.3f}",
    # and what calls float() itself, where neither Python nor NumPy says what for
    "math.sqrt(s)": math.sqrt,
    "math.floor(s)": math.floor,
    "np.float64(s)": np.float64,
    "np.fromiter([s], float)": lambda s: np.fromiter([s], float),
    "array.fill(s)": lambda s: (lambda x: (x.fill(s), x)[1])(np.zeros(2)),
    "struct.pack": lambda s: struct.pack("d", s),
}


@pytest.mark.parametrize("call", NUMBERS.values(), ids=NUMBERS)
def test_who_asks_for_a_number_gets_it(call: Callable[[Any], Any]) -> None:
    """The known limit: these last ones call the same ``__float__`` as ``float(s)``, which is for logging."""
    _, _, s = recorded()
    found, expected = call(s), call(NUMBER)
    assert type(found) is type(expected)
    np.testing.assert_array_equal(found, expected)
