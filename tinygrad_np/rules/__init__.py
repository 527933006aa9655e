"""The derivative table, one page a family. Importing this package fills it."""

from tinygrad_np.rules import elementwise, indexing, products, reductions, shapes

__all__ = ["elementwise", "indexing", "products", "reductions", "shapes"]
