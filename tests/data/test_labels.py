from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_np.data import one_hot, train_test_split


@given(st.lists(st.integers(0, 9), min_size=1), st.sampled_from([np.uint8, np.int8, np.int64]))
def test_each_row_is_one_at_its_class(labels, dtype):
    rows = one_hot(np.array(labels, dtype), 10)
    assert (rows.shape, rows.dtype) == ((len(labels), 10), np.float32)
    np.testing.assert_array_equal(rows.argmax(axis=1), labels)
    np.testing.assert_array_equal(rows.sum(axis=1), 1)
    np.testing.assert_array_equal(np.count_nonzero(rows, axis=1), 1)


def test_the_number_of_classes_is_what_is_needed_unless_it_is_said():
    assert one_hot([0, 3]).shape == (2, 4)
    assert one_hot([0, 3], classes=7).shape == (2, 7)
    assert one_hot([], classes=7).shape == (0, 7)
    assert one_hot([[0], [1]], dtype=bool).tolist() == [[[True, False]], [[False, True]]]


@pytest.mark.parametrize(
    ("labels", "classes", "error", "complaint"),
    [
        ([0, 10, 11], 10, ValueError, "from 0 to 9, but 2 of 3 are not, the first of them 10"),
        ([0, -1], None, ValueError, "labels must be zero or above, but 1 of 2 are not, the first of them -1"),
        ([-1], None, ValueError, "labels must be zero or above, but 1 of 1 are not, the first of them -1"),
        ([0], 0, ValueError, "one_hot: classes must be at least 1, not 0"),
        ([0], 2.5, TypeError, r"one_hot: classes must be an integer, not 2\.5"),
        ([0.0, 1.0], None, TypeError, r"must be integers, not float64: write labels.astype\(int\)"),
        ([True], None, TypeError, "must be integers, not bool"),
        ([], None, ValueError, "there are no labels to count the classes of"),
    ],
)
def test_labels_that_do_not_exist_are_an_error(labels, classes, error, complaint):
    with pytest.raises(error, match=complaint):
        one_hot(labels, classes)


@given(rows=st.integers(2, 50), share=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_a_split_has_each_row_once_and_keeps_rows_together(rows, share, seed):
    x = np.arange(rows)
    count = math.ceil(rows * Fraction(str(share)))
    if count == rows:
        with pytest.raises(ValueError, match="leaves a part with none"):
            train_test_split(x, test_size=share, seed=seed)
        return
    x_train, x_test, y_train, y_test = train_test_split(x, -x, test_size=share, seed=seed)
    assert len(x_test) == count
    np.testing.assert_array_equal(np.sort(np.concatenate([x_train, x_test])), x)
    np.testing.assert_array_equal(x_train, -y_train)
    np.testing.assert_array_equal(x_test, -y_test)
    np.testing.assert_array_equal(x_test, train_test_split(x, test_size=count, seed=seed)[1])


@pytest.mark.parametrize(
    ("rows", "share", "count"),
    [
        (100, 0.07, 7),
        (10, 0.21, 3),
        (10, np.float32(0.2), 2),
        (10, np.float16(0.2), 2),
        (10, np.array(0.2), 2),
        (10, np.int32(4), 4),
    ],
)
def test_a_share_is_taken_as_it_is_written(rows, share, count):
    assert len(train_test_split(np.arange(rows), test_size=share)[1]) == count


@pytest.mark.parametrize("test_size", ["half", "1/0", None, math.nan, [0.5]])
def test_what_is_no_size_is_an_error(test_size):
    with pytest.raises(TypeError, match="train_test_split: test_size must be a share or a number of rows, not "):
        train_test_split(np.arange(3), test_size=test_size)


def test_another_seed_is_another_split():
    first, second = (train_test_split(np.arange(100), seed=seed)[1].tolist() for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("test_size", [0, 3, 0.0, 1.0, -1])
def test_a_part_of_nothing_is_an_error(test_size):
    with pytest.raises(ValueError, match=f"test_size {test_size} of 3 rows leaves a part with none"):
        train_test_split(np.arange(3), test_size=test_size)


def test_different_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"train_test_split: all arrays .* shapes \[\(3,\), \(2,\)\]"):
        train_test_split(np.arange(3), np.arange(2))
