"""Cases of ``rules/fft.py``."""

import numpy as np

from cases.case import A, Case, case


def lengths(function: np.ufunc, *, complex: bool = True, half: bool = False) -> list[Case]:
    """One transform of even and odd lengths, cut off and padded, along every axis and under every norm."""
    return [
        case(function, A(6), complex=complex),
        case(function, A(5), complex=complex),
        *([] if half else [case(function, A(1), complex=complex)]),
        case(function, A(6), n=4, complex=complex),
        case(function, A(6), n=5, complex=complex),
        case(function, A(4), n=7, complex=complex),
        case(function, A(3, 4, 2), axis=1, complex=complex),
        case(function, A(3, 4), 5, 0, complex=complex),
        case(function, A(2, 5), norm="backward", complex=complex),
        case(function, A(4, 2), 6, -2, "ortho", complex=complex, third=True),
        case(function, A(2, 5), norm="forward", complex=complex),
        case(function, A(0, 4), complex=complex),
    ]


CASES = [
    *lengths(np.fft.fft),
    *lengths(np.fft.ifft),
    *lengths(np.fft.rfft, complex=False),
    *lengths(np.fft.irfft, half=True),
    *lengths(np.fft.hfft, half=True),
    *lengths(np.fft.ihfft, complex=False),
    case(np.fft.irfft, A(3), 1, complex=True),
    *[
        form
        for function in (np.fft.fftn, np.fft.ifftn, np.fft.rfftn, np.fft.irfftn)
        for is_complex in [function is not np.fft.rfftn]
        for form in (
            case(function, A(2, 3, 4), complex=is_complex),
            case(function, A(4, 3), axes=(0,), complex=is_complex),
            case(function, A(4, 3), (3, 4), (1, 0), complex=is_complex),
            case(function, A(4, 3), s=(-1, 5), axes=(0, 1), complex=is_complex),
            case(function, A(2, 3, 4), s=(5, 2), axes=(-1, 0), norm="ortho", complex=is_complex),
            case(function, A(3, 4), axes=(1, 1), norm="forward", complex=is_complex),
        )
    ],
    *[
        form
        for function in (np.fft.fft2, np.fft.ifft2, np.fft.rfft2, np.fft.irfft2)
        for is_complex in [function is not np.fft.rfft2]
        for form in (
            case(function, A(2, 3, 4), complex=is_complex),
            case(function, A(3, 4), s=(5, 3), complex=is_complex),
            case(function, A(3, 2, 4), axes=(0, 2), norm="forward", complex=is_complex),
        )
    ],
    *[
        form
        for function in (np.fft.fftshift, np.fft.ifftshift)
        for form in (
            case(function, A(5), complex=True),
            case(function, A(2, 3, 4), complex=True),
            case(function, A(3, 5), 1),
            case(function, A(3, 5), axes=(-1, 0)),
            case(function, A(3, 5), axes=[0]),
            case(function, A(0, 3)),
        )
    ],
]
