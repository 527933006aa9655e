"""Sequences end exactly where they are told to, and send their gradients there."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg
from tinygrad_np.errors import EscapeError, MissingRuleError


def ends(low: float, high: float) -> list[tg.Tensor]:
    return [tg.tensor(end, requires_grad=True) for end in (low, high)]


@pytest.mark.parametrize("function", [np.linspace, np.geomspace])
def test_the_ends_depend_on_nothing_but_the_end(function: Any) -> None:
    low, high = ends(0.1, 0.7)
    sequence = function(low, high, 11)
    (sequence[0] + 10 * sequence[-1]).backward()
    np.testing.assert_allclose([low.grad, high.grad], [1, 10], rtol=1e-15)
    assert (sequence[0].item(), sequence[-1].item()) == (0.1, 0.7)


def test_equal_ends_make_a_constant_sequence() -> None:
    low, high = ends(3.0, 3.0)
    np.sum(np.linspace(low, high, 5)).backward()
    assert (low.grad, high.grad) == (2.5, 2.5)


def test_a_sequence_of_integers_is_rounded_down() -> None:
    sequence = np.linspace(tg.tensor(0.0), 5, 4, dtype=int)
    np.testing.assert_array_equal(sequence.data, np.linspace(0.0, 5, 4, dtype=int), strict=True)


def test_an_undefined_step_is_nan() -> None:
    _, step = np.linspace(tg.tensor(0.0), 1, 1, retstep=True)
    assert np.isnan(step)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.linspace(x, 2.0, -1),
        lambda x: np.linspace(x, 2.0, 2.5),
        lambda x: np.geomspace(x, 0.0),
        lambda x: np.geomspace(0.0, x),
        lambda x: np.meshgrid(x, x, indexing="yx"),
        lambda x: np.ix_(x, [[1.0]]),
        lambda x: np.full_like(x, [1.0, 2.0]),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(np.array([1.0]))
    with pytest.raises(expected.type):
        call(tg.tensor([1.0]))


def test_a_number_for_an_array_never_loses_its_gradient() -> None:
    with pytest.raises(EscapeError, match=r"np\.broadcast_to\(t, shape\)"):
        np.full_like(np.zeros(3), tg.tensor(1.0, requires_grad=True))


def test_arrays_like_a_tensor_do_not_depend_on_it() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    for like in (np.zeros_like(x), np.ones_like(x, dtype=np.float32), np.empty_like(x, shape=3), np.full_like(x, 2)):
        assert isinstance(like, tg.Tensor)
        assert not like.requires_grad


def test_open_grids_of_masks_and_integers_index() -> None:
    x = tg.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    np.sum(x[np.ix_(tg.tensor([False, True]), tg.tensor([2, 0, 2]))]).backward()
    np.testing.assert_array_equal(x.grad, [[0, 0, 0], [1, 0, 2]])


@pytest.mark.parametrize("ends", [np.int8([-100, 100]), np.uint8([200, 100]), [True, False]])
def test_ends_in_small_integers_do_not_wrap_around(ends: Any) -> None:
    assert_as_numpy(lambda ends: np.linspace(ends[0], ends[1], 3), ends)
    assert_as_numpy(lambda ends: np.logspace(ends[0], ends[1], 3, base=2.0), ends)


def test_what_the_refusal_of_np_full_says_to_write_works() -> None:
    t = tg.tensor(2.0, requires_grad=True)
    with pytest.raises(MissingRuleError, match=r"np\.full_like\(tg\.tensor\(array\), t\)"):
        np.full(3, t, like=t)
    np.sum(np.full_like(tg.tensor(np.zeros(3)), t)).backward()
    assert t.grad == 3
