"""What np.pad refuses, and what it says."""

from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.errors import EscapeError, MissingRuleError

START = np.arange(1.0, 7.0).reshape(2, 3)


def fill_with_ones(vector: Any, width: Any, axis: int, options: Any) -> None:
    vector[: width[0]] = 1


@pytest.mark.parametrize(
    ("mode", "message"),
    [("empty", "undefined: write mode='constant'"), (fill_with_ones, "mode=fill_with_ones .*np.concatenate")],
)
def test_modes_without_a_derivative_are_refused_by_name(mode: Any, message: str) -> None:
    with pytest.raises(MissingRuleError, match=message):
        np.pad(tg.tensor(START), 1, mode=mode)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.pad(x, -1),
        lambda x: np.pad(x, 1.5),
        lambda x: np.pad(x, ((1, 1), (1, 1), (1, 1))),
        lambda x: np.pad(x, 1, mode="constants"),
        lambda x: np.pad(x, 1, mode="mean", constant_values=1),
        lambda x: np.pad(x, 1, mode="maximum", stat_length=0),
        lambda x: np.pad(x, 1, mode="mean", stat_length=-1),
        lambda x: np.pad(x[:0], 1, mode="mean"),
        lambda x: np.pad(x[:0], 1, mode="reflect", reflect_type="odd"),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    with pytest.raises(Exception) as expected:
        call(START)
    with pytest.raises(expected.type):
        call(tg.tensor(START))


def test_a_constant_for_an_array_never_loses_its_gradient() -> None:
    with pytest.raises(EscapeError):
        np.pad(START, 1, constant_values=tg.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("mode", ["constant", "linear_ramp", "mean", "maximum", "reflect", "edge"])
def test_integers_are_rounded_as_numpy_rounds_them(mode: str) -> None:
    integers = np.array([[1, 2], [4, 7]])
    padded = np.pad(tg.tensor(integers), 2, mode=mode)
    np.testing.assert_array_equal(padded.data, np.pad(integers, 2, mode=mode), strict=True)


def test_widths_may_be_given_by_axis() -> None:
    padded = np.pad(tg.tensor(START), {0: 1, -1: (2, 0)}, constant_values=9)
    np.testing.assert_array_equal(padded.data, np.pad(START, ((1, 1), (2, 0)), constant_values=9))
    with pytest.raises(IndexError):
        np.pad(tg.tensor(START), {2: 1})


def test_the_number_of_a_constant_gets_the_sum_of_the_new_elements() -> None:
    number = tg.tensor(2.0, requires_grad=True)
    np.sum(np.pad(tg.tensor(START), 1, constant_values=number)).backward()
    assert number.grad == 4 * 5 - 2 * 3


def test_the_corners_of_a_ramp_come_from_the_padded_first_axis() -> None:
    x = tg.tensor([[8.0]], requires_grad=True)
    corner = np.pad(x, ((2, 0), (2, 0)), mode="linear_ramp")[1, 1]
    corner.backward()
    assert (corner.item(), x.grad.item()) == (2.0, 0.25)
