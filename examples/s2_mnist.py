"""A modular network, 784-128-10: He initialisation, mini-batches of 64, pictures of the loss and of predictions."""

from __future__ import annotations

import sys
from pathlib import Path

from shared import Measured, main, repeated, rows

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset, one_hot
from tinygrad_np.plots import prediction_grid, save_figure
from tinygrad_np.training import accuracy, fit, report


def build(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Dense(inputs, 128, init=nn.init.he_normal), nn.ReLU(), nn.Dense(128, 10))


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    x, x_test = rows(data.train_images), rows(data.test_images)
    model = build(x.shape[1])
    history = fit(
        model,
        (x, one_hot(data.train_labels, 10)),
        validation=(x_test, one_hot(data.test_labels, 10)),
        loss=nn.cross_entropy,
        metrics={"accuracy": accuracy},
        optimiser=optim.SGD(model.parameters(), lr=0.02),
        epochs=repeated(5, effort),
        batch_size=64,
        callbacks=[report],
    )
    save_figure(history.plot(f"{data.name}: mini-batch gradient descent"), folder / "curves.png")
    with tg.no_grad():
        predicted = model(x_test[:50]).data.argmax(axis=1)
    grid = prediction_grid(data.test_images[:50], predicted, data.test_labels[:50], title=data.name)
    save_figure(grid, folder / "predictions.png")
    return {"train": history["train_accuracy"][-1], "test": history["validation_accuracy"][-1]}


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
