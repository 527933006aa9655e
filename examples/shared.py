"""What the examples s0 to s4 and the recipe share: their command line and the data."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygrad_np as tg
from tinygrad_np.data import DataError, Dataset, DownloadError, digits, mnist

Measured = dict[str, float]  # accuracies by the part of the data, from 0 to 1
Example = Callable[[Dataset, Path, float], Measured]


def rows(images: np.ndarray) -> np.ndarray:
    """Make each image a row of float32 numbers from 0 to 1."""
    return images.reshape(len(images), -1) / np.float32(255)


def repeated(times: int, effort: float) -> int:
    """How often to do something when only a part of the effort is to be made."""
    return max(1, round(times * effort))


def accuracy(model: tg.nn.Module, x: np.ndarray, labels: np.ndarray) -> float:
    with tg.no_grad():
        return float(np.mean(model(x).data.argmax(axis=1) == labels))


def measure(example: Example, data: Dataset, folder: Path, effort: float = 1.0, seed: int = 0) -> Measured:
    """Run an example; what it measured, and the seconds that it took."""
    folder.mkdir(parents=True, exist_ok=True)
    tg.manual_seed(seed)
    start = time.perf_counter()
    return {**example(data, folder, effort), "seconds": time.perf_counter() - start}


def main(example: Example, description: str) -> int:
    """Run an example from the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist",
        help="digits: 1,797 of 8x8 pixels, which come with scikit-learn (default: mnist)")  # fmt: skip
    parser.add_argument("--effort", type=float, default=1.0, help="which part of the iterations to do (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of all random draws (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("runs", Path(sys.argv[0]).stem), help="where files go")
    options = parser.parse_args()
    try:
        data = mnist() if options.dataset == "mnist" else digits()
    except (DataError, DownloadError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    measured = measure(example, data, options.output, options.effort, options.seed)
    seconds = measured.pop("seconds")
    accuracies = ", ".join(f"{part} accuracy {value:.2%}" for part, value in measured.items())
    print(f"{data.name}: {accuracies}, {seconds:.1f} seconds; files in {options.output}")
    return 0
