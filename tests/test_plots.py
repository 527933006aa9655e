from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tinygrad_np.plots import prediction_grid, save_figure, training_curves

HISTORY = {
    "train_loss": [0.9, 0.5, 0.3],
    "test_loss": [0.8, 0.6, 0.5],
    "train_accuracy": [0.7, 0.8, 0.9],
    "test_accuracy": [0.75, 0.8, 0.82],
}


def is_green(color) -> bool:
    red, green, blue = to_rgb(color)
    return green > red and green > blue


def is_red(color) -> bool:
    red, green, blue = to_rgb(color)
    return red > green and red > blue


def test_curves_show_every_series_against_its_epoch():
    figure = training_curves(HISTORY, title="digits: 82 %")
    loss, accuracy = figure.axes
    assert figure.get_suptitle() == "digits: 82 %"
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy")
    drawn = {line.get_label(): line.get_xydata().tolist() for axes in figure.axes for line in axes.lines}
    expected = {
        name.replace("_", " "): [[i, value] for i, value in enumerate(values, 1)] for name, values in HISTORY.items()
    }
    assert drawn == expected
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["train loss", "test loss"]


def test_curves_after_one_epoch_are_a_point_at_one():
    (axes,) = training_curves({"loss": [0.5]}).axes
    axes.figure.draw_without_rendering()
    shown = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    assert shown == [1]
    assert axes.lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("losses", "from_zero"), [([3, 2], True), ([3, np.nan, 2], True), ([-3, -5], False), ([1, -1], False)]
)
def test_losses_are_shown_from_zero_unless_some_are_negative(losses, from_zero):
    (axes,) = training_curves({"train_loss": losses}).axes
    bottom, top = axes.get_ylim()
    assert (bottom == 0) == from_zero
    assert bottom <= np.nanmin(losses)
    assert top >= np.nanmax(losses)


def test_accuracy_is_shown_in_percent():
    (axes,) = training_curves({"validation_accuracy": [0.5, 0.9]}).axes
    axes.figure.draw_without_rendering()
    assert all(label.get_text().endswith("%") for label in axes.get_yticklabels())


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ({}, "the history is empty"),
        ({"train_loss": []}, "the history is empty"),
        ({"seconds": [1.0]}, "'seconds' must end in 'loss' or 'accuracy'"),
    ],
)
def test_curves_of_nothing_are_an_error(history, complaint):
    with pytest.raises(ValueError, match=complaint):
        training_curves(history)


def test_the_grid_marks_right_and_wrong():
    images = np.random.default_rng(0).random((13, 6, 4))
    actual = np.arange(13) % 10
    predicted = actual.copy()
    predicted[[2, 11]] = 7
    figure = prediction_grid(images, predicted, actual, title="digits", columns=5)
    (axes,) = figure.axes
    assert figure.get_suptitle() == "digits"
    assert len(axes.images) == len(axes.texts) == len(axes.patches) == 13
    for i, (text, frame) in enumerate(zip(axes.texts, axes.patches, strict=True)):
        wrong = i in (2, 11)
        assert text.get_text() == (f"7, not {actual[i]}" if wrong else str(actual[i]))
        assert all(map(is_red if wrong else is_green, [text.get_color(), frame.get_edgecolor()]))
    legend = {text.get_text(): patch for text, patch in zip(*legend_of(figure), strict=True)}
    assert is_green(legend["correct"].get_facecolor())
    assert is_red(legend["wrong: predicted, not actual"].get_facecolor())


def legend_of(figure):
    (legend,) = figure.legends
    return legend.get_texts(), legend.get_patches()


@pytest.mark.parametrize("shape", [(7, 8, 8), (3, 4, 12), (25, 12, 4), (2, 5, 5, 3), (1, 1, 1)])
def test_images_keep_their_proportions_and_do_not_overlap(shape):
    labels = np.zeros(shape[0], int)
    (axes,) = prediction_grid(np.random.default_rng(0).random(shape), labels, labels).axes
    boxes = [sorted_extent(image.get_extent()) for image in axes.images]
    for left, right, top, bottom in boxes:
        assert (bottom - top) / (right - left) == pytest.approx(shape[1] / shape[2])
        assert min(axes.get_xlim()) < left < right < max(axes.get_xlim())
        assert min(axes.get_ylim()) < top < bottom < max(axes.get_ylim())
    for i, (left, right, top, bottom) in enumerate(boxes):
        assert all(right < x0 or x1 < left or bottom < y0 or y1 < top for x0, x1, y0, y1 in boxes[i + 1 :])
    assert axes.get_aspect() == 1


def sorted_extent(extent):
    left, right, bottom, top = extent
    return left, right, top, bottom


def test_all_images_share_one_scale_of_grey():
    images = np.stack([np.full((3, 3), 0.2), np.linspace(0, 1, 9).reshape(3, 3)])
    (axes,) = prediction_grid(images, [0, 0], [0, 0]).axes
    assert {image.get_clim() for image in axes.images} == {(0.0, 1.0)}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((np.ones((0, 8, 8)), [], []), r"n at least 1; got \(0, 8, 8\)"),
        ((np.ones((3, 64)), [1] * 3, [1] * 3), r"\(n, height, width\).* got \(3, 64\)"),
        ((np.ones((2, 8, 8, 4)), [1] * 2, [1] * 2), r"got \(2, 8, 8, 4\)"),
        ((np.ones((2, 8, 8)), [1], [1, 2]), r"2 images need .* shape \(2,\); got \(1,\) and \(2,\)"),
        ((np.ones((2, 8, 8)), [1, 2], [[1, 2]]), r"got \(2,\) and \(1, 2\)"),
        ((np.ones((1, 8, 8)), [1], [1], "title", 0), "columns must be at least 1; got 0"),
    ],
)
def test_a_grid_of_what_does_not_fit_is_an_error(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        prediction_grid(*arguments)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_says_the_format(tmp_path, suffix, start):
    path = tmp_path / f"figure{suffix}"
    save_figure(training_curves(HISTORY), path)
    assert path.read_bytes().startswith(start)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["figure", "figure.docx"])
def test_an_unknown_format_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name} must end in a format: .*\.png"):
        save_figure(training_curves(HISTORY), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_failure_while_drawing_leaves_the_old_file(tmp_path, monkeypatch):
    path, figure = tmp_path / "figure.png", training_curves(HISTORY)
    path.write_bytes(b"old")

    def fail(file, **kwargs):
        file.write(b"half a picture")
        raise RuntimeError("no font")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(RuntimeError, match="no font"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["figure.png"]


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'matplotlib: pip install "tinygrad_np\[examples\]"'):
        training_curves(HISTORY)


def test_importing_needs_numpy_only_and_drawing_no_screen(tmp_path):
    program = f"""
import sys
import tinygrad_np.data, tinygrad_np.plots, tinygrad_np.saving
others = {{"matplotlib", "sklearn", "pooch", "tqdm", "requests"}} & set(sys.modules)
assert not others, others
from tinygrad_np.plots import save_figure, training_curves
save_figure(training_curves({HISTORY!r}), {str(tmp_path / "figure.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
