"""The derivative table, one page a family. Importing this package fills it."""

from tinygrad_np.rules import (
    creation,
    cumulative,
    elementwise,
    fft,
    indexing,
    movement,
    nan_reductions,
    numerics,
    padding,
    products,
    reductions,
    shapes,
    sorting,
)

__all__ = [
    "creation",
    "cumulative",
    "elementwise",
    "fft",
    "indexing",
    "movement",
    "nan_reductions",
    "numerics",
    "padding",
    "products",
    "reductions",
    "shapes",
    "sorting",
]
