"""Cases of ``rules/creation.py``."""

import warnings
from typing import Any

import numpy as np

from cases.case import A, case, positive
from cases.elementwise import WIDE

ARRAY_ONLY = {"one at a time": "NumPy asks the first array alone whether it dispatches, and errors name the other"}
DOUBLE = {"float32": "np.geomspace computes in float64"}
INTEGERS = {"float32": "NumPy promotes float32 beside int64 to float64"}


def deprecated(function: Any) -> Any:
    """A function that warns whenever it is called."""

    def spelling(*args: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return function(*args)

    return spelling


CASES = [
    case(np.full_like, np.zeros((2, 3), np.float32), A(), spelling=lambda a, v: np.full_like(v, v, shape=a.shape)),
    case(np.full_like, A(2, 3), A(3), complex=True, exempt=ARRAY_ONLY | {"mixed": "the first array is real"}),
    case(np.full_like, A(2, 3), A(), shape=(4,), exempt=ARRAY_ONLY),
    case(np.full_like, A(3), A(), dtype=np.complex128, exempt=ARRAY_ONLY | {"float32": WIDE}),
    case(np.full_like, A(2, 3), 2.5),
    # Sequences
    case(np.linspace, A(), A(), complex=True, third=True),
    case(np.linspace, A(2, 1), A(3), 5, complex=True),
    case(np.linspace, A(3), 2, num=4, endpoint=False),
    case(np.linspace, 1.5, A(2, 3), 4, retstep=True, axis=1),
    case(np.linspace, A(2), A(2), 3, axis=-1, retstep=True, complex=True),
    case(np.linspace, [1.0, 2.0], A(), 3, exempt={"float32": WIDE}),
    case(np.linspace, A(2), A(2), 1),
    case(np.linspace, A(2), A(2), 1, endpoint=False),
    case(np.linspace, A(2), A(2), 0),
    case(np.linspace, A(), A(), 3, dtype=np.complex128, exempt={"float32": WIDE}),
    case(np.logspace, A(), A(), 5, complex=True, third=True),
    case(np.logspace, A(2, 1), A(3), 4, endpoint=False, base=2),
    case(np.logspace, A(2), A(2), 4, base=positive(), axis=-1, complex=True),
    case(np.logspace, A(3), A(), 4, base=positive(2, 1), axis=1),
    case(np.logspace, A(), A(), 4, base=positive(2), axis=-1),
    case(np.logspace, 0.5, A(2), 3, dtype=np.complex128, exempt={"float32": WIDE}),
    case(np.geomspace, positive(), positive(), 5, third=True, exempt=DOUBLE),
    case(np.geomspace, positive(2, 1), positive(3), 4, axis=-1, complex=True, exempt=DOUBLE),
    case(np.geomspace, -2.5, positive(), 4, spelling=lambda a, b, n: np.geomspace(a, -b, n), exempt=DOUBLE),
    case(np.geomspace, positive(2), 3, num=3, endpoint=False, exempt=DOUBLE),
    case(np.geomspace, positive(2), positive(2), 1, exempt=DOUBLE),
    case(np.geomspace, positive(2), positive(2), 0, exempt=DOUBLE),
    case(np.geomspace, positive(), positive(), 4, dtype=np.complex128, exempt=DOUBLE),
    # Grids
    case(np.meshgrid, A(2), A(3), complex=True),
    case(np.meshgrid, A(2), A(3), A(4), indexing="ij"),
    case(np.meshgrid, A(2), A(3), A(2), sparse=True),
    case(np.meshgrid, A(2), A(), copy=False),
    case(np.meshgrid, A(2, 2)),
    case(np.meshgrid, A(0), A(2)),
    case(np.meshgrid, A(2), np.array([1.5, 2.5], np.float32)),
    case(np.ix_, A(2), A(3), complex=True),
    case(np.ix_, np.array([True, False, True]), A(2)),
    # NumPy's own code
    case(np.fft.fftfreq, 5, A(), third=True, exempt=INTEGERS),
    case(np.fft.rfftfreq, 4, d=A(), exempt=INTEGERS),
    case(
        np.fromfunction,
        A(2, 1),
        spelling=lambda a: np.fromfunction(lambda i, j: a * i + a * a * j, (2, 3)),
        complex=True,
        exempt={"float32": WIDE},
    ),
    case(np.poly1d, A(3), A(2), spelling=lambda c, x: np.poly1d(c)(x), complex=True, third=True),
]
for function, args in (("row_stack", [[A(3), A(2, 3)]]), ("trapz", [A(2, 3), A(3)])):
    if function in vars(np):
        CASES += [case(vars(np)[function], *args, spelling=deprecated(vars(np)[function]), complex=True)]
if hasattr(np, "astype"):  # new in NumPy 2.1
    CASES += [
        case(np.astype, A(3), np.complex128, exempt={"float32": WIDE}),
        case(np.astype, A(3), np.float64, copy=False, exempt={"float32": WIDE}),
    ]
