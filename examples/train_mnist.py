"""Train a multilayer perceptron to read handwritten digits: `python examples/train_mnist.py`."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import DataError, Dataset, DownloadError, batches, digits, mnist
from tinygrad_np.plots import prediction_grid, save_figure, training_curves
from tinygrad_np.saving import save

try:
    from tqdm import tqdm
except ImportError:
    sys.exit('This example needs tqdm: pip install -e ".[examples]"')

DESCRIPTION = """\
Train a multilayer perceptron to read handwritten digits.

By default: MNIST, one hidden layer of 256, Adam, ten epochs; a few seconds on a laptop.
Loss and accuracy are printed after each epoch. Weights, training curves and a grid of
predictions are kept in a folder. Ctrl-C stops early and keeps what was trained so far."""

CLASSES = 10
LEARNING_RATES = {"adam": 2e-3, "sgd": 0.1}
History = dict[str, list[float]]  # one number an epoch, by name


def build_model(inputs: int, hidden: list[int]) -> nn.Sequential:
    """Stack dense layers, with a ReLU between each two."""
    widths = [inputs, *hidden, CLASSES]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Dense(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def build_optimiser(name: str, model: nn.Module, learning_rate: float) -> optim.Adam | optim.SGD:
    if name == "sgd":
        return optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    return optim.Adam(model.parameters(), lr=learning_rate)


def train(model: nn.Module, data: Dataset, options: argparse.Namespace, history: History) -> None:
    """Train the model, and append to the history what was measured in each epoch."""
    images, labels = as_rows(data.train_images), data.train_labels
    optimiser = build_optimiser(options.optimiser, model, options.learning_rate)
    rng = np.random.default_rng(options.seed)
    steps_per_epoch = math.ceil(len(labels) / options.batch_size)
    step, steps = 0, options.epochs * steps_per_epoch

    for epoch in range(1, options.epochs + 1):
        title = f"{data.name}, epoch {epoch}/{options.epochs}"
        seen, correct, loss_sum = 0, 0, 0.0
        # disable=None: no bar where the output is not a terminal.
        with tqdm(total=steps_per_epoch, desc=title, leave=False, disable=None) as bar:
            for x, y in batches(images, labels, size=options.batch_size, rng=rng):
                optimiser.lr = options.learning_rate * (1 - step / steps)  # large steps first, small ones last
                logits = model(x)
                loss = nn.cross_entropy(logits, y)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

                step += 1
                seen += len(y)
                correct += np.count_nonzero(logits.data.argmax(axis=1) == y)
                loss_sum += loss.item() * len(y)
                if not math.isfinite(loss_sum):
                    sys.exit(f"error: {title}: the loss is not finite any more; try a smaller --learning-rate")
                bar.set_postfix_str(f"loss {loss_sum / seen:.4f}, accuracy {correct / seen:.2%}", refresh=False)
                bar.update()

        test_loss, predicted = evaluate(model, data)
        test_accuracy = np.mean(predicted == data.test_labels)
        history["train_loss"].append(loss_sum / seen)
        history["test_loss"].append(test_loss)
        history["train_accuracy"].append(correct / seen)
        history["test_accuracy"].append(test_accuracy)
        print(f"{title}: train loss {loss_sum / seen:.4f}, test accuracy {test_accuracy:.2%}")


def evaluate(model: nn.Module, data: Dataset) -> tuple[float, np.ndarray]:
    """Return the mean loss over the test images, and the class predicted for each."""
    with tg.no_grad():
        logits = np.concatenate([model(as_rows(x)).data for (x,) in batches(data.test_images, size=1000)])
        return nn.cross_entropy(logits, data.test_labels).item(), logits.argmax(axis=1)


def as_rows(images: np.ndarray) -> np.ndarray:
    """Make each image a row of float32 numbers from 0 to 1."""
    return images.reshape(len(images), -1) / np.float32(255)


def load_data(choice: str) -> Dataset:
    """Load what was asked for; "auto" is MNIST, or what comes with scikit-learn where MNIST cannot be had."""
    if choice == "digits":
        return digits()
    try:
        return mnist()
    except DownloadError as error:
        if choice == "mnist":
            raise
        data = digits()
        print(f"MNIST cannot be reached ({error.reason}): training on {data.name} instead.")
        return data


def draw(data: Dataset, predicted: np.ndarray, history: History, result: str, folder: Path) -> None:
    """Draw the training curves, if an epoch was completed, and a grid of predictions."""
    if history["test_loss"]:
        save_figure(training_curves(history, title=result), folder / "curves.png")
        print(f"{data.name}: loss and accuracy in {folder / 'curves.png'}")

    mistakes = np.flatnonzero(predicted != data.test_labels)
    shown = np.concatenate([np.arange(30), mistakes[mistakes >= 30][:20]])
    title = f"{data.name}: the first 30 test images"
    if len(shown) > 30:
        title += f", then {len(shown) - 30} of all {len(mistakes)} mistakes"
    grid = prediction_grid(data.test_images[shown], predicted[shown], data.test_labels[shown], title=title)
    save_figure(grid, folder / "predictions.png")
    print(f"{data.name}: predictions in {folder / 'predictions.png'}")


def run(options: argparse.Namespace) -> int:
    """Load, train, report and keep; return the exit status."""
    data = load_data(options.dataset)
    folder = options.output or Path("runs", "mnist" if data.name == "MNIST" else "digits")
    folder.mkdir(parents=True, exist_ok=True)  # now, for what cannot be kept need not be trained

    tg.manual_seed(options.seed)
    model = build_model(data.train_images[0].size, options.hidden)
    print(model)
    history: History = {name: [] for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")}
    start, interrupted = time.perf_counter(), False
    try:
        train(model, data, options, history)
    except KeyboardInterrupt:
        interrupted = True
    seconds = time.perf_counter() - start
    save(folder / "weights.npz", model.state_dict())  # first, in case of a second Ctrl-C

    _, predicted = evaluate(model, data)
    epochs = f"{len(history['test_loss'])} of " * interrupted + f"{options.epochs} epoch{'s' * (options.epochs != 1)}"
    result = f"{data.name}: test accuracy {np.mean(predicted == data.test_labels):.2%} after {epochs}"
    print(f"{result}, {seconds:.1f} seconds of training{' (interrupted)' * interrupted}")
    print(f"{data.name}: weights in {folder / 'weights.npz'}")
    if options.plots:
        draw(data, predicted, history, result, folder)
    return 128 + signal.SIGINT if interrupted else 0


def whole_number(smallest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
        return int(text)

    return parse


def positive_number(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number greater than 0")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--hidden", type=whole_number(1), nargs="*", default=[256], metavar="N",
        help="width of each hidden layer, any number of them; none for a linear model (default: 256)")
    add("--optimiser", "--optimizer", choices=LEARNING_RATES, default="adam",
        help="adam, or sgd with momentum 0.9 (default: adam)")
    add("--learning-rate", "--lr", type=positive_number, metavar="RATE",
        help="at the start; falls to zero in a straight line (default: "
        + ", ".join(f"{rate} for {name}" for name, rate in LEARNING_RATES.items()) + ")")
    add("--batch-size", type=whole_number(1), default=128, metavar="N", help="images a step (default: 128)")
    add("--epochs", type=whole_number(1), default=10, metavar="N", help="passes over the images (default: 10)")
    add("--seed", type=whole_number(0), default=0, metavar="N",
        help="of all random draws; the same seed gives the same weights, bit for bit (default: 0)")
    add("--dataset", choices=["auto", "mnist", "digits"], default="auto",
        help="mnist: 70,000 images of 28x28; digits: 1,797 of 8x8, which come with scikit-learn; "
        "auto: mnist, or digits where mnist cannot be reached (default: auto)")
    add("--output", type=Path, metavar="FOLDER",
        help="where to keep weights and pictures (default: runs/mnist or runs/digits)")
    add("--no-plots", dest="plots", action="store_false", help="draw no pictures")
    options = parser.parse_args(arguments)
    options.learning_rate = options.learning_rate or LEARNING_RATES[options.optimiser]
    return options


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)
    options = parse_options()
    try:
        return run(options)
    except KeyboardInterrupt:
        print("Interrupted.")
        return 128 + signal.SIGINT
    except (DataError, ImportError, OSError) as error:  # a DownloadError is an OSError
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
