"""`python benchmarks/transforms.py`: a full Jacobian beside the same by hand, a full Hessian beside HIPS autograd."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs as a script, installed or not

import tinygrad_np as tg
from benchmarks.harness import Here, Result, Workload, machine, measure, need

COLUMNS = {"numpy": "by hand", "eager": "tinygrad_np", "autograd": "HIPS autograd"}

_rng = np.random.default_rng(0)
SIZE = 300
W, X = _rng.standard_normal((SIZE, SIZE)) / SIZE**0.5, _rng.standard_normal(SIZE)
POINT = _rng.standard_normal(100)


class Matrix:
    """A contender that computes one matrix."""

    def __init__(self, compute: Callable[[], np.ndarray]) -> None:
        self.compute = compute

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        return 0.0, [self.compute()]

    def run(self) -> None:
        self.compute()


def jacobian_by_hand() -> np.ndarray:
    y = np.tanh(W @ X)
    return (1 - y * y)[:, None] * W


def jacobian_of_ours() -> Matrix:
    jacobian = tg.jacobian(lambda x: np.tanh(W @ x))
    return Matrix(lambda: jacobian(X))


def jacobian_of_hips() -> Matrix:
    autograd = need("autograd")
    import autograd.numpy as anp

    jacobian = autograd.jacobian(lambda x: anp.tanh(anp.dot(W, x)))
    return Matrix(lambda: jacobian(X))


def rosenbrock(x: Any) -> Any:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2, spelled so that every NumPy namespace has what it takes."""
    below, above = x[:-1], x[1:]
    return (100.0 * (above - below**2) ** 2 + (1.0 - below) ** 2).sum()


def hessian_by_hand() -> np.ndarray:
    below, above = POINT[:-1], POINT[1:]
    diagonal = np.zeros(POINT.size)
    diagonal[:-1] = 1200 * below**2 - 400 * above + 2
    diagonal[1:] += 200
    return np.diag(diagonal) + np.diag(-400 * below, 1) + np.diag(-400 * below, -1)


def hessian_of_ours() -> Matrix:
    hessian = tg.hessian(rosenbrock)
    return Matrix(lambda: hessian(POINT))


def hessian_of_hips() -> Matrix:
    hessian = need("autograd").hessian(rosenbrock)
    return Matrix(lambda: hessian(POINT))


JACOBIAN = Workload(
    "Jacobian",
    f"of tanh(W @ x), {SIZE} x {SIZE}",
    "us",
    {"numpy": lambda: Matrix(jacobian_by_hand), "eager": jacobian_of_ours, "autograd": jacobian_of_hips},
)
HESSIAN = Workload(
    "Hessian",
    f"of Rosenbrock's function of {POINT.size} numbers",
    "us",
    {"numpy": lambda: Matrix(hessian_by_hand), "eager": hessian_of_ours, "autograd": hessian_of_hips},
)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="turns that each gets (default: 15)")
    parser.add_argument("--seconds", type=float, default=0.1, help="about how long a turn is (default: 0.1)")
    options = parser.parse_args(arguments)
    jacobian, hessian = (measure(task, COLUMNS, options.rounds, options.seconds, Here) for task in (JACOBIAN, HESSIAN))
    lines = [f"| | unit | {' | '.join(COLUMNS.values())} |", "| --- " * (len(COLUMNS) + 2) + "|"]
    lines += [_row(result) for result in (jacobian, hessian)]
    lines += ["", f"Jacobian: {_ratio(jacobian, 'eager', 'numpy')} times the time by hand (target: at most 5)"]
    lines += [f"Hessian: {_ratio(hessian, 'autograd', 'eager')} times as fast as HIPS autograd (target: at least 5)"]
    lines += sorted({f"A dash: {reason}" for result in (jacobian, hessian) for reason in result.missing.values()})
    print("\n".join([*lines, "", *(f"{name}: {version}  " for name, version in machine().items())]))


def _row(result: Result) -> str:
    medians = [result.median(name) for name in COLUMNS]
    cells = ["-" if median is None else f"{median:.4g}" for median in medians]
    return f"| {result.workload} {result.description} | {result.unit} | {' | '.join(cells)} |"


def _ratio(result: Result, above: str, below: str) -> str:
    numerator, denominator = result.median(above), result.median(below)
    return "-" if numerator is None or denominator is None else f"{numerator / denominator:.2f}"


if __name__ == "__main__":
    main()
