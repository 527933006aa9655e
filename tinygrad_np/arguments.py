"""Numbers that users pass as options: in range, or an error that names them."""

from __future__ import annotations

import math
import operator

from tinygrad_np.errors import DtypeError, ShapeError

__all__ = ["checked", "checked_integer", "checked_pair"]


def checked(owner: str, name: str, value: float, below: float = math.inf) -> float:
    """A number from 0 up to a limit, or an error that names it.

    Examples
    --------
    >>> checked("SGD", "lr", 1)
    1.0
    >>> checked("SGD", "momentum", 1.5, below=1)
    Traceback (most recent call last):
    tinygrad_np.errors.ShapeError: SGD: momentum must be zero or above, and below 1, not 1.5
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DtypeError(f"{owner}: {name} must be a number, not {value!r}") from None
    if not 0 <= number < below:
        limit = "finite" if below == math.inf else f"below {below:g}"
        raise ShapeError(f"{owner}: {name} must be zero or above, and {limit}, not {value!r}")
    return number


def checked_pair(owner: str, name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Two numbers from 0 up to 1, or an error that names the one that is not.

    Examples
    --------
    >>> checked_pair("Adam", "betas", (0.9, 1.5))
    Traceback (most recent call last):
    tinygrad_np.errors.ShapeError: Adam: betas[1] must be zero or above, and below 1, not 1.5
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise DtypeError(f"{owner}: {name} must be two numbers, not {value!r}") from None
    return checked(owner, f"{name}[0]", first, below=1), checked(owner, f"{name}[1]", second, below=1)


def checked_integer(owner: str, name: str, value: int, least: int = 1) -> int:
    """An integer from a limit on, or an error that names it.

    Examples
    --------
    >>> checked_integer("Dense", "in_features", 0)
    Traceback (most recent call last):
    tinygrad_np.errors.ShapeError: Dense: in_features must be at least 1, not 0
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise DtypeError(f"{owner}: {name} must be an integer, not {value!r}") from None
    if number < least:
        raise ShapeError(f"{owner}: {name} must be at least {least}, not {number}")
    return number
