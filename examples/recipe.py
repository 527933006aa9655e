"""What it takes to read 98.8 % of MNIST's test digits with dense layers: shifted images, a falling learning rate.

784-512-256-10 with ReLU; each image is moved by up to a pixel in each direction whenever it is seen; Adam, batches of
128, twenty epochs, a cosine from 1.5e-3 to zero after a short warm-up.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from shared import Measured, main, repeated

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Dataset, Loader, Normalize, RandomShift
from tinygrad_np.plots import confusion_matrix, save_figure
from tinygrad_np.training import accuracy, fit, report


def build(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Dense(inputs, 512), nn.ReLU(), nn.Dense(512, 256), nn.ReLU(), nn.Dense(256, 10)
    )


def run(data: Dataset, folder: Path, effort: float = 1.0) -> Measured:
    model = build(data.train_images[0].size)
    normalize = Normalize.of(data.train_images)
    seed = int(tg.random.generator().integers(2**31))
    loader = Loader(
        data.train_images, data.train_labels, batch_size=128, shuffle=True, drop_last=True, seed=seed,
        transform=[RandomShift(1), normalize],
    )  # fmt: skip
    x_test = normalize(data.test_images)
    epochs = repeated(20, effort)
    optimiser = optim.Adam(model.parameters(), lr=1.5e-3)
    steps = epochs * len(loader)
    warm_up = max(1, steps // 20)
    history = fit(
        model,
        loader,
        validation=(x_test, data.test_labels),  # only looked at: nothing is chosen by it
        loss=nn.cross_entropy,
        metrics={"accuracy": accuracy},
        optimiser=optimiser,
        schedule=optim.WarmUp(optim.CosineDecay(optimiser, steps=max(1, steps - warm_up)), steps=warm_up),
        epochs=epochs,
        callbacks=[report],
    )
    with tg.no_grad():
        predicted = np.concatenate([model(part).data.argmax(axis=1) for (part,) in Loader(x_test, batch_size=1000)])
    save_figure(history.plot(f"{data.name}: the recipe"), folder / "curves.png")
    save_figure(confusion_matrix(predicted, data.test_labels, title=data.name), folder / "confusion.png")
    return {"train": history["train_accuracy"][-1], "test": history["validation_accuracy"][-1]}


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
