"""Cases of ``rules/padding.py``."""

import numpy as np

from cases.case import A, case, distinct

ARRAY_ONLY = {"one at a time": "NumPy asks the array alone whether it dispatches, and errors name the rest"}
REAL_ARRAY = ARRAY_ONLY | {"mixed": "the new elements get the dtype of the array, which is real"}

CASES = [
    # Constants
    case(np.pad, A(2, 3), 1, complex=True),
    case(np.pad, A(2, 3), ((0, 1), (2, 0)), mode="constant", constant_values=1.5),
    case(np.pad, A(2, 3), ((1,), (2,)), constant_values=((1, 2), (3, 4))),
    case(np.pad, A(2, 3), [(1, 2)], constant_values=A(), complex=True, exempt=REAL_ARRAY),
    case(np.pad, A(2, 3), ((0, 1), (2, 1)), constant_values=(A(), A()), exempt=ARRAY_ONLY),
    case(np.pad, A(2, 3), ((1, 1), (2, 1)), constant_values=((A(), 1.5), (-2, A())), exempt=ARRAY_ONLY),
    case(np.pad, A(2, 3), 1, constant_values=A(2, 1), exempt=ARRAY_ONLY),
    case(np.pad, A(0, 2), 1),
    case(np.pad, A(), 1),
    case(np.pad, A(), (1, 2), mode="edge"),
    case(np.pad, A(0, 2), 1, constant_values=A(), exempt=ARRAY_ONLY),
    # Copies
    case(np.pad, A(3), (2, 1), "edge", complex=True),
    case(np.pad, A(2, 3), (2, 1), mode="edge"),
    case(np.pad, A(3), 5, mode="reflect"),
    case(np.pad, A(2, 3), ((1, 0), (0, 2)), mode="reflect"),
    case(np.pad, A(2, 3), 4, mode="symmetric"),
    case(np.pad, A(2, 3), (3, 2), mode="wrap"),
    case(np.pad, A(0, 2), ((0, 0), (1, 1)), mode="edge"),
    # Reflections about the edge's value
    case(np.pad, A(4), (2, 3), mode="reflect", reflect_type="odd", complex=True, third=True),
    case(np.pad, A(3), (7, 4), mode="reflect", reflect_type="odd"),
    case(np.pad, A(2, 3), ((1, 8), (0, 3)), mode="symmetric", reflect_type="odd"),
    case(np.pad, A(2, 3), ((1, 0), (2, 5)), mode="reflect", reflect_type="odd"),
    case(np.pad, A(4), (2, 3), mode="symmetric", reflect_type="odd", complex=True),
    case(np.pad, A(2, 3), ((5, 3), (0, 4)), mode="symmetric", reflect_type="odd"),
    case(np.pad, A(1, 2), 2, mode="reflect", reflect_type="odd"),
    case(np.pad, A(1, 2), 2, mode="symmetric", reflect_type="odd"),
    case(np.pad, A(0, 2), ((0, 0), (1, 1)), mode="reflect", reflect_type="odd"),
    # Ramps
    case(np.pad, A(3), (2, 3), mode="linear_ramp", complex=True),
    case(np.pad, A(2, 3), ((1, 2), (0, 3)), mode="linear_ramp", end_values=((5, -4), (0, 2.5))),
    case(np.pad, A(2, 3), 2, mode="linear_ramp", end_values=A(), third=True, exempt=ARRAY_ONLY),
    case(np.pad, A(2, 3), (1, 2), mode="linear_ramp", end_values=((A(), 1.5), (A(), A())), exempt=ARRAY_ONLY),
    case(np.pad, A(0, 2), ((0, 0), (1, 1)), mode="linear_ramp"),
    # Statistics
    case(np.pad, A(2, 3), 1, mode="mean", complex=True, third=True),
    case(np.pad, A(2, 4), ((0, 2), (2, 1)), mode="mean", stat_length=2),
    case(np.pad, A(2, 4), 1, mode="mean", stat_length=((1, 2), (3, 9))),
    case(np.pad, distinct(2, 3), 1, mode="maximum"),
    case(np.pad, distinct(2, 4), ((0, 2), (2, 1)), mode="maximum", stat_length=(2, 3)),
    case(np.pad, distinct(2, 3), 1, mode="minimum"),
    case(np.pad, distinct(4), (1, 2), mode="minimum", stat_length=(1, 2)),
    case(np.pad, distinct(2, 3), ((0, 0), (1, 2)), mode="median"),
    case(np.pad, distinct(5), (1, 2), mode="median", stat_length=(2, 4)),
    case(np.pad, A(0, 2), ((0, 0), (1, 1)), mode="mean"),
]
