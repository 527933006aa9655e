"""Options in range, and the errors that name them."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np.arguments import checked, checked_integer, checked_pair


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.array(0.5), True])
def test_numbers_become_python_numbers(value):
    assert checked("Owner", "name", value) == value
    assert type(checked("Owner", "name", value)) is float


@pytest.mark.parametrize(("value", "below"), [(1, 1), (-1e-9, 1), (np.nan, 1), (np.inf, np.inf), (-np.inf, np.inf)])
def test_numbers_out_of_range(value, below):
    limit = "below 1" if below == 1 else "finite"
    with pytest.raises(tg.errors.ShapeError, match=f"^Owner: name must be zero or above, and {limit}, not "):
        checked("Owner", "name", value, below)


def test_what_is_no_number():
    with pytest.raises(tg.errors.DtypeError, match=r"^Owner: name must be a number, not 'x'$"):
        checked("Owner", "name", "x")


def test_pairs():
    assert checked_pair("Owner", "name", [np.float32(0.5), 0]) == (0.5, 0.0)
    with pytest.raises(tg.errors.ShapeError, match=r"^Owner: name\[1\] must be zero or above, and below 1, not 1$"):
        checked_pair("Owner", "name", (0, 1))
    for value in (0.5, (0.5,), (0.5, 0.5, 0.5)):
        with pytest.raises(tg.errors.DtypeError, match=r"^Owner: name must be two numbers, not "):
            checked_pair("Owner", "name", value)


def test_integers():
    assert checked_integer("Owner", "name", np.int8(3)) == 3
    assert checked_integer("Owner", "name", 0, least=0) == 0
    with pytest.raises(tg.errors.ShapeError, match=r"^Owner: name must be at least 1, not 0$"):
        checked_integer("Owner", "name", 0)
    with pytest.raises(tg.errors.DtypeError, match=r"^Owner: name must be an integer, not 1\.0$"):
        checked_integer("Owner", "name", 1.0)
