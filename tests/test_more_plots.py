"""The confusion matrix and the images of weights; the other plots are in test_plots.py."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_np.plots import confusion_matrix, save_figure, training_curves, weight_images


def numbers(figure):
    """The counts that are written, by (row, column)."""
    return {tuple(map(int, text.get_position()[::-1])): int(text.get_text()) for text in figure.axes[0].texts}


def test_a_row_is_an_actual_class_and_a_column_a_predicted_one():
    figure = confusion_matrix(predicted=[0, 1, 1, 1, 2], actual=[0, 0, 0, 1, 2])
    axes = figure.axes[0]
    assert numbers(figure) == {(0, 0): 1, (0, 1): 2, (1, 1): 1, (2, 2): 1}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")
    np.testing.assert_allclose(axes.images[0].get_array(), [[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 1]])
    assert axes.get_title() == "Confusion matrix: 60.00% correct"


def test_classes_are_called_by_their_names_even_those_that_never_occur():
    figure = confusion_matrix([0], [0], names=["cat", "dog", "T-shirt/top"])
    for labels in (figure.axes[0].get_xticklabels(), figure.axes[0].get_yticklabels()):
        assert [label.get_text() for label in labels] == ["cat", "dog", "T-shirt/top"]


def test_numbers_are_readable_on_their_cell():
    figure = confusion_matrix([0] * 9 + [1, 1], [0] * 9 + [1, 0])
    colors = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_color() for t in figure.axes[0].texts}
    assert colors == {(0, 0): "white", (0, 1): "black", (1, 1): "white"}


def test_classes_may_be_of_two_integer_dtypes():
    figure = confusion_matrix(np.array([0, 1, 1], np.uint64), np.array([0, 0, 1], np.int64))
    counts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in figure.axes[0].texts}
    assert counts == {(0, 0): "1", (0, 1): "1", (1, 1): "1"}


@pytest.mark.parametrize(
    ("predicted", "actual", "names", "complaint"),
    [
        ([], [], None, r"n at least 1; got \(0,\) and \(0,\)"),
        ([1], [1, 2], None, r"got \(1,\) and \(2,\)"),
        ([1.0], [1.0], None, "must be integers from 0; got float64"),
        ([-1], [1], None, "must be integers from 0; got int64 from -1"),
        ([2], [1], ["a", "b"], "class 2 has no name; there are 2 names"),
    ],
)
def test_what_cannot_be_counted_is_an_error(predicted, actual, names, complaint):
    with pytest.raises(ValueError, match=complaint):
        confusion_matrix(predicted, actual, names)


def test_each_unit_is_an_image_on_a_scale_of_its_own_around_zero():
    weight = np.array([[1.0, -10, 0], [0, 5, 0], [0.5, 0, 0], [-0.25, 0, 0]])
    figure = weight_images(weight, shape=(2, 2), columns=2)
    (image,) = figure.axes[0].images
    sheet = np.asarray(image.get_array())
    assert image.get_clim() == (-1, 1)
    assert sheet.shape == (5, 5)
    np.testing.assert_allclose(sheet[:2, :2], [[1, 0], [0.5, -0.25]])
    np.testing.assert_allclose(sheet[:2, 3:], [[-1, 0.5], [0, 0]])
    np.testing.assert_array_equal(sheet[3:, :2], 0)  # a unit of zeros is white
    np.testing.assert_array_equal(sheet[2], 0)
    np.testing.assert_array_equal(sheet[:, 2], 0)


@pytest.mark.parametrize(
    ("shape", "options", "complaint"),
    [
        ((9, 4), {}, r"shape \(9, 4\) does not fit images of 2 by 2: it must be \(4, units\)"),
        ((4,), {}, r"shape \(4,\) does not fit"),
        ((4, 0), {}, r"shape \(4, 0\) does not fit"),
        ((4, 3), {"columns": 0}, "columns must be at least 1; got 0"),
    ],
)
def test_weights_of_another_size_are_an_error(shape, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        weight_images(np.ones(shape), shape=(2, 2), **options)


@pytest.mark.parametrize("make", [lambda: confusion_matrix([0, 1], [0, 1]), lambda: weight_images(np.eye(4), (2, 2))])
def test_they_are_pictures(make, tmp_path):
    save_figure(make(), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_long_curve_is_a_line_without_marks():
    for steps, marker in [(50, "o"), (51, "None")]:
        (axes,) = training_curves({"train_loss": [1.0] * steps}).axes
        assert axes.lines[0].get_marker() == marker
