"""The derivative table, one page a family. Importing this package fills it."""

from tinygrad_np.rules import elementwise, indexing, movement, products, reductions, shapes

__all__ = ["elementwise", "indexing", "movement", "products", "reductions", "shapes"]
