"""Tensors to test with, and what they are compared to."""

from typing import Any

import numpy as np

import tinygrad_np as tg
from tinygrad_np.core import Tensor


def leaf(values: Any = (1.0, 2.0, 3.0), **options: Any) -> Tensor:
    """A Tensor that requires a gradient."""
    return tg.tensor(values, requires_grad=True, **options)


def assert_tensor(result: Any, expected: Any) -> None:
    """Assert that a result is what NumPy gives, as a Tensor; or tuples of them."""
    if isinstance(expected, tuple):
        assert type(result) is tuple
        for ours, numpys in zip(result, expected, strict=True):
            assert_tensor(ours, numpys)
        return
    assert type(result) is Tensor
    assert (result.shape, result.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_array_equal(result.data, expected)
