"""Cases of ``rules/indexing.py``."""

import array
from typing import Any

import numpy as np

import tinygrad_np as tg
from cases.case import A, Argument, Case, case
from cases.elementwise import MASK
from tinygrad_np import core
from tinygrad_np.rules import indexing

REPEATED = np.array([1, 0, 1, 1])
GRID = np.array([[0, 2], [1, 1]])


def read(x: Argument, index: Any, **options: Any) -> Case:
    """``x[index]``."""
    return case(core.getitem, x, index=index, spelling=lambda x, index: x[index], **options)


def write(x: Argument, index: Any, value: Any, **options: Any) -> Case:
    """``x[index] = value``, for a copy of x."""

    def spelling(x: Any, value: Any, index: Any) -> Any:
        into_array = isinstance(value, tg.Tensor) and not isinstance(x, tg.Tensor)
        y = tg.tensor(x) if into_array else np.copy(x)  # an array cannot hold on to a Tensor's gradient
        y[index] = value
        return y

    discards = {"mixed": "a real array discards imaginary parts"} if isinstance(value, Argument) else {}
    return case(core.updated, x, value, index=index, spelling=spelling, exempt=discards, **options)


CASES = [
    # Reading: integers, slices, None, Ellipsis
    read(A(2, 3), 1, complex=True, third=True),
    read(A(2, 3), -1),
    read(A(2, 3), (0, 2)),
    read(A(2, 3), (np.int64(1), np.array(2))),
    read(A(5), slice(1, 4), complex=True),
    read(A(5), slice(None, None, -2)),
    read(A(5), slice(3, 3)),
    read(A(2, 3, 4), (slice(None), 1, slice(3, None, -1))),
    read(A(2, 3, 4), (Ellipsis, 0)),
    read(A(2, 3), (None, 1, None, slice(1, None))),
    read(A(2, 3), ()),
    read(A(2, 3), Ellipsis),
    read(A(), None),
    read(A(), ()),
    read(A(0, 3), slice(None, None, 2)),
    # integer arrays
    read(A(3), REPEATED, complex=True, third=True),
    read(A(3), [0, -1, 2, -1]),
    read(A(3), GRID),
    read(A(3), np.array([], int)),
    read(A(3), []),
    read(A(2, 3), ([1, 0, 1], np.array([2, -3, -1])), complex=True),
    read(A(2, 3), (np.array([[1], [0]]), REPEATED)),
    read(A(2, 3, 2), (1, slice(None), [1, 1, 0])),
    read(A(2, 3, 2), ([0, 1, 1], slice(1, None), [1, 0, 0])),
    read(A(2, 3, 2), (slice(None), [2, 2], None, [1, 1])),
    read(A(3, 2), ([1, 1], Ellipsis)),
    read(A(3), np.array([1, 1], np.uint8)),
    read(A(2, 3), ((1, 1, 0), slice(None))),
    read(A(3), ((1, 1),)),
    read(A(3), array.array("l", [1, 1])),
    read(A(0, 3), (slice(None), [1, 1])),
    # and masks
    read(A(2, 3), MASK, complex=True),
    read(A(2, 3), MASK.tolist()),
    read(A(2, 3), (slice(None), MASK[0])),
    read(A(2, 3), (np.array([True, True]), [2, 2])),
    read(A(2, 3, 2), (MASK, 1)),
    read(A(2, 3), (MASK, None)),
    read(A(2, 3), ~MASK & MASK),
    read(A(3), True),
    read(A(3), False),
    read(A(), np.True_),
    # Writing
    write(A(2, 3), 1, A(3), complex=True, third=True),
    write(A(2, 3), 1, A()),
    write(A(2, 3), (0, 1), A()),
    write(A(2, 3), (slice(None), slice(None, None, -2)), A(2, 2), complex=True),
    write(A(2, 3), slice(None), A(2, 1)),
    write(A(2, 3), Ellipsis, A(1, 1, 2, 3)),
    write(A(2, 3), (None, 1), A(1, 3)),
    write(A(2, 3), slice(1), 0.0),
    write(A(5), slice(2, 2), A(0)),
    write(A(0, 3), slice(None), A(3)),
    write(A(), (), A()),
    write(A(4), [2, 0], A(2), complex=True),
    write(A(4), REPEATED, A(4), complex=True, third=True),
    write(A(4), REPEATED, A()),
    write(A(2, 3), (REPEATED, slice(None)), A(4, 3)),
    write(A(2, 3), ((1, 1), slice(None)), A(2, 3)),
    write(A(2, 3), (REPEATED, slice(1)), A(4, 1)),
    write(A(2, 3), ([0, 0, 1], [2, -1, 1]), A(3)),
    write(A(2, 3), (slice(None), [1, 1]), A(2)),
    write(A(2, 3, 2), (0, slice(None), [1, 1]), A(2, 1)),
    write(A(2, 3), MASK, A(3), complex=True),
    write(A(2, 3), MASK, A()),
    write(A(2, 3), (slice(None), MASK[0]), A(2, 2)),
    write(A(2, 3), (np.array([True, True]), [2, 2]), A(2)),
    case(indexing.scattered, A(4), index=REPEATED, shape=(3,), complex=True),
    case(indexing.scattered, A(2), index=(slice(None), 1), shape=(2, 3)),
    # NumPy's functions that read by index
    case(np.take, A(2, 3), GRID, complex=True),
    case(np.take, A(2, 3), REPEATED, axis=0),
    case(np.take, A(2, 3), -1, axis=-1),
    case(np.take, A(2, 3), [2, 1], 1),
    case(np.take, A(3), [5, -4, 7], mode="wrap"),
    case(np.take, A(3), [5, -4, 7], mode="clip"),
    case(np.take, A(2, 0), np.zeros(0, int), axis=1),
    case(np.take, A(3), [True, False, True]),
    case(np.take, A(3), []),
    case(np.take, A(), [0, 0], axis=0),
    case(np.take_along_axis, A(2, 3), np.array([[2, 0, 2], [1, 1, 1]]), axis=-1, complex=True),
    case(np.take_along_axis, A(2, 3), np.array([[1, 0, 1]]), 0),
    case(np.take_along_axis, A(2, 3), REPEATED, axis=None),
    case(np.take_along_axis, A(2, 3), np.array([[0, 0]]), 1),
    case(np.take_along_axis, A(1, 3), np.array([[0, 2], [1, 1]]), axis=1),
    case(np.compress, [True, False, True], A(2, 3), axis=1, complex=True),
    case(np.compress, np.array([0, 1]), A(2, 3), axis=0),
    case(np.compress, [False, True, True], A(2, 2)),
    case(np.extract, MASK, A(2, 3), complex=True),
    case(np.diagonal, A(3, 3), complex=True),
    case(np.diagonal, A(2, 3), 1),
    case(np.diagonal, A(2, 3), offset=-1),
    case(np.diagonal, A(2, 3), offset=np.uint8(1)),
    case(np.diagonal, A(2, 3), 7),
    case(np.diagonal, A(2, 3, 3), axis1=1, axis2=2, complex=True),
    case(np.diagonal, A(2, 3, 3), 1, -1, 0),
    case(np.trace, A(3, 3), complex=True),
    case(np.trace, A(2, 3), offset=1),
    case(np.trace, A(2, 3), np.uint8(1)),
    case(np.trace, A(2, 3, 3), axis1=-1, axis2=1),
    case(np.trace, A(0, 3)),
]
