"""Angles of real numbers, and what is no number."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy

import tinygrad_np as tg
from tinygrad_np.errors import DtypeError


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_angles_have_numpys_dtype(dtype: Any) -> None:
    assert_as_numpy(np.angle, np.array([0, 1], dtype))


def test_a_duration_is_no_number() -> None:
    with pytest.raises(DtypeError, match="timedelta64"):
        tg.tensor([1.0]) * np.timedelta64(1, "s")
