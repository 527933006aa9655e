"""The one source of the library's random draws: initialisers (and dropout) take theirs from here."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.graph import capturing
from tinygrad_np.standins import check

__all__ = ["generator", "manual_seed", "uniform"]

_generator = np.random.default_rng()


def generator() -> np.random.Generator:
    """The generator that the library draws from: always the same object, so its state can be saved and restored.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> state = tg.random.generator().bit_generator.state
    >>> first = tg.random.generator().random()
    >>> tg.random.generator().bit_generator.state = state
    >>> tg.random.generator().random() == first
    True
    """
    return _generator


def manual_seed(seed: int) -> None:
    """Make all that the library draws from here on repeatable.

    The generator is reseeded in place: it draws what ``np.random.default_rng(seed)`` would. What is spawned from it
    does not follow the seed, which is no part of its state: spawn from ``np.random.default_rng(seed)`` itself.

    Parameters
    ----------
    seed : int
        Zero or above.

    Raises
    ------
    DtypeError
        If the seed is no integer.
    ShapeError
        If it is negative.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(7)
    >>> first = tg.nn.Dense(2, 3).weight.data
    >>> tg.manual_seed(7)
    >>> bool((tg.nn.Dense(2, 3).weight.data == first).all())
    True
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise DtypeError(f"manual_seed: the seed must be an integer, not {seed!r} ({type(seed).__name__})") from None
    if number < 0:
        raise ShapeError(f"manual_seed: the seed must be zero or above, not {number}")
    check(_seed, number)


def _seed(number: int) -> None:
    _generator.bit_generator.state = np.random.default_rng(number).bit_generator.state


def uniform(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Any:
    """Numbers from 0 to 1, drawn from the library's generator; a compiled function draws anew on every call.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> tg.random.uniform((2,))
    array([0.63696169, 0.26978671])
    """
    tape = capturing.get()
    if tape is None:
        return _drawn(shape, np.dtype(dtype))
    return tape.call(_drawn, (shape, np.dtype(dtype)), {}, effect=True)


def _drawn(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    return _generator.random(shape, dtype)


TAPED = frozenset({_drawn, _seed})
"""What changes the generator's state in a way that `tinygrad_np.compile` can repeat."""
