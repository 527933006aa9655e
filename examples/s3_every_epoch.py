"""Two layers on all of MNIST, 784-128-10, with the accuracy on both parts after each epoch."""

from __future__ import annotations

import sys
from pathlib import Path

from shared import Measured, accuracy, main, repeated, rows

from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset, Loader
from tinygrad_np.plots import save_figure
from tinygrad_np.training import History


def build(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Dense(inputs, 128), nn.ReLU(), nn.Dense(128, 10))


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    x, x_test = rows(data.train_images), rows(data.test_images)
    model = build(x.shape[1])
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    loader = Loader(x, data.train_labels, batch_size=128, shuffle=True)
    history = History(train_accuracy=[], test_accuracy=[])
    for epoch in range(1, repeated(10, effort) + 1):
        for part, labels in loader:
            loss = nn.cross_entropy(model(part), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        history["train_accuracy"].append(accuracy(model, x, data.train_labels))
        history["test_accuracy"].append(accuracy(model, x_test, data.test_labels))
        print(f"epoch {epoch}: test accuracy {history['test_accuracy'][-1]:.2%}")
    save_figure(history.plot(data.name), folder / "curves.png")
    return {"train": history["train_accuracy"][-1], "test": history["test_accuracy"][-1]}


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
