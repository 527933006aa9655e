from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import nn, optim
from tinygrad_np.data import Loader, RandomShift
from tinygrad_np.saving import CheckpointError, save_checkpoint
from tinygrad_np.training import (
    EarlyStopping,
    History,
    TrainingError,
    accuracy,
    evaluate,
    fit,
    report,
    summary,
)

METRICS = {"accuracy": accuracy}


def clouds(rows=60, seed=0):
    """Points around three corners, and the number of the corner: easy to learn."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return (np.eye(3)[y] + rng.normal(0, 0.3, (rows, 3))).astype(np.float32), y


def small_model():
    return nn.Sequential(nn.Dense(3, 8), nn.ReLU(), nn.Dense(8, 3))


def one_epoch(model):
    """The least that `fit` needs to know besides the data."""
    return {"loss": nn.cross_entropy, "optimiser": optim.SGD(model.parameters()), "epochs": 1}


def weights(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


class Noise(nn.Module):
    """Noise in training only, as a layer that draws from the library's generator."""

    def forward(self, x):
        return x + 0.1 * tg.random.uniform(x.shape, x.dtype) if self.training else x


# --------------------------------------------------------------------------------------------------------------- fit


def test_it_is_the_loop_that_one_would_write():
    x, y = clouds()
    tg.manual_seed(1)
    model = small_model()
    optimiser = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = optim.CosineDecay(optimiser, steps=20)
    losses = []
    loader = Loader(x, y, batch_size=16, shuffle=True, seed=2)
    for _ in range(3):
        total = 0.0
        for part_x, part_y in loader:
            loss = nn.cross_entropy(model(part_x), part_y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(part_y)
        losses.append(total / len(y))
    expected = weights(model)

    tg.manual_seed(1)
    model = small_model()
    optimiser = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    history = fit(
        model,
        Loader(x, y, batch_size=16, shuffle=True, seed=2),
        loss=nn.cross_entropy,
        optimiser=optimiser,
        schedule=optim.CosineDecay(optimiser, steps=20),
        epochs=3,
    )
    assert weights(model) == expected
    assert history == {"train_loss": losses}


def test_it_learns_and_measures():
    model = small_model()
    history = fit(
        model,
        clouds(),
        validation=clouds(seed=1),
        loss=nn.cross_entropy,
        optimiser=optim.Adam(model.parameters(), lr=0.02),
        epochs=15,
        metrics={**METRICS, "error": lambda prediction, target: 1 - accuracy(prediction, target)},
    )
    names = [f"{part}_{name}" for part in ("train", "validation") for name in ("loss", "accuracy", "error")]
    assert list(history) == names
    assert all(len(values) == 15 for values in history.values())
    assert history["validation_loss"][-1] < history["validation_loss"][0] / 2
    assert history["validation_accuracy"][-1] > 0.9
    np.testing.assert_allclose(np.add(history["train_accuracy"], history["train_error"]), 1)
    x, y = clouds(seed=1)
    assert history["validation_accuracy"][-1] == pytest.approx(np.mean(model(x).data.argmax(axis=1) == y))


def test_training_is_for_the_steps_only():
    modes = {"steps": set(), "validation": set()}

    class Watched(nn.Dense):
        def forward(self, x):
            modes["steps" if len(x) == 10 else "validation"].add((self.training, tg.graph.recording.get()))
            return super().forward(x)

    model = nn.Sequential(Watched(3, 3)).eval()
    fit(
        model,
        clouds(20),
        validation=clouds(7),
        batch_size=10,
        loss=nn.cross_entropy,
        optimiser=optim.SGD(model.parameters()),
        epochs=2,
    )
    assert modes == {"steps": {(True, True)}, "validation": {(False, False)}}
    assert not model.training


def test_a_plateau_of_the_validation_loss_lowers_the_learning_rate():
    model = nn.Dense(3, 3)
    optimiser = optim.SGD(model.parameters(), lr=1e-12)
    schedule = optim.ReduceOnPlateau(optimiser, factor=0.5, patience=1)
    fit(
        model, clouds(), validation=clouds(), loss=nn.cross_entropy, optimiser=optimiser, schedule=schedule, epochs=5
    )
    assert optimiser.lr == 1e-12 / 4


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        ("inputs", r"epoch 1/3, batch 2: the loss is nan, for 1 of the 30 inputs are NaN or infinite"),
        ("rate", r"epoch \d/3, batch \d: the loss is (nan|inf); the data are finite, so try a smaller learning rate"),
    ],
)
def test_a_loss_that_is_not_finite_is_blamed_on_something_before_it_spoils_the_weights(spoilt, complaint):
    x, y = clouds(30)
    if spoilt == "inputs":
        x[15, 1] = np.nan
    model = small_model()
    optimiser = optim.SGD(model.parameters(), lr=1e30 if spoilt == "rate" else 0.1)
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match=complaint):
        fit(model, Loader(x, y, batch_size=10), loss=nn.cross_entropy, optimiser=optimiser, epochs=3)
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        ("inputs", "epoch 1/3, validation: the loss is nan, for 1 of the 90 inputs are NaN or infinite"),
        ("rate", "epoch 1/3, validation: the loss is (nan|inf); the data are finite, so try a smaller learning rate"),
    ],
)
def test_a_validation_loss_that_is_not_finite_is_no_good_end_of_a_run(spoilt, complaint, tmp_path):
    """One step an epoch: the train loss is still that from before it."""
    x, y = clouds(30)
    held_out = x.copy()
    if spoilt == "inputs":
        held_out[15, 1] = np.nan
    model = small_model()
    options = {
        "validation": (held_out, y),
        "loss": nn.cross_entropy,
        "optimiser": optim.SGD(model.parameters(), lr=1e30 if spoilt == "rate" else 0.1),
        "checkpoint": tmp_path / "run.npz",
    }
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match=complaint):
        fit(model, (x, y), epochs=3, batch_size=30, **options)
    assert not (tmp_path / "run.npz").exists()


def test_a_loss_that_is_not_finite_leaves_the_whole_state_as_it_was_before_the_batch():
    class Counting(nn.Module):
        def __init__(self):
            self.calls = tg.tensor(0)

        def forward(self, x):
            self.calls += 1
            return x

    def trained(x, y):
        tg.manual_seed(1)
        model = nn.Sequential(Counting(), nn.Dense(3, 8), nn.BatchNorm(8), nn.Dense(8, 3))
        optimiser = optim.SGD(model.parameters(), lr=0.1)
        try:
            fit(model, Loader(x, y, batch_size=10), loss=nn.cross_entropy, optimiser=optimiser, epochs=1)
        finally:
            states.append(weights(model))

    states = []
    x, y = clouds(30)
    trained(x[:20], y[:20])
    x[25, 1] = np.nan
    with np.errstate(all="ignore"), pytest.raises(TrainingError, match="batch 3"):
        trained(x, y)
    assert states[0] == states[1]


def test_no_metric_can_take_the_name_of_the_loss():
    model, metrics = small_model(), {"loss": accuracy}
    with pytest.raises(ValueError, match=r"fit: metrics\['loss'\] would be added to the loss: give it another name"):
        fit(model, clouds(), metrics=metrics, **one_epoch(model))
    with pytest.raises(ValueError, match=r"evaluate: metrics\['loss'\]"):
        evaluate(model, clouds(), loss=nn.cross_entropy, metrics=metrics)
    assert evaluate(model, clouds(), metrics=metrics).keys() == {"loss"}


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (np.zeros((60, 3)), "a ndarray"),
        ((np.zeros((60, 3)),), "a tuple of 1"),
        (Loader(np.zeros((60, 3)), batch_size=9), "a Loader of 1"),
        (Loader(*3 * [np.zeros((60, 3))], batch_size=9), "a Loader of 3"),
    ],
)
def test_data_that_are_not_inputs_and_targets_are_an_error_before_anything_is_trained(data, given):
    model = small_model()
    before = weights(model)
    options = one_epoch(model)
    complaint = rf"must be inputs and targets, as \(x, y\) or as a Loader\(x, y\), not {given}$"
    with pytest.raises(TypeError, match=f"fit: data {complaint}"):
        fit(model, data, **options)
    with pytest.raises(TypeError, match=f"fit: validation {complaint}"):
        fit(model, clouds(), validation=data, **options)
    with pytest.raises(TypeError, match=f"evaluate: data {complaint}"):
        evaluate(model, data, metrics=METRICS)
    assert weights(model) == before


def test_a_checkpoint_that_has_no_folder_is_an_error_before_anything_is_trained(tmp_path):
    model = small_model()
    before = weights(model)
    with pytest.raises(FileNotFoundError, match=r"cannot write .*run\.npz: there is no folder .*nowhere"):
        fit(model, clouds(), checkpoint=tmp_path / "nowhere" / "run.npz", **one_epoch(model))
    assert weights(model) == before


def test_arrays_that_do_not_fit_together_are_an_error():
    model = small_model()
    options = one_epoch(model)
    with pytest.raises(ValueError, match=r"same length; got shapes \[\(5, 3\), \(4,\)\]"):
        fit(model, (np.zeros((5, 3), np.float32), np.zeros(4, int)), **options)
    with pytest.raises(ValueError, match="at least one row"):
        fit(model, (np.zeros((0, 3), np.float32), np.zeros(0, int)), **options)
    with pytest.raises(ValueError, match=r"layers\.0: Dense\(3, 8\)"):
        fit(model, (np.zeros((5, 4), np.float32), np.zeros(5, int)), **options)
    with pytest.raises(ValueError, match="labels must be from 0 to 2"):
        fit(model, (np.zeros((5, 3), np.float32), np.full(5, 3)), **options)


@pytest.mark.parametrize("schedule", ["cosine", optim.StepDecay, lambda epoch: 0.1, 0.1, optim.SGD])
def test_what_is_no_schedule_is_an_error_and_not_ignored(schedule):
    model = small_model()
    with pytest.raises(TypeError, match=r"fit: schedule must be an optim\.Schedule or .*, not ('cosine'|<|0\.1)"):
        fit(model, clouds(), schedule=schedule, **one_epoch(model))


def test_a_schedule_of_another_optimiser_is_an_error():
    model = small_model()
    schedule = optim.StepDecay(optim.SGD(model.parameters()), every=2)
    with pytest.raises(ValueError, match="fit: the StepDecay was made with another optimiser: make it with this one"):
        fit(model, clouds(), schedule=schedule, **one_epoch(model))


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"epochs": 2.5}, TypeError, r"fit: epochs must be an integer, not 2\.5"),
        ({"epochs": "3"}, TypeError, "fit: epochs must be an integer, not '3'"),
        ({"epochs": -1}, ValueError, "fit: epochs must be at least 0, not -1"),
        ({"callbacks": report}, TypeError, r"callbacks must be a list .* <function report .*: write \[\.\.\.\]"),
        ({"callbacks": [EarlyStopping]}, TypeError, "the callback <class .*EarlyStopping'> is a class: make one"),
        ({"callbacks": [3]}, TypeError, r"fit: the callback 3 cannot be called as callback\(run\)"),
        ({"metrics": [accuracy]}, TypeError, r"metrics must be functions by name, .*: accuracy\}, not \[<function"),
        ({"metrics": accuracy}, TypeError, "metrics must be functions by name, .* not <function accuracy"),
        ({"metrics": {"a": 0.5}}, TypeError, r"metrics must be functions by name, .* not 'a': 0\.5"),
        ({"metrics": {"a": lambda p, y: None}}, TypeError, r"metrics\['a'\]\(.* must return one real number, not None"),
        ({"metrics": {"a": lambda p, y: y}}, TypeError, r"metrics\['a'\]\(.* must return one real number, not array"),
        ({"loss": lambda p, y: None}, TypeError, "fit: loss.* must return a tensor .* from, not None: leave out"),
        ({"loss": lambda p, y: 0.5}, TypeError, r"must return a tensor to go backward from, not 0\.5: leave out float"),
        ({"loss": lambda p, y: nn.cross_entropy(p.data, y)}, TypeError, r"go backward from, not array\("),
        ({"loss": lambda p, y: p}, ValueError, r"return one number, not a tensor of shape \(32, 3\): take the mean"),
    ],
)
def test_what_fit_cannot_take_is_an_error_that_says_what_to_write(options, error, complaint):
    model = small_model()
    with pytest.raises(error, match=complaint):
        fit(model, clouds(), **{**one_epoch(model), **options})


def test_what_evaluate_cannot_take_is_an_error_too():
    model = small_model()
    with pytest.raises(TypeError, match="evaluate: metrics must be functions by name"):
        evaluate(model, clouds(), metrics=[accuracy])
    with pytest.raises(TypeError, match=r"evaluate: loss\(.* must return one real number, not None"):
        evaluate(model, clouds(), loss=lambda prediction, target: None)
    assert evaluate(model, clouds(), loss=lambda prediction, target: 0.5) == {"loss": 0.5}


def test_callbacks_may_come_from_a_generator():
    seen, model = [], small_model()
    fit(model, clouds(), callbacks=(lambda run: seen.append(run.epoch) for _ in range(2)), **one_epoch(model))
    assert seen == [1, 1]


def test_no_epochs_are_none():
    model = small_model()
    assert fit(model, clouds(), **{**one_epoch(model), "epochs": 0}) == {}


def test_an_optimiser_of_another_model_is_an_error():
    model = small_model()
    with pytest.raises(ValueError, match=r"none of the optimiser's parameters is the model's.*SGD\(model\.parameters"):
        fit(model, clouds(), **one_epoch(small_model()))
    with pytest.raises(TypeError, match=r"fit: optimiser must be one, such as .*, not <class .*SGD'>"):
        fit(model, clouds(), **{**one_epoch(model), "optimiser": optim.SGD})


def test_a_part_of_a_model_can_be_trained():
    model = small_model()
    before = weights(model)
    fit(model, clouds(), loss=nn.cross_entropy, optimiser=optim.SGD([model.layers[2].bias]), epochs=1)
    assert [name for name, array in weights(model).items() if array != before[name]] == ["layers.2.bias"]


@pytest.mark.parametrize("there", [True, False])
def test_the_bar_is_for_who_has_tqdm_and_watches(there, monkeypatch, capsys):
    if not there:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model = small_model()
    fit(model, clouds(), metrics=METRICS, **one_epoch(model))
    shown = capsys.readouterr().err
    assert ("epoch 1/1" in shown) == there


# --------------------------------------------------------------------------------------------------------- callbacks


def test_callbacks_see_each_epoch_and_can_stop():
    seen = []

    def watch(run):
        seen.append((run.epoch, run.epochs, len(run.history["train_loss"]), run.model is model))
        if run.epoch == 3:
            run.stop()

    model = small_model()
    fit(
        model,
        clouds(),
        loss=nn.cross_entropy,
        optimiser=optim.SGD(model.parameters()),
        epochs=9,
        callbacks=[watch],
    )
    assert seen == [(1, 9, 1, True), (2, 9, 2, True), (3, 9, 3, True)]


def test_a_report_is_a_line_an_epoch(capsys):
    model = small_model()
    options = {"optimiser": optim.SGD(model.parameters()), "epochs": 2, "metrics": METRICS, "callbacks": [report]}
    history = fit(model, clouds(), loss=nn.cross_entropy, **options)
    assert capsys.readouterr().out.splitlines() == [
        f"epoch {i + 1}/2: train loss {history['train_loss'][i]:.4g}, "
        f"train accuracy {history['train_accuracy'][i]:.2%}"
        for i in range(2)
    ]


@pytest.mark.parametrize(("monitor", "sign"), [("validation_score_loss", -1), ("validation_score", 1)])
def test_early_stopping_gives_back_the_best_weights(monitor, sign):
    """The score is best in the fourth epoch, and better by too little in the sixth."""
    scores = iter([1.0, 3.0, 2.0, 5.0, 4.0, 5.05, 1.0, 9.0])
    model, kept = small_model(), []
    stopping = EarlyStopping(monitor, patience=3, least=0.1)
    history = fit(
        model,
        clouds(),
        validation=clouds(9),
        loss=nn.cross_entropy,
        metrics={monitor.removeprefix("validation_"): lambda *_: 0.0 if model.training else sign * next(scores)},
        optimiser=optim.SGD(model.parameters(), lr=0.1),
        epochs=8,
        callbacks=[stopping, lambda run: kept.append(weights(run.model))],
    )
    assert len(history[monitor]) == 7
    assert (stopping.epoch, stopping.best) == (4, sign * 5.0)
    assert weights(model) == kept[3] != kept[-1]


def stopped_by(scores, stopping, monitor="train_score_loss"):
    """A run in which these are measured, one an epoch, and what the weights were after each."""
    model, kept, scores = small_model(), [], iter(scores)
    history = fit(
        model,
        clouds(8),
        batch_size=8,
        loss=nn.cross_entropy,
        metrics={monitor.removeprefix("train_"): lambda *_: next(scores)},
        optimiser=optim.SGD(model.parameters(), lr=0.1),
        epochs=6,
        callbacks=[stopping, lambda run: kept.append(weights(run.model))],
    )
    return weights(model), kept, history[monitor]


@pytest.mark.parametrize("monitor", ["train_score_loss", "train_score"])
def test_nan_is_worse_than_any_number(monitor):
    sign = 1 if monitor.endswith("loss") else -1
    stopping = EarlyStopping(monitor, patience=3)
    nan = math.nan
    scores = [nan, nan, sign * 0.5, sign * 0.4, nan, sign * 0.6]
    final, kept, measured = stopped_by(scores, stopping, monitor)
    assert len(measured) == 6
    assert (stopping.best, stopping.epoch) == (sign * 0.4, 4)
    assert final == kept[3]


def test_a_run_of_nothing_but_nan_ends_after_the_patience():
    _, _, measured = stopped_by([math.nan] * 6, EarlyStopping("train_score_loss", patience=2))
    assert len(measured) == 3


def test_early_stopping_forgets_the_run_before():
    stopping = EarlyStopping("train_score_loss", patience=2)
    first, _, _ = stopped_by([1, 0, 0.5, 2, 2, 2], stopping)
    final, kept, _ = stopped_by([9, 8, 7, 8, 9, 9], stopping)
    assert (stopping.best, stopping.epoch) == (7, 3)
    assert final == kept[2] != first


def test_what_is_not_measured_cannot_be_monitored():
    model = small_model()
    with pytest.raises(ValueError, match="'validation_loss' is not measured; train_loss are"):
        fit(model, clouds(), callbacks=[EarlyStopping()], **one_epoch(model))
    with pytest.raises(ValueError, match="patience must be at least 1; got 0"):
        EarlyStopping(patience=0)


# ------------------------------------------------------------------------------------------------------- checkpoints


def full_run(folder, epochs, die_after=None, schedule="cosine"):
    """A run with everything in it that has a state."""
    tg.manual_seed(7)
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 3, 3), np.float32), rng.integers(0, 3, 40)

    class Rows(nn.Module):
        def forward(self, x):
            return x.reshape(len(x), -1)

    model = nn.Sequential(Rows(), Noise(), nn.Dense(9, 8), nn.ReLU(), nn.Dense(8, 3))
    optimiser = optim.Adam(model.parameters(), lr=0.02)
    schedules = {
        "cosine": lambda: optim.CosineDecay(optimiser, steps=40),
        "plateau": lambda: optim.ReduceOnPlateau(optimiser, factor=0.5, patience=0),
    }

    def die(run):
        if run.epoch == die_after:
            raise KeyboardInterrupt

    history = fit(
        model,
        Loader(images, labels, batch_size=16, shuffle=True, seed=3, transform=RandomShift(1)),
        validation=Loader(images[:9], labels[:9], batch_size=4, shuffle=True, transform=RandomShift(1)),
        loss=nn.cross_entropy,
        metrics=METRICS,
        optimiser=optimiser,
        schedule=schedules[schedule](),
        epochs=epochs,
        callbacks=[EarlyStopping(patience=4), die],
        checkpoint=folder / "run.npz",
    )
    return weights(model), history


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_a_run_that_is_taken_up_again_ends_with_the_same_bits_and_history(tmp_path, schedule):
    (tmp_path / "whole").mkdir()
    expected = full_run(tmp_path / "whole", 12, schedule=schedule)
    for death in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            full_run(tmp_path, 12, die_after=death, schedule=schedule)
    assert full_run(tmp_path, 12, schedule=schedule) == expected
    assert full_run(tmp_path, 12, schedule=schedule) == expected  # there is nothing left to do


def test_a_model_that_keeps_its_last_output_can_be_taken_up_again(tmp_path):
    class Remembering(nn.Dense):
        def forward(self, x):
            self.last = super().forward(x)
            return self.last

    for epochs in (1, 2):
        model = Remembering(3, 3)
        fit(
            model,
            clouds(),
            validation=clouds(),
            loss=nn.cross_entropy,
            optimiser=optim.SGD(model.parameters()),
            epochs=epochs,
            checkpoint=tmp_path / "run.npz",
        )


def test_a_checkpoint_of_another_model_is_an_error(tmp_path):
    full_run(tmp_path, 1)
    model = small_model()
    with pytest.raises(CheckpointError, match=r"run\.npz: "):
        fit(model, clouds(), checkpoint=tmp_path / "run.npz", **one_epoch(model))


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (METRICS, {}, r"metrics\['accuracy'\] is only in the file: pass the metrics of that run"),
        ({}, METRICS, r"metrics\['accuracy'\] is not in the file: pass"),
        ({"first": accuracy}, {"other": accuracy}, r"\['other'\] is not in the file; metrics\['first'\] is only"),
    ],
)
def test_a_checkpoint_of_other_metrics_is_an_error_that_changes_nothing(before, after, complaint, tmp_path):
    model = small_model()
    options = one_epoch(model) | {"checkpoint": tmp_path / "run.npz"}
    fit(model, clouds(), metrics=before, **options)
    model = small_model()
    fresh = weights(model)
    options |= one_epoch(model) | {"epochs": 2}
    with pytest.raises(CheckpointError, match=rf"run\.npz: .*{complaint}"):
        fit(model, clouds(), metrics=after, **options)
    assert weights(model) == fresh
    history = fit(model, clouds(), metrics=before, **options)
    assert {len(numbers) for numbers in history.values()} == {2}


def test_a_checkpoint_that_fit_did_not_write_is_an_error(tmp_path):
    model = small_model()
    save_checkpoint(tmp_path / "run.npz", model=model, epoch=3)
    with pytest.raises(CheckpointError, match=r"run\.npz: it was not written by fit"):
        fit(model, clouds(), checkpoint=tmp_path / "run.npz", **one_epoch(model))


# -------------------------------------------------------------------------------------------- evaluate and accuracy


@pytest.mark.parametrize("size", [1, 7, 60, 1000])
def test_measures_are_means_over_rows_whatever_the_batches(size):
    x, y = clouds()
    model = small_model().train()
    measured = evaluate(model, (x, y), loss=nn.cross_entropy, metrics=METRICS, batch_size=size)
    assert measured["loss"] == pytest.approx(nn.cross_entropy(model(x), y).item(), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(accuracy(model(x), y))
    assert all(module.training for _, module in model.named_modules())


def test_accuracy_of_one_hot_rows_is_that_of_class_numbers():
    prediction = np.random.default_rng(0).random((20, 4))
    labels = np.arange(20) % 4
    assert accuracy(prediction, labels) == accuracy(prediction, np.eye(4)[labels]) > 0


@pytest.mark.parametrize(("prediction", "target"), [((3,), (3,)), ((3, 1), (3, 2)), ((4, 2), (3,))])
def test_accuracy_of_what_does_not_fit_is_an_error(prediction, target):
    with pytest.raises(ValueError, match="do not fit"):
        accuracy(np.zeros(prediction), np.zeros(target, int))


# ----------------------------------------------------------------------------------------------- history and summary


def test_a_history_draws_its_losses_and_accuracies():
    history = History(train_loss=[3.0, 2.0], validation_accuracy=[0.5, 0.75], seconds=[1.0, 1.0])
    figure = history.plot(title="three clouds")
    drawn = {line.get_label(): list(line.get_ydata()) for axes in figure.axes for line in axes.lines}
    assert drawn == {"train loss": [3.0, 2.0], "validation accuracy": [0.5, 0.75]}
    assert figure.get_suptitle() == "three clouds"


def rows_of(table):
    return [line.split() for line in table.splitlines() if not line.startswith("-")]


def test_a_summary_names_each_layer_what_comes_out_and_its_parameters():
    model = nn.Sequential(nn.Dense(784, 256), nn.ReLU(), nn.Dense(256, 10))
    assert rows_of(summary(model, (784,))) == [
        ["layer", "output", "parameters"],
        ["layers.0", "Dense", "(n,", "256)", "200,960"],
        ["layers.1", "ReLU", "(n,", "256)", "0"],
        ["layers.2", "Dense", "(n,", "10)", "2,570"],
        ["total", "203,530"],
    ]
    assert model(np.zeros((2, 784), np.float32)).requires_grad  # nothing stays behind
    assert all("forward" not in vars(module) for _, module in model.named_modules())


def test_a_summary_counts_shared_and_own_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            self.scale = tg.tensor(np.ones(4, np.float32), requires_grad=True)
            self.dense = nn.Dense(4, 4)

        def forward(self, x):
            return self.dense(self.dense(x)) * self.scale

    model = Twice()
    assert rows_of(summary(model, (4,)))[1:] == [
        ["model", "Twice", "(n,", "4)", "4"],
        ["dense", "Dense", "(n,", "4)", "20"],
        ["dense", "Dense", "(n,", "4)", "0"],
        ["total", "24"],
    ]


def test_a_summary_of_what_does_not_fit_names_the_layer_and_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Dense(3, 4), nn.Dense(5, 2))
    with pytest.raises(ValueError, match=r"layers\.1: Dense\(5, 2\).*\(1, 4\).*\(5, 2\)"):
        summary(model, (3,))
    assert all("forward" not in vars(module) for _, module in model.named_modules())
    assert model.training


def test_the_numbers_of_a_history_are_plain_ones():
    model = small_model()
    options = {"optimiser": optim.SGD(model.parameters()), "epochs": 1, "metrics": METRICS}
    history = fit(model, clouds(), loss=nn.cross_entropy, **options)
    assert all(type(value) is float and math.isfinite(value) for values in history.values() for value in values)
