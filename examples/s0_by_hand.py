"""Two layers, 784-256-10: plain gradient descent, with the backward pass written by hand and by the engine.

`gradients_by_hand` is the derivation that every project from scratch has in it, for any number of layers. The training
uses the engine's gradients instead; that both agree is tested for the networks of all these examples.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from shared import Measured, accuracy, main, repeated, rows

from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset
from tinygrad_np.plots import save_figure, weight_images
from tinygrad_np.training import History


def gradients_by_hand(
    x: np.ndarray, targets: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray], hidden: str = "relu"
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Gradients of the mean cross-entropy of dense layers, by the chain rule from the last layer to the first.

    The hidden layers are relu or sigmoid ones. Above the last is a softmax, or a sigmoid if it has one output alone:
    either way the derivative of the loss with respect to its input is the prediction less the target.
    """
    activations = [x]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        z = activations[-1] @ weight + bias
        if i < len(weights) - 1:
            activations.append(np.maximum(z, 0) if hidden == "relu" else 1 / (1 + np.exp(-z)))
    if z.shape[1] == 1:
        prediction = 1 / (1 + np.exp(-z))
    else:
        exponentials = np.exp(z - z.max(axis=1, keepdims=True))  # shifted, so that none overflows
        prediction = exponentials / exponentials.sum(axis=1, keepdims=True)

    delta = (prediction - targets) / len(x)
    weight_gradients, bias_gradients = [], []
    for i in reversed(range(len(weights))):
        weight_gradients.insert(0, activations[i].T @ delta)
        bias_gradients.insert(0, delta.sum(axis=0))
        if i:
            a = activations[i]
            delta = (delta @ weights[i].T) * ((a > 0) if hidden == "relu" else a * (1 - a))
    return weight_gradients, bias_gradients


def build(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Dense(inputs, 256), nn.ReLU(), nn.Dense(256, 10))


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    x, labels = rows(data.train_images), data.train_labels
    model = build(x.shape[1])
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    history = History(train_loss=[])
    for _ in range(repeated(100, effort)):
        loss = nn.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history["train_loss"].append(loss.item())
    save_figure(history.plot(f"{data.name}: full-batch gradient descent"), folder / "curve.png")
    units = model.layers[0].weight.data[:, :64]
    save_figure(weight_images(units, data.train_images.shape[1:]), folder / "weights.png")
    return {"train": accuracy(model, x, labels), "test": accuracy(model, rows(data.test_images), data.test_labels)}


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
