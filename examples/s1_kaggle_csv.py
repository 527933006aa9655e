"""Kaggle's CSV: 784-10-10, weights uniform in [-0.5, 0.5], one-hot labels, 500 steps of full-batch gradient descent."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from shared import Measured, accuracy, main, repeated, rows

from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset, one_hot, read_csv, train_test_split, write_csv

KAGGLE = 42_000  # images in its train.csv


def build(inputs: int) -> nn.Sequential:
    uniform = partial(nn.init.uniform, low=-0.5, high=0.5)
    return nn.Sequential(nn.Dense(inputs, 10, init=uniform), nn.ReLU(), nn.Dense(10, 10, init=uniform))


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    path = folder / "train.csv"
    write_csv(path, data.train_images[:KAGGLE], data.train_labels[:KAGGLE])
    images, labels = read_csv(path)
    x, x_held, labels, labels_held = train_test_split(rows(images), labels, test_size=len(images) // 42)

    model = build(x.shape[1])
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    targets = one_hot(labels, 10)
    for step in range(repeated(500, effort)):
        loss = nn.cross_entropy(model(x), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            held = accuracy(model, x_held, labels_held)
            print(f"step {step}: loss {loss.item():.4f}, validation accuracy {held:.2%}")
    return {
        "train": accuracy(model, x, labels),
        "validation": accuracy(model, x_held, labels_held),
        "test": accuracy(model, rows(data.test_images), data.test_labels),
    }


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
