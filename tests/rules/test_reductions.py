"""Reductions where the cases of ``tests/cases/reductions.py`` do not get to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_np as tg


@pytest.mark.parametrize("function", [np.mean, np.var, np.std, np.average])
def test_float16_divides_by_more_than_it_can_count(function: Callable[..., Any]) -> None:
    x = (np.arange(70_000) % 7 / 100).astype(np.float16)
    found, expected = tg.grad(function)(x), tg.grad(function)(x.astype(float))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=2e-7)
