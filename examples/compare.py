"""Run s0 to s4 and the recipe on MNIST, and set what they measure beside what the projects report.

`python examples/compare.py` prints the table; with `--write` it replaces the one in examples/README.md.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from shared import measure

from tinygrad_np._files import atomic_write
from tinygrad_np.data import Dataset, digits, mnist

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: written by compare.py -->", "<!-- end of table -->"


class Row(NamedTuple):
    project: str
    module: str
    network: str
    regime: str
    reports: str
    seeds: int = 1


ROWS = [
    Row("S0", "s0_by_hand", "784-256-10", "full batch, 100 steps", "about 87 % test"),
    Row("S1", "s1_kaggle_csv", "784-10-10, uniform in ±0.5", "full batch, 500 steps", "83 % train, 84.5 % held out"),
    Row("S2", "s2_xor", "2-8-1, sigmoids", "full batch, 2,000 steps", "XOR 100 %"),
    Row("S2", "s2_mnist", "784-128-10, He", "batches of 64, 5 epochs", "MNIST 90-95 %"),
    Row("S3", "s3_every_epoch", "784-128-10", "batches of 128, 10 epochs", "90 % and more"),
    Row("S4", "s4_any_depth", "784-10-10 and 784-100-100-10", "full batch, 250 and 100 steps", "89 % and 87 %"),
    Row("", "recipe", "784-512-256-10", "shifted images, 20 epochs, Adam", "(the aim: 98.8 %)", seeds=3),
]


def line(row: Row, data: Dataset, effort: float, folder: Path) -> str:
    """One row of the table: means over the seeds, and the seconds of one run."""
    example = importlib.import_module(row.module)
    runs = [measure(example.run, data, folder / row.module, effort, seed) for seed in range(row.seeds)]
    means = {part: float(np.mean([measured[part] for measured in runs])) for part in runs[0]}
    seconds = means.pop("seconds")
    accuracies = ", ".join(f"{value:.2%} {part}" for part, value in means.items())
    if row.seeds > 1:
        accuracies += f" (mean of {row.seeds} seeds)"
    cells = [row.project, f"[{row.module}.py]({row.module}.py)", row.network, row.regime, row.reports, accuracies]
    return f"| {' | '.join(cells)} | {seconds:.0f} s |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in examples/README.md")
    parser.add_argument("--dataset", choices=["mnist", "digits"], default="mnist", help="(default: mnist)")
    parser.add_argument("--effort", type=float, default=1.0, help="which part of the iterations to do (default: 1)")
    options = parser.parse_args()
    if options.write and (options.dataset, options.effort) != ("mnist", 1.0):
        parser.error("only MNIST with all iterations is worth writing down")
    data = mnist() if options.dataset == "mnist" else digits()
    with tempfile.TemporaryDirectory() as folder:
        lines = [line(row, data, options.effort, Path(folder)) for row in ROWS]
    table = "\n".join([
        f"| project | example | network | regime | it reports | measured here, {data.name} | time |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *lines,
    ])  # fmt: skip
    print(table)
    if options.write:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        with atomic_write(README) as file:
            file.write(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
