"""Cases of ``rules/movement.py``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_np as tg
from cases.case import A, Argument, Case, case
from cases.elementwise import MASK, WIDE
from tinygrad_np.rules import movement

DISCARDS = {"mixed": "a real array discards imaginary parts"}
ZEROS = np.zeros(2, np.float32)
CONSTANT = np.array([[1.5, 2.5, 3.5]], np.float32)


def written(function: Callable[..., None], x: Argument, *args: Any, position: int = 0, **options: Any) -> Case:
    """``function(x, ...)``, for a copy of x that it writes into."""

    def spelling(x: Any, *args: Any, **kwargs: Any) -> Any:
        into_array = isinstance(x, np.ndarray) and any(isinstance(a, tg.Tensor) for a in (*args, *kwargs.values()))
        y = tg.tensor(x) if into_array else np.copy(x)  # an array cannot hold on to a Tensor's gradient
        assert function(y, *args, **kwargs) is None
        return y

    return case(function, x, *args, spelling=spelling, exempt=DISCARDS, **options)


def trimmed(parts: list[Any], trim: str) -> Case:
    """The parts joined and trimmed; differences along a zero would see it vanish."""
    return case(np.trim_zeros, parts, trim, spelling=lambda parts, trim: np.trim_zeros(np.hstack(parts), trim))


CASES = [
    # Repeating
    case(np.repeat, A(2, 3), 2, complex=True),
    case(np.repeat, A(2, 3), 3, axis=-1, complex=True),
    case(np.repeat, A(2, 3), [2], 0),
    case(np.repeat, A(2, 3), True, axis=1),
    case(np.repeat, A(2, 3), repeats=[1, 0, 2], axis=1, complex=True),
    case(np.repeat, A(3), np.array([0, 2, 1])),
    case(np.repeat, A(2, 3), 0, axis=0),
    case(np.repeat, A(), 3),
    case(np.repeat, A(), [2], axis=-1),
    case(np.repeat, A(0, 3), 2, axis=0),
    case(np.repeat, A(2, 3), 2, axis=1, spelling=lambda a, repeats, axis: a.repeat(repeats, axis)),
    case(np.tile, A(3), 2, complex=True),
    case(np.tile, A(2, 3), 2),
    case(np.tile, A(2, 3), (2, 1, 3), complex=True),
    case(np.tile, A(2, 1, 2), [3, 2]),
    case(np.tile, A(), (2, 2)),
    case(np.tile, A(3), 0),
    case(np.tile, A(2, 3), ()),
    case(np.resize, A(2, 3), (4, 2), complex=True),
    case(np.resize, A(2, 3), 4),
    case(np.resize, A(3), (2, 2, 2)),
    case(np.resize, A(3), (0, 2)),
    case(np.resize, A(0), (2,)),
    # Turning
    case(np.roll, A(2, 3), 2, complex=True),
    case(np.roll, A(2, 3), -1, axis=-1),
    case(np.roll, A(2, 3), shift=(1, -2), axis=(0, 1), complex=True),
    case(np.roll, A(5), (1, 3), 0),
    case(np.roll, A(2, 3), 1, axis=(0, 1)),
    case(np.roll, A(3), np.uint8(1)),
    case(np.roll, A(2, 3), np.array([1, 2], np.uint8), axis=(0, 1)),
    case(np.roll, A(0, 3), 1, axis=0),
    case(np.rollaxis, A(2, 3, 4), 2, complex=True),
    case(np.rollaxis, A(2, 3, 4), axis=0, start=3),
    case(np.rollaxis, A(2, 3, 4), -2, -1),
    case(np.rot90, A(2, 3), complex=True),
    case(np.rot90, A(2, 3), 2),
    case(np.rot90, A(2, 3, 2), k=-1, axes=(2, 1), complex=True),
    case(np.rot90, A(2, 3), k=4),
    # Joining and taking out
    case(np.append, A(2, 3), A(3), complex=True),
    case(np.append, A(2, 3), A(1, 3), axis=0),
    case(np.append, CONSTANT, A(1, 2), 1),
    case(np.append, A(3), [A(), A()], spelling=lambda arr, values: np.append(arr, np.stack(values))),
    case(np.insert, A(3), 1, A(), complex=True, exempt=DISCARDS),
    case(np.insert, A(2, 3), 1, A(2), axis=1),
    case(np.insert, A(2, 3), [0, 2, 2], A(2, 3), axis=-1, complex=True, exempt=DISCARDS),
    case(np.insert, A(2, 3), slice(0, 2), A(3), axis=0),
    case(np.insert, A(2, 3), [1], A(2, 1), axis=1),
    case(np.insert, A(3), [1, -1], 2.5),
    case(np.insert, [1.5, 2.5], 1, A(2), exempt={"float32": WIDE}),
    case(np.delete, A(4), 1, complex=True),
    case(np.delete, A(2, 3), [0, -1, 0], axis=1, complex=True),
    case(np.delete, A(2, 3), slice(None, None, 2)),
    case(np.delete, A(2, 3), np.array([True, False]), axis=0),
    *(trimmed([ZEROS, A(3), ZEROS], trim) for trim in ("f", "b", "FB")),
    case(np.trim_zeros, A(3)),
    case(np.trim_zeros, A(0)),
    case(np.block, [A(2), A(3)], complex=True),
    case(np.block, [[A(2, 2), A(2, 1)], [A(1, 3)]], complex=True),
    case(np.block, [[A(), np.float32(1.5)], [A(2)]], spelling=lambda a: np.block(a)),
    case(np.block, [[[A(2, 1)]], [[A(2, 1)]]]),
    case(np.block, [A(2, 1, 2), A(2, 1, 2)]),
    case(np.block, A(2)),
    # Diagonals and triangles
    case(np.diag, A(3), complex=True),
    case(np.diag, A(2), 2),
    case(np.diag, A(2), k=-1),
    case(np.diag, A(0), 1),
    case(np.diag, A(2, 3), complex=True),
    case(np.diag, A(4, 3), k=-2),
    case(np.diag, A(2, 3), 5),
    case(np.diagflat, A(2, 2), complex=True),
    case(np.diagflat, A(2), -1),
    case(np.diagflat, A()),
    case(np.tril, A(3, 3), complex=True),
    case(np.tril, A(2, 3, 4), 1),
    case(np.tril, A(3)),
    case(np.tril, A(0, 3)),
    case(np.triu, A(3, 3), complex=True),
    case(np.triu, A(4, 3), k=-1),
    case(np.triu, A(3), 1),
    # Windows
    case(sliding_window_view, A(5), 3, complex=True, third=True),
    case(sliding_window_view, A(3, 4), (2, 3), complex=True),
    case(sliding_window_view, A(2, 4, 3), 2, axis=1),
    case(sliding_window_view, A(2, 4, 3), window_shape=(2, 1), axis=(-1, 0)),
    case(sliding_window_view, A(5), (2, 3), axis=(0, 0)),
    case(sliding_window_view, A(3), (3,)),
    case(sliding_window_view, A(0, 3), 2, axis=1),
    case(movement.windows, A(3, 3), lengths=(2,), axes=(0,)),
    case(movement.overlapped, A(3, 2, 2), shape=(4, 2), lengths=(2,), axes=(0,)),
    # Writing in place
    written(np.put, A(2, 3), [0, 4, -1], A(3), complex=True),
    written(np.put, A(5), [1, 3, 1], A(2), third=True),
    written(np.put, A(5), [7, -9, 1], A(3), mode="clip"),
    written(np.put, A(5), ind=np.array([7, -9]), v=A(2), mode="wrap"),
    written(np.put, A(5), 2, A()),
    written(np.put, A(3), [1], 2.5),
    written(np.put, A(3), [], []),
    written(np.place, A(2, 3), MASK, A(2), complex=True),
    written(np.place, A(2, 3), MASK, A(7)),
    written(np.place, A(2, 3), MASK, A()),
    written(np.place, A(2, 3), ~MASK & MASK, A(0)),
    written(np.putmask, A(2, 3), MASK, A(2, 3), complex=True),
    written(np.putmask, A(2, 3), mask=MASK, values=A(2)),
    written(np.putmask, A(2, 3), MASK, A()),
    written(np.put_along_axis, A(2, 3), np.array([[0, 2], [1, 1]]), A(2, 2), axis=1, complex=True),
    written(np.put_along_axis, A(2, 3), np.array([[1, 0, 1]]), A(), 0),
    written(np.put_along_axis, A(2, 3), np.array([1, 4]), A(2), axis=None),
    written(np.fill_diagonal, A(3, 3), A(), complex=True),
    written(np.fill_diagonal, A(2, 3), A(2)),
    written(np.fill_diagonal, A(5, 2), val=A(3), wrap=True),
    written(np.fill_diagonal, A(2, 2, 2), 1.5),
    written(np.copyto, A(2, 3), A(2, 3), complex=True),
    written(np.copyto, A(2, 3), A(3), where=MASK),
    written(np.copyto, A(2, 3), src=A(2, 1), casting="unsafe", where=np.array([True, False, True])),
    written(np.copyto, A(2, 3), 2, where=MASK),
]
if hasattr(np, "unstack"):  # new in NumPy 2.1
    CASES += [
        case(np.unstack, A(2, 3), complex=True),
        case(np.unstack, A(2, 3, 2), axis=-1),
        case(np.unstack, A(0, 3)),
    ]
