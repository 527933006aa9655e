"""Networks of any depth and width: 784-10-10 and 784-100-100-10, initialised in different ways, one-hot labels."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from shared import Measured, accuracy, main, repeated, rows

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset, one_hot
from tinygrad_np.nn.init import he_normal, xavier_uniform
from tinygrad_np.plots import prediction_grid, save_figure


def build(layer_sizes: Sequence[int], init=he_normal) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(layer_sizes):
        layers += [nn.Dense(inputs, outputs, init=init), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def train(model: nn.Module, x, targets, steps: int) -> None:
    optimiser = optim.SGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        loss = nn.cross_entropy(model(x), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    x, x_test = rows(data.train_images), rows(data.test_images)
    targets = one_hot(data.train_labels, 10)
    measured = {}
    for hidden, init, steps in [((10,), xavier_uniform, 250), ((100, 100), he_normal, 100)]:
        sizes = [x.shape[1], *hidden, 10]
        model = build(sizes, init)
        train(model, x, targets, repeated(steps, effort))
        measured[f"{'-'.join(map(str, sizes))} test"] = accuracy(model, x_test, data.test_labels)
    with tg.no_grad():
        predicted = model(x_test[:50]).data.argmax(axis=1)
    grid = prediction_grid(data.test_images[:50], predicted, data.test_labels[:50], title=data.name)
    save_figure(grid, folder / "predictions.png")
    return measured


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
