"""What NumPy's functions that read by index make of unusual indices, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_small_integers_name_places_in_a_long_array(mode: Any) -> None:
    assert_as_numpy(lambda x: np.take(x, np.array([1, 255], np.uint8), mode=mode), np.arange(300.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.take(x, np.array([])),
        lambda x: np.take(x, 6),
        lambda x: np.take(x, np.array([0]), axis=2),
        lambda x: np.take_along_axis(x, np.array([[0]]), 2),
        lambda x: np.take_along_axis(x, np.array([[True]]), 1),
        lambda x: np.take_along_axis(x, np.array([0]), 1),
        lambda x: np.compress([[True]], x),
        lambda x: np.compress(True, x),
    ],
)
def test_what_numpy_refuses_is_refused_with_the_same_kind_of_error(call: Any) -> None:
    assert_as_numpy(call, X)
