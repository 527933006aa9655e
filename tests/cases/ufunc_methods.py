"""Cases of ``rules/ufunc_methods.py``."""

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_np as tg
from cases.case import A, Argument, Case, above_one, at, case, distinct, inside, positive
from cases.elementwise import MASK, WIDE

Draw = Callable[..., Argument]

REPEATED = [1, 0, 1, 1]
SPLIT = [0, 2, 1, 3]
GRID = np.array([[0, 2], [1, 1]])

EXTREMA = [np.maximum, np.minimum, np.fmax, np.fmin]
LENGTHS = [np.logaddexp, np.logaddexp2, np.hypot]
IN_ORDER: list[tuple[Any, Draw]] = [
    (np.subtract, A),
    (np.divide, A),
    (np.power, positive),
    (np.float_power, positive),
    (np.arctan2, A),
    (np.copysign, A),
    (np.heaviside, A),
    (np.nextafter, A),
]
INITIAL = "NumPy looks for tensors in the array only, and takes initial= for a float"
DIVISIONS = [np.remainder, np.fmod, np.floor_divide]
FALLING = at(9.3, 5.1, 2.9, 1.7)  # each remainder is some way from zero, and so is the next

PAIRS: list[tuple[Any, Draw]] = [
    *((ufunc, A) for ufunc in (np.add, np.multiply, *LENGTHS)),
    *((ufunc, distinct) for ufunc in EXTREMA),
    *IN_ORDER,
]
ONE: list[tuple[Any, Draw]] = [
    *((f, A) for f in (np.negative, np.positive, np.absolute, np.fabs, np.sign, np.conjugate, np.square)),
    *((f, A) for f in (np.degrees, np.rad2deg, np.radians, np.deg2rad)),
    *((f, A) for f in (np.exp, np.exp2, np.expm1, np.sin, np.cos, np.arctan, np.sinh, np.cosh, np.tanh, np.arcsinh)),
    *((f, inside) for f in (np.tan, np.arcsin, np.arccos, np.arctanh)),
    *((f, positive) for f in (np.sqrt, np.cbrt, np.reciprocal, np.log, np.log2, np.log10, np.log1p)),
    (np.arccosh, above_one),
]


def options(ufunc: np.ufunc) -> dict[str, Any]:
    return {"exempt": {"float32": WIDE}} if ufunc is np.float_power else {}


def update(ufunc: Any, x: Argument, index: Any, *operands: Any, **options: Any) -> Case:
    """``ufunc.at(x, index, operand)``, for a copy of x."""

    def spelling(x: Any, index: Any, *operands: Any) -> Any:
        into_array = any(isinstance(v, tg.Tensor) for v in operands) and not isinstance(x, tg.Tensor)
        y = tg.tensor(x) if into_array else np.copy(x)  # an array cannot hold on to a Tensor's gradient
        ufunc.at(y, index, *operands)
        return y

    exempt = {"mixed": "a real array cannot take complex numbers"} | options.pop("exempt", {})
    return case(ufunc.at, x, index, *operands, spelling=spelling, exempt=exempt, **options)


CASES = [
    # Reductions with a rule
    case(np.add.reduce, A(2, 3), complex=True, third=True),
    case(np.add.reduce, A(2, 3, 2), axis=(0, -1), keepdims=True),
    case(np.add.reduce, A(2, 3), axis=None, initial=2.0, where=MASK, complex=True),
    case(np.add.reduce, A(2, 3), 1, np.float64, exempt={"float32": WIDE}),
    case(np.add.reduce, A()),
    case(np.add.reduce, A(0, 3)),
    case(np.multiply.reduce, A(2, 3), complex=True, third=True),
    case(np.multiply.reduce, A(2, 3, 2), axis=(0, -1), keepdims=True),
    case(np.multiply.reduce, A(2, 3), axis=-1, initial=2.0, where=MASK, complex=True),
    case(np.multiply.reduce, A(3), initial=None),
    case(np.multiply.reduce, A()),
    *(case(ufunc.reduce, distinct(2, 3), complex=True) for ufunc in EXTREMA),
    *(case(ufunc.reduce, distinct(2, 3, 2), axis=(0, -1), keepdims=True) for ufunc in EXTREMA),
    *(case(ufunc.reduce, distinct(2, 3), axis=None, initial=0.01, where=MASK) for ufunc in EXTREMA),
    *(case(ufunc.reduce, A(2, 3), third=True) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(2, 3, 2), axis=(0, -1), keepdims=True) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(2, 3), axis=None) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(2, 3), axis=1, initial=0.3, where=MASK) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(2), axis=()) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(3), dtype=np.float64, exempt={"float32": WIDE}) for ufunc in LENGTHS),
    *(case(ufunc.reduce, A(0, 3), axis=1) for ufunc in LENGTHS),
    case(np.hypot.reduce, A(0, 3)),
    # Reductions from row to row
    *(case(ufunc.reduce, draw(3, 2), **options(ufunc)) for ufunc, draw in IN_ORDER),
    *(
        case(ufunc.reduce, draw(2, 3), axis=-1, keepdims=True, **options(ufunc))
        for ufunc, draw in IN_ORDER
        if ufunc not in (np.power, np.arctan2)  # NumPy 2.4 itself reduces these wrongly along adjacent elements
    ),
    *(case(ufunc.reduce, FALLING) for ufunc in DIVISIONS),
    case(np.subtract.reduce, A(3), axis=None, complex=True, third=True),
    case(np.subtract.reduce, A(2, 3), axis=(1,), initial=2.0, where=MASK, complex=True),
    case(np.subtract.reduce, A(2, 3), initial=A(), keepdims=True, where=MASK[0], exempt={"one at a time": INITIAL}),
    case(np.subtract.reduce, A(2, 3), axis=()),
    case(np.floor_divide.reduce, A(1, 3)),
    case(np.subtract.reduce, A()),
    case(np.subtract.reduce, A(0, 3), axis=1),
    case(np.subtract.reduce, A(0, 3), initial=1.5),
    case(np.subtract.reduce, A(3), dtype=np.float64, exempt={"float32": WIDE}),
    case(np.divide.reduce, A(2, 3), axis=1, complex=True, third=True),
    case(np.divide.reduce, A(2, 3), axis=1, initial=2.0, where=MASK, keepdims=True),
    # accumulate
    *(case(ufunc.accumulate, draw(3, 2), **options(ufunc)) for ufunc, draw in PAIRS),
    *(case(ufunc.accumulate, FALLING) for ufunc in DIVISIONS),
    case(np.add.accumulate, A(2, 3), axis=-1, complex=True),
    case(np.add.accumulate, A(3), dtype=np.float64, exempt={"float32": WIDE}),
    case(np.multiply.accumulate, A(2, 3), 1, complex=True, third=True),
    case(np.subtract.accumulate, A(2, 3), axis=-1, complex=True, third=True),
    case(np.subtract.accumulate, A(2, 0), axis=-1),
    case(np.maximum.accumulate, distinct(2, 3), axis=1, dtype=np.float64, exempt={"float32": WIDE}),
    # reduceat
    *(case(ufunc.reduceat, draw(4), SPLIT, **options(ufunc)) for ufunc, draw in PAIRS),
    *(case(ufunc.reduceat, FALLING, [0, 3, 1]) for ufunc in DIVISIONS),
    case(np.add.reduceat, A(2, 4), SPLIT, axis=1, complex=True, third=True),
    case(np.add.reduceat, A(4, 2), indices=np.array([1]), axis=0),
    case(np.add.reduceat, A(4), [0, 2], dtype=np.float64, exempt={"float32": WIDE}),
    case(np.add.reduceat, A(4), []),
    case(np.multiply.reduceat, A(4, 2), SPLIT, complex=True),
    case(np.hypot.reduceat, at(-1.5, 0.7, -0.4), [1, 0, 2]),  # an element by itself keeps its sign
    # outer
    *(case(ufunc.outer, draw(2), draw(3), **options(ufunc)) for ufunc, draw in PAIRS),
    *(case(ufunc.outer, FALLING, at(2.3, 4.1)) for ufunc in (np.remainder, np.fmod, np.divmod)),
    case(np.ldexp.outer, A(3), np.array([1, -2])),
    case(np.add.outer, A(2, 1), A(3, 2), complex=True),
    case(np.add.outer, [1.0, 2.0], A(2), dtype=np.float64, exempt={"float32": WIDE}),
    case(np.multiply.outer, A(2, 2), A(), complex=True, third=True),
    case(np.multiply.outer, A(2), A(0)),
    # at
    *(update(ufunc, draw(3), REPEATED, draw(4), **options(ufunc)) for ufunc, draw in PAIRS),
    *(update(ufunc, FALLING, [1, 0, 1], at(2.3, 4.1, 0.8)) for ufunc in DIVISIONS),
    *(update(ufunc, draw(3), [2, 0]) for ufunc, draw in ONE),
    update(np.ldexp, A(3), REPEATED, np.array([1, 2, -1, 1])),
    update(np.add, A(3), REPEATED, A(4), complex=True, third=True),
    update(np.add, A(2, 3), (slice(None), GRID), A(2, 2)),
    update(np.add, A(3), slice(None, None, 2), 1.5),
    update(np.add, A(2, 3), 1, A(3)),
    update(np.add, A(2, 3), MASK, A()),
    update(np.add, A(3), [], A(1)),
    update(np.multiply, A(2, 3), ([0, 0, 1], [2, 2, 1]), A(3), complex=True, third=True),
    update(np.power, positive(3), REPEATED, 2),
    update(np.sin, inside(3), REPEATED),
    update(np.exp, A(), ()),
]
