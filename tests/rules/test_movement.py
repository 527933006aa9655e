"""Writing in place binds the tensor's name to the updated values; what only moves elements keeps all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import tinygrad_np as tg
from tinygrad_np.errors import DtypeError, EscapeError, LeafUpdateError, MissingRuleError

START = np.array([3.0, 1.0, 2.0])

WRITES: dict[str, Callable[[Any], None]] = {
    "np.put": lambda t: np.put(t, [0, 2], [5.0, 6.0]),
    "np.place": lambda t: np.place(t, [True, False, True], [5.0, 6.0]),
    "np.putmask": lambda t: np.putmask(t, [True, False, True], 7.0),
    "np.put_along_axis": lambda t: np.put_along_axis(t, np.array([1]), 5.0, 0),
    "np.fill_diagonal": lambda t: np.fill_diagonal(t, 5.0),
    "np.copyto": lambda t: np.copyto(t, [5.0, 6.0, 7.0], where=[True, False, True]),
    "t.put": lambda t: t.put([0, 2], [5.0, 6.0]),
    "t.fill": lambda t: t.fill(5.0),
    "t.sort": lambda t: t.sort(),
    "t.partition": lambda t: t.partition(1),
}
each_write = pytest.mark.parametrize(("name", "write"), WRITES.items(), ids=WRITES)


def start(name: str) -> np.ndarray:
    return np.diag(START) if name == "np.fill_diagonal" else START.copy()


@each_write
def test_a_write_updates_every_name_of_the_tensor_as_it_updates_an_array(name: str, write: Any) -> None:
    array = start(name)
    t = same = tg.tensor(array)
    assert write(array) is None
    assert write(t) is None
    np.testing.assert_array_equal(t.data, array)
    assert same is t


@each_write
def test_a_write_leaves_earlier_results_as_they_were(name: str, write: Any) -> None:
    leaf = tg.tensor(start(name), requires_grad=True)
    t = 2 * leaf
    view, square = t[0], t * t
    write(t)
    np.testing.assert_array_equal(view.data, 2 * leaf.data[0])
    np.sum(square).backward()
    np.testing.assert_array_equal(leaf.grad, 8 * leaf.data)


@each_write
def test_a_write_into_a_leaf_that_requires_a_gradient_raises_and_leaves_it(name: str, write: Any) -> None:
    leaf = tg.tensor(start(name), requires_grad=True)
    with pytest.raises(LeafUpdateError, match=r"gradient would be lost.* t\.data .*\+t"):
        write(leaf)
    np.testing.assert_array_equal(leaf.data, start(name))


def test_sorting_in_place_sends_gradients_to_where_the_elements_were() -> None:
    leaf = tg.tensor(START, requires_grad=True)
    t, u = +leaf, +leaf
    t.sort()
    u.partition(2)
    (t @ np.array([1.0, 10.0, 100.0]) + u[2]).backward()
    np.testing.assert_array_equal(leaf.grad, [101.0, 1.0, 10.0])


def test_filling_leaves_the_gradient_to_the_number() -> None:
    leaf, number = tg.tensor(START, requires_grad=True), tg.tensor(4.0, requires_grad=True)
    t = +leaf
    t.fill(number)
    np.sum(t).backward()
    assert (leaf.grad.tolist(), number.grad) == ([0.0] * 3, 3.0)


def test_filling_takes_one_number() -> None:
    with pytest.raises(ValueError, match="reshape"):
        tg.tensor(START).fill(START)


@pytest.mark.parametrize(
    ("name", "write"),
    {
        "np.put": lambda a, t: np.put(a, [0], t),
        "np.place": lambda a, t: np.place(a, [True, False, True], t),
        "np.putmask": lambda a, t: np.putmask(a, [True, False, True], t),
        "np.put_along_axis": lambda a, t: np.put_along_axis(a, np.array([1]), t, 0),
        "np.copyto": np.copyto,
    }.items(),
)
def test_writing_into_an_array_never_loses_a_gradient(name: str, write: Any) -> None:
    array, expected = START.copy(), START.copy()
    number = tg.tensor([4.0], requires_grad=True)
    with pytest.raises(EscapeError, match=rf"{name}: .*tensor of shape \(1,\).*tg\.tensor\(array\)"):
        write(array, number)
    np.testing.assert_array_equal(array, START)
    write(array, number.detach())
    write(expected, number.data)
    np.testing.assert_array_equal(array, expected)


def test_filling_an_array_with_a_tensor_names_the_way_that_keeps_the_gradient() -> None:
    with pytest.raises(EscapeError, match=r"np\.broadcast_to\(t, shape\)"):
        np.full_like(START, tg.tensor(4.0, requires_grad=True))


def test_copyto_checks_the_casting_before_it_writes() -> None:
    t = tg.tensor([1, 2, 3])
    with pytest.raises(DtypeError, match="float64 cannot be cast to int64 with casting='same_kind'"):
        np.copyto(t, tg.tensor(0.5))
    np.copyto(t, tg.tensor(1.5), casting="unsafe")
    np.testing.assert_array_equal(t.data, [1, 1, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.put(x, [5], 1.0),
        lambda x: np.put_along_axis(x, np.array([5]), 1.0, 0),
        lambda x: np.place(x, [True, True, True], []),
        lambda x: np.fill_diagonal(x, 1.0),
        lambda x: np.copyto(x, [1.0, 2.0]),
        lambda x: np.insert(x, 7, 1.0),
        lambda x: np.delete(x, 7),
        lambda x: np.repeat(x, [1, 2]),
        lambda x: np.repeat(x, -1),
        lambda x: np.repeat(x, 2, axis=1),
        lambda x: np.repeat(x, [1, 2, 3], axis=-2),
        lambda x: np.tile(x, -1),
        lambda x: np.resize(x, (-1,)),
        lambda x: np.roll(x, 1, axis=1),
        lambda x: np.rollaxis(x, 1),
        lambda x: np.rollaxis(x, 0, 2),
        lambda x: np.rot90(x),
        lambda x: np.append(x, np.eye(2), axis=0),
        lambda x: np.block([[x], x]),
        lambda x: np.block([[], x]),
        lambda x: np.block((x, x)),
        lambda x: np.diag(x.reshape(1, 1, 3)),
        lambda x: sliding_window_view(x, 4),
        lambda x: sliding_window_view(x, -1),
        lambda x: sliding_window_view(x, (1, 2)),
        lambda x: sliding_window_view(x, 1, axis=2),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(START.copy())
    with pytest.raises(expected.type):
        call(tg.tensor(START))


def test_nothing_but_zeros_is_trimmed_to_nothing() -> None:
    for trim in ("f", "b", "fb"):
        assert np.trim_zeros(tg.tensor(np.zeros(3)), trim).shape == (0,)


def test_an_unknown_end_to_trim_is_an_error() -> None:
    with pytest.raises(ValueError, match="trim must be 'f', 'b' or 'fb', not 'x'"):
        np.trim_zeros(tg.tensor(START), "x")


def test_windows_share_the_memory_of_the_array() -> None:
    t = tg.tensor(np.arange(6.0))
    assert np.shares_memory(sliding_window_view(t, 3).data, t.data)


def test_views_that_can_be_written_through_are_refused() -> None:
    with pytest.raises(EscapeError, match="writeable"):
        sliding_window_view(tg.tensor(START), 2, writeable=True)
    with pytest.raises(EscapeError):
        as_strided(tg.tensor(START, requires_grad=True), (2,), (8,))
    with pytest.raises(MissingRuleError, match="sliding_window_view"):
        tg.apply(as_strided, (tg.tensor(START), (2,), (8,)))


def test_lists_of_tensors_are_joined_for_the_functions_that_take_them() -> None:
    a, b = (tg.tensor(v, requires_grad=True) for v in (1.0, 2.0))
    y = np.insert(tg.tensor(START), 1, [a, b])
    np.testing.assert_array_equal(y.data, [3.0, 1.0, 2.0, 1.0, 2.0])
    (y @ np.arange(5.0)).backward()
    assert (a.grad, b.grad) == (1.0, 2.0)


@pytest.mark.parametrize("function", [np.tril, np.triu])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_a_triangle_keeps_its_dtype(function: Any, dtype: Any) -> None:
    assert_as_numpy(function, np.ones((2, 2), dtype))
