"""What has too few axes, or names one twice."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy


@pytest.mark.parametrize(("split", "ndim"), [(np.hsplit, 0), (np.vsplit, 1), (np.dsplit, 2)])
def test_too_few_axes_to_split_are_refused(split: Any, ndim: int) -> None:
    assert_as_numpy(lambda x: split(x, 1), np.ones((2,) * ndim))


def test_an_axis_is_not_turned_twice() -> None:
    assert_as_numpy(lambda x: np.flip(x, (0, 0)), np.ones((2, 3)))
