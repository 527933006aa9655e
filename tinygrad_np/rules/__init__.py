"""The derivative table, one page a family. Importing this package fills it."""

from tinygrad_np.rules import creation, elementwise, indexing, movement, padding, products, reductions, shapes

__all__ = ["creation", "elementwise", "indexing", "movement", "padding", "products", "reductions", "shapes"]
