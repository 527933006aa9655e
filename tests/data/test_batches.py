from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_np.data import batches

sizes = st.integers(1, 40)


@given(rows=sizes, size=sizes)
def test_in_order_and_complete(rows, size):
    x, y = np.arange(2 * rows).reshape(rows, 2), np.arange(rows)
    parts = list(batches(x, y, size=size))
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), x)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), y)
    assert all(len(part[0]) == size for part in parts[:-1])
    assert all(np.shares_memory(part[0], x) for part in parts)


@given(rows=sizes, size=sizes, seed=st.integers(0, 2**32))
def test_shuffled_every_row_once_and_together(rows, size, seed):
    x, y = np.arange(rows) * 10, np.arange(rows)
    parts = list(batches(x, y, size=size, rng=np.random.default_rng(seed)))
    assert all(np.array_equal(part_x, part_y * 10) for part_x, part_y in parts)
    assert sorted(np.concatenate([part[1] for part in parts]).tolist()) == list(range(rows))
    again = list(batches(x, y, size=size, rng=np.random.default_rng(seed)))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(parts, again, strict=True))


def test_each_epoch_has_its_own_order():
    rng, x = np.random.default_rng(0), np.arange(100)
    first, second = (np.concatenate([part for (part,) in batches(x, size=7, rng=rng)]) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, x)


@given(rows=sizes, size=sizes, shuffled=st.booleans())
def test_drop_last_leaves_full_batches_only(rows, size, shuffled):
    rng = np.random.default_rng(0) if shuffled else None
    if size > rows:
        with pytest.raises(ValueError, match=f"size {size} leaves nothing of {rows} rows"):
            batches(np.arange(rows), size=size, rng=rng, drop_last=True)
    else:
        parts = list(batches(np.arange(rows), size=size, rng=rng, drop_last=True))
        assert [len(part) for (part,) in parts] == [size] * (rows // size)


def test_dtypes_and_trailing_shapes_are_kept():
    x, y = np.zeros((5, 2, 3), np.float32), np.zeros(5, np.uint8)
    for rng in (None, np.random.default_rng(0)):
        part_x, part_y = next(batches(x, y, size=2, rng=rng))
        assert (part_x.shape, part_x.dtype, part_y.shape, part_y.dtype) == ((2, 2, 3), x.dtype, (2,), y.dtype)


@pytest.mark.parametrize(
    ("arrays", "options", "error", "complaint"),
    [
        ((), {"size": 1}, ValueError, r"one or more arrays with at least one row each; got shapes \[\]"),
        ((np.zeros((0, 3)),), {"size": 1}, ValueError, r"at least one row each; got shapes \[\(0, 3\)\]"),
        ((np.float64(1),), {"size": 1}, ValueError, r"at least one row each; got shapes \[\(\)\]"),
        ((np.ones(3), np.ones((2, 5))), {"size": 1}, ValueError, r"same length; got shapes \[\(3,\), \(2, 5\)\]"),
        ((np.ones(3),), {"size": 0}, ValueError, "batches: size must be at least 1, not 0"),
        ((np.ones(3),), {"size": 2.5}, TypeError, r"batches: size must be an integer, not 2\.5"),
        ((np.ones(3),), {"size": 1, "rng": 0}, TypeError, "rng must be a generator, .*; got 0"),
    ],
)
def test_errors_come_at_once(arrays, options, error, complaint):
    with pytest.raises(error, match=complaint):
        batches(*arrays, **options)
