"""What NumPy refuses to multiply."""

from typing import Any

import numpy as np
import pytest
from kit import assert_as_numpy


@pytest.mark.parametrize("shape", [(2, 3), (1, 3)])
def test_an_index_of_two_lengths_is_refused(shape: Any) -> None:
    assert_as_numpy(lambda x: np.einsum("ii", x), np.ones(shape))
