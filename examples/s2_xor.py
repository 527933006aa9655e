"""XOR: 2-8-1 with sigmoids, binary cross-entropy, and a picture of the loss."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from shared import Measured, main, repeated

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset
from tinygrad_np.plots import save_figure
from tinygrad_np.training import History

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
Y = np.array([[0], [1], [1], [0]], np.float32)


def build(inputs: int = 2) -> nn.Sequential:
    xavier = nn.init.xavier_normal
    return nn.Sequential(nn.Dense(inputs, 8, init=xavier), nn.Sigmoid(), nn.Dense(8, 1, init=xavier))


def run(_data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    model = build()
    optimiser = optim.SGD(model.parameters(), lr=2.0)
    history = History(train_loss=[])
    for _ in range(repeated(2000, effort)):
        loss = nn.binary_cross_entropy(model(X), Y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history["train_loss"].append(loss.item())
    save_figure(history.plot("XOR"), folder / "curve.png")
    with tg.no_grad():
        probabilities = tg.functions.sigmoid(model(X)).data
    for inputs, probability in zip(X.astype(int).tolist(), probabilities[:, 0], strict=True):
        print(f"{inputs[0]} xor {inputs[1]} = {probability:.3f}")
    return {"train": float(np.mean((probabilities > 0.5) == Y))}


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
