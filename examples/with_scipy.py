"""`scipy.optimize.minimize` with our gradients, on nested parameters: a logistic regression to its minimum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.optimize import minimize as scipy_minimize

import tinygrad_np as tg
from tinygrad_np.data import digits
from tinygrad_np.trees import leaves, rebuild


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in leaves(tree)])


def minimize(loss: Callable[[Any], Any], start: Any, **options: Any) -> tuple[Any, OptimizeResult]:
    """Minimise a function of nested dicts, lists and tuples of arrays; returns such a tree, and what SciPy says."""
    shapes = [np.shape(leaf) for leaf in leaves(start)]
    ends = np.cumsum([math.prod(shape) for shape in shapes])

    def tree(vector: np.ndarray) -> Any:
        parts = zip(np.split(vector, ends[:-1]), shapes, strict=True)
        return rebuild(start, [part.reshape(shape) for part, shape in parts])

    def value_and_gradient(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = tg.value_and_grad(loss)(tree(vector))
        return float(value), flat(gradient)

    result = scipy_minimize(value_and_gradient, flat(start).astype(np.float64), jac=True, **options)
    return tree(result.x), result


def main() -> None:
    data = digits()
    x, labels = data.train_images.reshape(-1, 64) / 255, data.train_labels

    def loss(parameters: Any) -> Any:
        logits = tg.functions.dense(x, parameters["weight"], parameters["bias"])
        return tg.nn.cross_entropy(logits, labels) + 1e-3 * np.sum(parameters["weight"] ** 2)

    start = {"weight": np.zeros((64, 10)), "bias": np.zeros(10)}
    best, result = minimize(loss, start, method="L-BFGS-B")
    logits = data.test_images.reshape(-1, 64) / 255 @ best["weight"] + best["bias"]
    accuracy = np.mean(logits.argmax(axis=1) == data.test_labels)
    print(f"{data.name}: loss {result.fun:.6f} after {result.nit} iterations, test accuracy {accuracy:.2%}")


if __name__ == "__main__":
    main()
