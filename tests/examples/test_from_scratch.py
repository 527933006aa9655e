"""The examples s0 to s4, the recipe and the table: each in a short form, and the derivation beside the engine."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from real_mnist import FOLDER, needs_mnist

import tinygrad_np as tg
from tinygrad_np.data import digits, mnist, one_hot, read_csv

FILES = {
    "s0_by_hand": {"curve.png", "weights.png"},
    "s1_kaggle_csv": {"train.csv"},
    "s2_xor": {"curve.png"},
    "s2_mnist": {"curves.png", "predictions.png"},
    "s3_every_epoch": {"curves.png"},
    "s4_any_depth": {"predictions.png"},
    "recipe": {"curves.png", "confusion.png"},
}


# ------------------------------------------------------------------------------------------------- short forms of each


@pytest.mark.parametrize(
    ("name", "effort", "least"),
    [
        ("s0_by_hand", 0.5, {"train": 0.85, "test": 0.8}),
        ("s1_kaggle_csv", 0.6, {"train": 0.7, "validation": 0.6, "test": 0.7}),
        ("s2_xor", 0.5, {"train": 1.0}),
        ("s2_mnist", 0.6, {"train": 0.3, "test": 0.4}),
        ("s3_every_epoch", 0.5, {"train": 0.8, "test": 0.75}),
        ("s4_any_depth", 0.5, {"64-10-10 test": 0.7, "64-100-100-10 test": 0.85}),
        ("recipe", 0.4, {"train": 0.85, "test": 0.9}),
    ],
)
def test_it_learns_the_digits_and_leaves_its_files(load, name, effort, least, tmp_path):
    shared, example = load("shared"), load(name)
    measured = shared.measure(example.run, digits(), tmp_path, effort)
    assert measured.pop("seconds") > 0
    assert measured.keys() == least.keys()
    for part, value in measured.items():
        assert least[part] <= value <= 1, part
    assert {path.name for path in tmp_path.iterdir()} == FILES[name]
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_measures_the_same(load, tmp_path):
    shared, example = load("shared"), load("recipe")
    first, second = (shared.measure(example.run, digits(), tmp_path, 0.1, seed=3) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_command_line_says_what_was_measured(load, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["s3_every_epoch.py", "--dataset", "digits", "--effort", "0.1",
                                      "--output", str(tmp_path)])  # fmt: skip
    assert load("shared").main(load("s3_every_epoch").run, "Two layers") == 0
    assert "scikit-learn digits (8x8): train accuracy" in capsys.readouterr().out


def test_the_csv_is_what_kaggle_writes(load, tmp_path):
    load("shared").measure(load("s1_kaggle_csv").run, digits(), tmp_path, 0.01)
    assert (tmp_path / "train.csv").read_text().startswith("label,pixel0,pixel1,")
    images, labels = read_csv(tmp_path / "train.csv")
    np.testing.assert_array_equal(images, digits().train_images)
    np.testing.assert_array_equal(labels, digits().train_labels)


def test_the_first_weights_of_s1_are_uniform_within_a_half(load):
    weight = load("s1_kaggle_csv").build(784).layers[0].weight.data
    assert (weight.shape, weight.dtype) == ((784, 10), np.float32)
    assert -0.5 <= weight.min() < -0.49 < 0.49 < weight.max() <= 0.5
    assert weight.std() == pytest.approx(1 / np.sqrt(12), rel=0.05)


# --------------------------------------------------------------------------------------------------- by hand and engine


def widths(model):
    return [layer.weight.shape for layer in model.layers if isinstance(layer, tg.nn.Dense)]


NETWORKS = {
    "s0_by_hand": (lambda example: example.build(784), [(784, 256), (256, 10)]),
    "s1_kaggle_csv": (lambda example: example.build(784), [(784, 10), (10, 10)]),
    "s2_xor": (lambda example: example.build(), [(2, 8), (8, 1)]),
    "s2_mnist": (lambda example: example.build(784), [(784, 128), (128, 10)]),
    "s3_every_epoch": (lambda example: example.build(784), [(784, 128), (128, 10)]),
    "s4_any_depth": (lambda example: example.build([784, 100, 100, 10]), [(784, 100), (100, 100), (100, 10)]),
    "recipe": (lambda example: example.build(784), [(784, 512), (512, 256), (256, 10)]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_derivation_by_hand_agrees_with_the_engine_to_float_precision(load, name, dtype):
    build, shapes = NETWORKS[name]
    model = build(load(name))
    assert widths(model) == shapes
    dense = [layer for layer in model.layers if isinstance(layer, tg.nn.Dense)]
    for layer in dense:
        layer.weight = tg.tensor(layer.weight.data, requires_grad=True, dtype=dtype)
        layer.bias = tg.tensor(0.1 * np.ones(layer.bias.shape), requires_grad=True, dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.random((32, shapes[0][0]), dtype)
    if name == "s2_xor":
        targets = rng.integers(0, 2, (32, 1)).astype(dtype)
        loss = tg.nn.binary_cross_entropy(model(x), targets)
    else:
        labels = rng.integers(0, 10, 32)
        targets = one_hot(labels, 10, dtype)
        loss = tg.nn.cross_entropy(model(x), labels)
    loss.backward()

    by_hand = load("s0_by_hand").gradients_by_hand
    weights, biases = [layer.weight.data for layer in dense], [layer.bias.data for layer in dense]
    hidden = "sigmoid" if name == "s2_xor" else "relu"
    for found, expected in zip(
        [*(layer.weight.grad for layer in dense), *(layer.bias.grad for layer in dense)],
        [gradient for gradients in by_hand(x, targets, weights, biases, hidden) for gradient in gradients],
        strict=True,
    ):
        assert found.dtype == expected.dtype == dtype
        largest = np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=50 * np.finfo(dtype).eps * largest)


# ----------------------------------------------------------------------------------------------------------- the table


def test_the_table_has_a_row_for_each_example(load, monkeypatch, capsys):
    compare = load("compare")
    monkeypatch.setattr(sys, "argv", ["compare.py", "--dataset", "digits", "--effort", "0.02"])
    assert compare.main() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(compare.ROWS)
    assert {row.module for row in compare.ROWS} == set(FILES)
    assert len({line.count("|") for line in lines}) == 1


def test_only_mnist_in_full_is_written_down(load, monkeypatch, capsys):
    compare = load("compare")
    before = compare.README.read_bytes()
    monkeypatch.setattr(sys, "argv", ["compare.py", "--dataset", "digits", "--write"])
    with pytest.raises(SystemExit):
        compare.main()
    assert "only MNIST with all iterations" in capsys.readouterr().err
    assert compare.README.read_bytes() == before


def test_writing_replaces_the_table_and_nothing_else(load, monkeypatch, tmp_path):
    compare = load("compare")
    monkeypatch.setattr(compare, "README", tmp_path / "README.md")
    monkeypatch.setattr(compare, "mnist", digits)
    monkeypatch.setattr(compare, "line", lambda row, *_: f"| {row.module} |")
    monkeypatch.setattr(sys, "argv", ["compare.py", "--write"])
    (tmp_path / "README.md").write_text(f"# Examples\n{compare.BEGIN}\nold\n{compare.END}\nafter\n")
    assert compare.main() == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith(f"# Examples\n{compare.BEGIN}\n\n| project |")
    assert text.endswith(f"| recipe |\n\n{compare.END}\nafter\n")
    assert "old" not in text


@needs_mnist
def test_the_recipe_is_well_on_its_way_after_three_epochs_of_real_mnist(load, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_NP_DATA", FOLDER)
    measured = load("shared").measure(load("recipe").run, mnist(), tmp_path, effort=0.15)
    assert measured["test"] >= 0.98
