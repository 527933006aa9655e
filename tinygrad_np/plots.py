"""Pictures of a training run. Needs matplotlib, but no screen: nothing here touches `pyplot`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_np._extras import need
from tinygrad_np._files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion_matrix", "prediction_grid", "save_figure", "training_curves", "weight_images"]

# Green and red that also differ in lightness, for readers who cannot tell the hues apart.
_CORRECT, _WRONG = "#2a9d4a", "#b3001b"
_SERIES = {"train": "#8a8a8a", "test": "#0b5fa5", "validation": "#0b5fa5"}


def training_curves(history: Mapping[str, Sequence[float]], title: str = "Training") -> Figure:
    """Draw loss and accuracy against epoch, side by side.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value an epoch for each name, such as ``train_loss``, ``test_loss``, ``train_accuracy``,
        ``test_accuracy``. A name ends in ``loss`` or in ``accuracy``, which says where it is drawn;
        accuracies are fractions from 0 to 1.
    title : str
        Above both.

    Returns
    -------
    matplotlib.figure.Figure
        For `save_figure`, or for a notebook to show.

    Raises
    ------
    ValueError
        If there is nothing to draw, or a name says neither loss nor accuracy.
    ImportError
        If matplotlib is not installed; names the extra that installs it.

    Examples
    --------
    >>> history = {"train_loss": [0.9, 0.4], "test_accuracy": [0.81, 0.9]}
    >>> save_figure(training_curves(history, title="digits"), "curves.png")  # doctest: +SKIP
    """
    panels: dict[str, dict[str, Sequence[float]]] = {"loss": {}, "accuracy": {}}
    for name, values in history.items():
        quantity = next((quantity for quantity in panels if name.endswith(quantity)), None)
        if quantity is None:
            raise ValueError(f"training_curves: {name!r} must end in 'loss' or 'accuracy'")
        if len(values):
            panels[quantity][name] = values
    panels = {quantity: series for quantity, series in panels.items() if series}
    if not panels:
        raise ValueError("training_curves: the history is empty; draw it after the first epoch")

    figure = _figure(width=5 * len(panels), height=3.8)
    figure.suptitle(title)
    for place, (quantity, series) in enumerate(panels.items(), start=1):
        _draw_panel(figure.add_subplot(1, len(panels), place), quantity, series)
    return figure


def prediction_grid(
    images: ArrayLike, predicted: ArrayLike, actual: ArrayLike, title: str = "Predictions", columns: int = 10
) -> Figure:
    """Draw images with what was predicted for each: correct in green, wrong in red.

    A wrong one names both classes, predicted and actual, so that colour is not needed to read the picture.

    Parameters
    ----------
    images : array_like, shape (n, height, width) or (n, height, width, 3)
        Grey, where the largest value is drawn black, or RGB as matplotlib takes it.
    predicted, actual : array_like, shape (n,)
        Class numbers or class names.
    title : str
        Above the grid.
    columns : int
        Images in a row.

    Returns
    -------
    matplotlib.figure.Figure
        For `save_figure`, or for a notebook to show.

    Raises
    ------
    ValueError
        If there is no image, if the shapes do not fit together, or `columns` is less than one.
    ImportError
        If matplotlib is not installed; names the extra that installs it.

    Examples
    --------
    >>> figure = prediction_grid(np.ones((2, 8, 8)), predicted=[7, 1], actual=[1, 1])  # doctest: +SKIP
    >>> [text.get_text() for text in figure.axes[0].texts]  # doctest: +SKIP
    ['7, not 1', '1']
    """
    images, predicted, actual = np.asarray(images), np.asarray(predicted), np.asarray(actual)
    if not (images.ndim == 3 or images.shape[3:] == (3,)) or 0 in images.shape:
        raise ValueError(
            f"prediction_grid: images must have shape (n, height, width) or (n, height, width, 3), "
            f"n at least 1; got {images.shape}"
        )
    if predicted.shape != (len(images),) or actual.shape != (len(images),):
        raise ValueError(
            f"prediction_grid: {len(images)} images need predicted and actual of shape ({len(images)},); "
            f"got {predicted.shape} and {actual.shape}"
        )
    if columns < 1:
        raise ValueError(f"prediction_grid: columns must be at least 1; got {columns}")

    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    # Lengths are in cells: each is one wide, with a caption above its image.
    side, caption = 0.84, 0.3
    cell = caption + side * images.shape[1] / images.shape[2] + 0.1
    figure = _figure(width=max(0.95 * columns, 5.0), height=0.95 * rows * cell + 0.7)
    figure.suptitle(title)
    # One set of axes for all: a set for each image takes seconds to lay out.
    axes = figure.add_subplot()
    axes.axis("off")
    look = {"cmap": "gray_r", "vmin": images.min(), "vmax": images.max(), "interpolation": "nearest"}
    for i in range(len(images)):
        top, middle = i // columns * cell, i % columns + 0.5
        box = (middle - side / 2, middle + side / 2, top + cell - 0.1, top + caption)
        correct = predicted[i] == actual[i]
        color = _CORRECT if correct else _WRONG
        words = f"{predicted[i]}" if correct else f"{predicted[i]}, not {actual[i]}"
        axes.imshow(images[i], extent=box, **look)
        axes.add_patch(_frame(box, color))
        axes.text(middle, top + caption / 2, words, color=color, ha="center", va="center", fontsize=9)
    axes.set(xlim=(0, columns), ylim=(rows * cell, 0), aspect="equal")
    _explain_colors(figure)
    return figure


def confusion_matrix(
    predicted: ArrayLike, actual: ArrayLike, names: Sequence[str] | None = None, title: str = "Confusion matrix"
) -> Figure:
    """Draw how often each class was taken for each other: a row for each actual class, a column for each prediction.

    The colour says which share of the row it is, so that rare classes are as readable as common ones, on a scale on
    which small shares show; the number is a count.

    Parameters
    ----------
    predicted, actual : array_like of int, shape (n,)
        Class numbers from 0.
    names : sequence of str, optional
        What to call the classes; by default their numbers.
    title : str
        Above the matrix.

    Returns
    -------
    matplotlib.figure.Figure
        For `save_figure`, or for a notebook to show.

    Raises
    ------
    ValueError
        If there is nothing to draw, if the shapes differ, or a class has no name.
    ImportError
        If matplotlib is not installed; names the extra that installs it.

    Examples
    --------
    >>> figure = confusion_matrix([0, 1, 1], actual=[0, 0, 1], names=["cat", "dog"])  # doctest: +SKIP
    """
    predicted, actual = np.asarray(predicted), np.asarray(actual)
    if predicted.shape != actual.shape or predicted.ndim != 1 or not predicted.size:
        raise ValueError(
            f"confusion_matrix: predicted and actual must be of one shape (n,), n at least 1; "
            f"got {predicted.shape} and {actual.shape}"
        )
    for classes in (predicted, actual):  # each on its own: together, int64 and uint64 are float64
        if classes.dtype.kind not in "iu" or classes.min() < 0:
            raise ValueError(
                f"confusion_matrix: classes must be integers from 0; got {classes.dtype} from {classes.min()}"
            )
    largest = max(int(predicted.max()), int(actual.max()))
    names = list(map(str, range(largest + 1))) if names is None else list(names)
    if largest >= len(names):
        raise ValueError(f"confusion_matrix: class {largest} has no name; there are {len(names)} names")
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (actual.astype(np.intp), predicted.astype(np.intp)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    figure = _figure(width=0.62 * len(names) + 2.4, height=0.55 * len(names) + 1.8)
    axes = figure.add_subplot()
    norm = need("matplotlib.colors", "Drawing a figure").PowerNorm(0.4, vmin=0, vmax=1)
    shown = axes.imshow(shares, cmap="Blues", norm=norm)
    ticks = range(len(names))
    axes.set_xticks(ticks, names)
    if max(map(len, names)) > 3:
        for label in axes.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="actual", title=f"{title}: {np.mean(predicted == actual):.2%} correct")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for row, column in zip(*np.nonzero(counts), strict=True):
        color = "white" if norm(shares[row, column]) > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]}", color=color, ha="center", va="center", fontsize=9)
    bar = figure.colorbar(shown, ax=axes, label="share of the actual class", fraction=0.045, pad=0.03)
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(need("matplotlib.ticker", "Drawing a figure").PercentFormatter(xmax=1))
    bar.outline.set_visible(False)
    return figure


def weight_images(
    weight: ArrayLike, shape: tuple[int, int], title: str = "Weights of the first layer", columns: int = 16
) -> Figure:
    """Draw what each unit of a dense layer looks for: its weights as an image, red where positive and blue where not.

    Each image has a scale of its own, symmetric around zero, which is white: it shows the pattern, not its strength.

    Parameters
    ----------
    weight : array_like, shape (height * width, units)
        Such as ``model.layers[0].weight.data``.
    shape : tuple of two ints
        Height and width of the input.
    title : str
        Above the grid.
    columns : int
        Images in a row.

    Returns
    -------
    matplotlib.figure.Figure
        For `save_figure`, or for a notebook to show.

    Raises
    ------
    ValueError
        If the weights are not as many as the image has pixels, or `columns` is less than one.
    ImportError
        If matplotlib is not installed; names the extra that installs it.

    Examples
    --------
    >>> figure = weight_images(np.eye(4), shape=(2, 2))  # doctest: +SKIP
    """
    weight, (height, width) = np.asarray(weight), shape
    if weight.ndim != 2 or len(weight) != height * width or not weight.shape[1]:
        raise ValueError(
            f"weight_images: a weight of shape {weight.shape} does not fit images of {height} by {width}: "
            f"it must be ({height * width}, units)"
        )
    if columns < 1:
        raise ValueError(f"weight_images: columns must be at least 1; got {columns}")
    units = weight.T / np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny)[:, None]
    columns = min(columns, len(units))
    rows = -(-len(units) // columns)
    gap = max(1, width // 14)
    # One picture with white between the images: a set of axes for each takes seconds to lay out.
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap))
    for i, unit in enumerate(units):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = unit.reshape(height, width)

    across = max(0.6 * columns, 5.0)
    figure = _figure(width=across, height=across * sheet.shape[0] / sheet.shape[1] + 0.9)
    figure.suptitle(title)
    figure.supxlabel("red: positive, blue: negative; each unit on a scale of its own", fontsize=9)
    axes = figure.add_subplot()
    axes.axis("off")
    axes.imshow(sheet, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    return figure


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure to a file, wholly or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        As the functions of this module return it.
    path : path-like
        The suffix says the format: ``.png``, ``.svg``, ``.pdf``, ...

    Raises
    ------
    ValueError
        If the suffix names no format that matplotlib knows.
    OSError
        If the file cannot be written; what was there before is untouched.

    Examples
    --------
    >>> save_figure(training_curves({"test_accuracy": [0.5, 0.9]}), "curves.svg")  # doctest: +SKIP
    """
    suffix = Path(path).suffix.removeprefix(".")
    known = figure.canvas.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"save_figure: {os.fspath(path)} must end in a format: .{', .'.join(sorted(known))}")
    with atomic_write(path) as file:
        figure.savefig(file, format=suffix, dpi=150)


def _figure(width: float, height: float) -> Figure:
    figure: Figure = need("matplotlib.figure", "Drawing a figure").Figure(
        figsize=(width, height), layout="constrained"
    )
    return figure


def _draw_panel(axes: Axes, quantity: str, series: Mapping[str, Sequence[float]]) -> None:
    ticker = need("matplotlib.ticker", "Drawing a figure")
    for name, values in series.items():
        epochs = range(1, len(values) + 1)
        color = _SERIES.get(name.partition("_")[0])  # None: matplotlib's next
        marker = "o" if len(values) <= 50 else None  # more would hide the line
        axes.plot(epochs, values, marker=marker, markersize=4, label=name.replace("_", " "), color=color)
    longest = max(map(len, series.values()))
    axes.set(xlabel="epoch", ylabel=quantity, xlim=(0.5, longest + 0.5))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    if quantity == "accuracy":
        axes.yaxis.set_major_formatter(ticker.PercentFormatter(xmax=1))
        axes.legend(loc="lower right", frameon=False)
    else:
        if not any(value < 0 for values in series.values() for value in values):
            axes.set_ylim(bottom=0)
        axes.legend(loc="upper right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _frame(box: tuple[float, float, float, float], color: str) -> Any:
    left, right, bottom, top = box
    patches = need("matplotlib.patches", "Drawing a figure")
    return patches.Rectangle((left, top), right - left, bottom - top, fill=False, color=color, linewidth=1.5)


def _explain_colors(figure: Figure) -> None:
    patches = need("matplotlib.patches", "Drawing a figure")
    figure.legend(
        handles=[
            patches.Patch(color=_CORRECT, label="correct"),
            patches.Patch(color=_WRONG, label="wrong: predicted, not actual"),
        ],
        loc="outside lower center", ncols=2, frameon=False,
    )  # fmt: skip
