"""Fourier transforms: linear, so the gradient of each is the opposite transform under the opposite scaling.

The transforms along one axis are primitive, and all others are made of them. What a transform cut off gets no
gradient, and the gradient of the zeros that it padded with is cut off.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_np.core import defvjp
from tinygrad_np.rules.handlers import composite
from tinygrad_np.rules.reductions import real_dtype

_OPPOSITE = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _opposite(norm: Any) -> Any:
    return _OPPOSITE.get(norm, norm)  # one that does not exist is NumPy's to refuse


def _resized(x: Any, length: int, axis: int) -> Any:
    """An axis cut off, or padded with zeros, to a length."""
    missing = length - x.shape[axis]
    if missing <= 0:
        return x[(slice(None),) * (axis % x.ndim) + (slice(length),)] if missing else x
    shape = list(x.shape)
    shape[axis] = missing
    return np.concatenate([x, np.zeros(shape, x.dtype)], axis=axis)


def _occurrences(spectrum: Any, n: int, axis: int) -> Any:
    """How often each frequency of a half spectrum occurs in the whole one: twice, but 0 and n / 2 have no twin."""
    frequencies = np.arange(spectrum.shape[axis])
    times = np.where((frequencies == 0) | (2 * frequencies == n), 1, 2).astype(real_dtype(spectrum.dtype))
    return times.reshape([-1 if i == axis % spectrum.ndim else 1 for i in range(spectrum.ndim)])


def _fft_rule(g: Any, _y: Any, _a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _resized(np.fft.ifft(g, axis=axis, norm=_opposite(norm)), _a.shape[axis], axis)


def _ifft_rule(g: Any, _y: Any, _a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _resized(np.fft.fft(g, axis=axis, norm=_opposite(norm)), _a.shape[axis], axis)


def _rfft_rule(g: Any, _y: Any, _a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    length = _a.shape[axis]
    n = length if n is None else n
    return _resized(np.fft.irfft(g / _occurrences(g, n, axis), n, axis, _opposite(norm)), length, axis)


def _irfft_rule(g: Any, _y: Any, _a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    spectrum = np.fft.rfft(g, axis=axis, norm=_opposite(norm))
    return _resized(spectrum * _occurrences(spectrum, g.shape[axis], axis), _a.shape[axis], axis)


defvjp(np.fft.fft, _fft_rule)
defvjp(np.fft.ifft, _ifft_rule)
defvjp(np.fft.rfft, _rfft_rule)
defvjp(np.fft.irfft, _irfft_rule)


@composite(np.fft.hfft)
def _hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return np.fft.irfft(a.conjugate(), n, axis, _opposite(norm))


@composite(np.fft.ihfft)
def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return np.fft.rfft(a, n, axis, _opposite(norm)).conjugate()


# Several axes, one after the other, in NumPy's order


def _lengths_and_axes(a: Any, s: Any, axes: Any) -> tuple[list[Any], list[int]]:
    """The length to transform at each axis, and the axes."""
    axes = range(-(a.ndim if s is None else len(s)), 0) if axes is None else axes
    lengths = [-1] * len(axes) if s is None else list(s)
    if len(lengths) != len(axes):
        raise ValueError(f"s={s} and axes={axes} must have one length for each axis")
    return [a.shape[axis] if n == -1 else n for n, axis in zip(lengths, axes, strict=True)], list(axes)


def _one_by_one(transform: Any, a: Any, lengths: Sequence[Any], axes: Sequence[int], norm: Any) -> Any:
    for n, axis in zip(lengths, axes, strict=True):
        a = transform(a, n, axis, norm)
    return a


@composite(np.fft.fftn)
def _fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    lengths, axes = _lengths_and_axes(a, s, axes)
    return _one_by_one(np.fft.fft, a, lengths[::-1], axes[::-1], norm)


@composite(np.fft.ifftn)
def _ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    lengths, axes = _lengths_and_axes(a, s, axes)
    return _one_by_one(np.fft.ifft, a, lengths[::-1], axes[::-1], norm)


@composite(np.fft.rfftn)
def _rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    lengths, axes = _lengths_and_axes(a, s, axes)
    half = np.fft.rfft(a, lengths[-1], axes[-1], norm)
    return _one_by_one(np.fft.fft, half, lengths[-2::-1], axes[-2::-1], norm)


@composite(np.fft.irfftn)
def _irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    lengths, axes = _lengths_and_axes(a, s, axes)
    if s is None:
        lengths[-1] = 2 * (lengths[-1] - 1)
    half = _one_by_one(np.fft.ifft, a, lengths[:-1], axes[:-1], norm)
    return np.fft.irfft(half, lengths[-1], axes[-1], norm)


@composite(np.fft.fft2)
def _fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return np.fft.fftn(a, s, axes, norm)


@composite(np.fft.ifft2)
def _ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return np.fft.ifftn(a, s, axes, norm)


@composite(np.fft.rfft2)
def _rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return np.fft.rfftn(a, s, axes, norm)


@composite(np.fft.irfft2)
def _irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return np.fft.irfftn(a, s, axes, norm)


# Half a turn, there and back

defvjp(np.fft.fftshift, lambda g, _y, _x, axes=None: np.fft.ifftshift(g, axes))
defvjp(np.fft.ifftshift, lambda g, _y, _x, axes=None: np.fft.fftshift(g, axes))
