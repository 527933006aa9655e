"""The common training loop, what is measured in it, and a table of a model's layers.

`fit` hides nothing: without it a loop is ten lines, which it repeats with a progress bar, validation and checkpoints::

    for epoch in range(epochs):
        for x, y in loader:
            loss = nn.cross_entropy(model(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        print(evaluate(model, validation, loss=nn.cross_entropy, metrics={"accuracy": accuracy}))
"""

from __future__ import annotations

import itertools
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tinygrad_np._extras import need
from tinygrad_np._files import checked_target
from tinygrad_np.arguments import checked_integer
from tinygrad_np.core import Tensor, no_grad
from tinygrad_np.data.batches import Loader
from tinygrad_np.nn.module import Module
from tinygrad_np.optim import Optimizer, ReduceOnPlateau, Schedule
from tinygrad_np.plots import training_curves
from tinygrad_np.random import generator
from tinygrad_np.rules.handlers import plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.saving import CheckpointError, load_checkpoint, save_checkpoint
from tinygrad_np.state import kept

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EarlyStopping", "History", "Run", "TrainingError", "accuracy", "evaluate", "fit", "report", "summary"]

Loss = Callable[[Any, Any], Any]
Metrics = Mapping[str, Callable[[NDArray[Any], NDArray[Any]], float]]
Data = Loader | tuple[ArrayLike, ArrayLike]
_EVALUATED_AT_ONCE = 1000


class TrainingError(ValueError):
    """A loss that is not finite any more; the model is as it was before the batch that would have spoilt it.

    If it is that on the validation data, the model is as the epoch has left it.
    """


class History(dict[str, list[float]]):
    """What was measured, by name: one number an epoch, such as ``history["validation_loss"]``.

    Examples
    --------
    >>> history = History(train_loss=[0.9, 0.4], validation_accuracy=[0.8, 0.9])
    >>> history.last()
    {'train_loss': 0.4, 'validation_accuracy': 0.9}
    >>> figure = history.plot(title="digits")  # doctest: +SKIP
    """

    def last(self) -> dict[str, float]:
        """The last number of each."""
        return {name: values[-1] for name, values in self.items() if values}

    def plot(self, title: str = "Training") -> Figure:
        """Draw losses and accuracies against the epoch, for `tinygrad_np.plots.save_figure`; others are left out."""
        drawn = {name: values for name, values in self.items() if name.endswith(("loss", "accuracy"))}
        return training_curves(drawn, title)


class Run:
    """What a callback of `fit` is given after each epoch.

    Attributes
    ----------
    model, optimiser, loader
        What is being trained, with what, on what.
    history : History
        The epoch that has just ended included.
    epoch, epochs : int
        How many have ended, and how many there are to be.
    """

    def __init__(self, model: Module, optimiser: Optimizer, loader: Loader, epochs: int) -> None:
        self.model, self.optimiser, self.loader, self.epochs = model, optimiser, loader, epochs
        self.history = History()
        self.epoch = 0
        self.stopped = False

    def stop(self) -> None:
        """Let the epoch that has just ended be the last."""
        self.stopped = True


class EarlyStopping:
    """A callback of `fit` that ends the training once a measurement has stopped to improve.

    In the end the model has the weights with which the measurement was best; NaN is worse than any number. Each run
    starts from nothing, unless it is taken up again from a checkpoint.

    Parameters
    ----------
    monitor : str
        Which measurement: a name in the history. One that ends in "loss" is best when low, others when high.
    patience : int
        After how many epochs in a row without an improvement to stop.
    least : float
        By how much a measurement has to be better to count as an improvement.

    Raises
    ------
    ValueError
        If `patience` is less than one; from `fit`, if nothing of that name is measured.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> x, y = np.zeros((8, 2), np.float32), np.arange(8) % 2  # nothing can be learnt here
    >>> model = tg.nn.Dense(2, 2)
    >>> stopping = EarlyStopping("train_loss", patience=2)
    >>> history = fit(model, (x, y), loss=tg.nn.cross_entropy, epochs=50, batch_size=8, callbacks=[stopping],
    ...               optimiser=tg.optim.SGD(model.parameters(), lr=0.1))
    >>> len(history["train_loss"]), stopping.epoch
    (3, 1)
    """

    def __init__(self, monitor: str = "validation_loss", patience: int = 5, least: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be at least 1; got {patience}")
        self.monitor, self.patience, self.least = monitor, patience, least
        self.best, self.epoch, self.weights = math.nan, 0, dict[str, Any]()

    def __call__(self, run: Run) -> None:
        if self.monitor not in run.history:
            raise ValueError(f"EarlyStopping: {self.monitor!r} is not measured; {', '.join(run.history)} are")
        value = run.history[self.monitor][-1]
        if run.epoch == 1:  # what is remembered, if anything, is of another run
            self.best, self.weights = math.nan, {}
        gain = self.best - value if self.monitor.endswith("loss") else value - self.best
        is_first_number = math.isnan(self.best) and not math.isnan(value)
        if not self.weights or is_first_number or gain > self.least:
            self.best, self.epoch, self.weights = value, run.epoch, run.model.state_dict()
        elif run.epoch - self.epoch >= self.patience:
            run.stop()

    def finish(self, run: Run) -> None:
        """Give the model its best weights; `fit` calls this in the end."""
        run.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """What is to be remembered: the best measurement, its epoch and its weights."""
        return {"best": self.best, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.best, self.epoch, self.weights = float(state["best"]), int(state["epoch"]), dict(state["weights"])


def fit(
    model: Module,
    data: Data,
    *,
    loss: Loss,
    optimiser: Optimizer,
    epochs: int,
    validation: Data | None = None,
    metrics: Metrics | None = None,
    schedule: Schedule | ReduceOnPlateau | None = None,
    callbacks: Sequence[Callable[[Run], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    batch_size: int = 32,
    progress: bool = True,
) -> History:
    """Train a model: for each epoch go through the data, then validate, then call the callbacks.

    Parameters
    ----------
    model : Module
        Set to training mode for the steps and to evaluation mode for the validation; left in evaluation mode.
    data : Loader, or tuple of inputs and targets
        What to train on. A tuple is shuffled, in batches of `batch_size` and in the same order in every run: pass a
        `Loader` with a seed for another.
    loss : callable
        ``loss(prediction, target)`` returns the scalar to be minimised, such as `nn.cross_entropy`.
    optimiser : Optimizer
        Of the model's parameters.
    epochs : int
        How many there are to be, those of a run that is taken up again included.
    validation : Loader, or tuple of inputs and targets, optional
        What to measure on after each epoch, but never to train on.
    metrics : mapping of str to callable, optional
        What else to measure: ``metric(prediction, target)`` on arrays, a mean over the rows, such as `accuracy`. The
        name "loss" is taken.
    schedule : Schedule or ReduceOnPlateau, optional
        A schedule counts batches. `ReduceOnPlateau` is told the validation loss after each epoch, or the train loss.
    callbacks : sequence of callable
        Called as ``callback(run)`` with a `Run`, which they can stop; one with a method ``finish(run)`` has it called
        in the end. Those with a ``state_dict()`` are part of the checkpoint.
    checkpoint : path-like, optional
        Where to save all state after each epoch. If the file exists, the run goes on from it, and ends with the same
        bits as if it had never been stopped.
    batch_size : int
        For data given as arrays.
    progress : bool
        Show a progress bar, where tqdm is installed and the output is a terminal.

    Returns
    -------
    History
        ``train_loss``, ``validation_loss`` and the metrics with the same beginnings: one number an epoch. Those of the
        training data are means over the epoch, while the model was changing.

    Raises
    ------
    TrainingError
        If the loss is not finite: says whether the data are to blame. The state of the model, running statistics
        included, is as it was before that batch; or as the epoch has left it, if the loss is that of the validation,
        while a checkpoint is of the epoch before.
    ValueError
        If a metric is called "loss", the epochs are below zero, the loss is several numbers, none of the optimiser's
        parameters is the model's, or the schedule is of another optimiser.
    TypeError
        If the data are neither a loader nor inputs and targets, or something else is not what it is to be; says which.
    FileNotFoundError
        If there is no folder for the checkpoint.
    CheckpointError, SavedFileError
        If the checkpoint is of another run, or of other metrics, or damaged.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> tg.manual_seed(0)
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> y = np.array([0, 1, 1, 0])
    >>> model = tg.nn.Sequential(tg.nn.Dense(2, 8), tg.nn.ReLU(), tg.nn.Dense(8, 2))
    >>> optimiser = tg.optim.Adam(model.parameters(), lr=0.05)
    >>> history = fit(model, (x, y), loss=tg.nn.cross_entropy, optimiser=optimiser, epochs=40,
    ...               metrics={"accuracy": accuracy})
    >>> history["train_accuracy"][-1]
    1.0
    """
    loader = _as_loader("fit", "data", data, batch_size=batch_size, shuffle=True)
    held_out = None if validation is None else _as_loader("fit", "validation", validation, _EVALUATED_AT_ONCE)
    metrics = _besides_the_loss("fit", _checked_metrics("fit", metrics))
    epochs = checked_integer("fit", "epochs", epochs, least=0)
    _check_optimiser(model, optimiser, schedule)
    callbacks = _checked_callbacks(callbacks)
    run = Run(model, optimiser, loader, epochs)
    parts: dict[str, Any] = {"model": model, "optimiser": optimiser, "loader": loader, "random": generator()}
    parts |= {"validation": held_out} if held_out is not None else {}
    parts |= {"schedule": schedule} if schedule is not None else {}
    parts |= {f"callback_{i}": callback for i, callback in enumerate(callbacks) if hasattr(callback, "state_dict")}
    if checkpoint is not None and checked_target(checkpoint).exists():
        _check_metrics(checkpoint, metrics)
        values = load_checkpoint(checkpoint, **parts)
        run.epoch, run.stopped = values["epoch"], values["stopped"]
        run.history.update({name: list(map(float, numbers)) for name, numbers in values["history"].items()})

    while run.epoch < epochs and not run.stopped:
        model.train()
        measured = {f"train_{name}": value for name, value in _epoch(run, loss, metrics, schedule, progress).items()}
        if held_out is not None:
            found = evaluate(model, held_out, loss=loss, metrics=metrics)
            if not math.isfinite(found["loss"]):
                where = f"epoch {run.epoch + 1}/{epochs}, validation"
                raise TrainingError(_blamed(where, found["loss"], *held_out.columns))
            measured |= {f"validation_{name}": value for name, value in found.items()}
        run.epoch += 1
        for name, value in measured.items():
            run.history.setdefault(name, []).append(value)
        if isinstance(schedule, ReduceOnPlateau):
            schedule.step(measured.get("validation_loss", measured["train_loss"]))
        for callback in callbacks:
            callback(run)
        if checkpoint is not None:
            save_checkpoint(checkpoint, **parts, epoch=run.epoch, stopped=run.stopped, history=run.history)
    for callback in callbacks:
        if run.epoch and hasattr(callback, "finish"):
            callback.finish(run)
    model.eval()
    return run.history


def _check_optimiser(model: Module, optimiser: Any, schedule: Any) -> None:
    """Raise if the steps would not train the model, or the schedule not be followed."""
    if not isinstance(optimiser, Optimizer):
        raise TypeError(f"fit: optimiser must be one, such as optim.SGD(model.parameters()), not {optimiser!r}")
    if not {*map(id, optimiser.parameters)} & {*map(id, model.parameters())}:
        raise ValueError(
            "fit: none of the optimiser's parameters is the model's, so nothing would be learnt: make it with "
            f"{type(optimiser).__name__}(model.parameters()), of this very model"
        )
    if schedule is None:
        return
    if not isinstance(schedule, Schedule | ReduceOnPlateau):
        raise TypeError(
            "fit: schedule must be an optim.Schedule or optim.ReduceOnPlateau that was made with the optimiser, such "
            f"as optim.StepDecay(optimiser, every=1000), not {schedule!r}"
        )
    if schedule.optimiser is not optimiser:
        raise ValueError(f"fit: the {type(schedule).__name__} was made with another optimiser: make it with this one")


def _check_metrics(checkpoint: str | os.PathLike[str], metrics: Metrics) -> None:
    """Raise if a run has measured something else so far: some histories would be shorter than others."""
    values = load_checkpoint(checkpoint, partial=True)
    if not values.keys() >= {"epoch", "stopped", "history"}:
        raise CheckpointError(f"{os.fspath(checkpoint)}: it was not written by fit, which needs the epoch and history")
    measured = {name.removeprefix("train_") for name in values["history"] if name.startswith("train_")}
    problems = [f"metrics[{name!r}] is not in the file" for name in sorted(metrics.keys() - measured)]
    problems += [f"metrics[{name!r}] is only in the file" for name in sorted(measured - {"loss"} - metrics.keys())]
    if problems:
        raise CheckpointError(
            f"{os.fspath(checkpoint)}: {'; '.join(problems)}: pass the metrics of that run, or another checkpoint"
        )


def _epoch(run: Run, loss: Loss, metrics: Metrics, schedule: Any, progress: bool) -> dict[str, float]:
    """Go through the training data once; what was measured on the way."""
    means = _Means(metrics)
    title = f"epoch {run.epoch + 1}/{run.epochs}"
    untrained = run.model._untrained()
    with _bar(len(run.loader), title, progress) as bar:
        for number, (x, y) in enumerate(run.loader, start=1):
            put_back = kept(untrained)
            prediction = run.model(x)
            value = _checked_loss(loss(prediction, y))
            if not math.isfinite(value.item()):
                put_back()
                raise TrainingError(_blamed(f"{title}, batch {number}", value.item(), x, y))
            run.optimiser.zero_grad()
            value.backward()
            run.optimiser.step()
            if isinstance(schedule, Schedule):
                schedule.step()
            means.add(value.item(), plain(prediction), y)
            if bar is not None:
                bar.set_postfix_str(described(means.values()), refresh=False)
                bar.update()
    return means.values()


def evaluate(
    model: Module,
    data: Data,
    *,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    batch_size: int = _EVALUATED_AT_ONCE,
) -> dict[str, float]:
    """Measure a model on data, in evaluation mode; the mode that it was in comes back.

    Parameters
    ----------
    model : Module
    data : Loader, or tuple of inputs and targets
        A tuple is gone through in order, in batches of `batch_size`.
    loss : callable, optional
        ``loss(prediction, target)``, a mean over the rows.
    metrics : mapping of str to callable, optional
        Others by name: ``metric(prediction, target)``, on arrays. Next to a loss the name "loss" is taken.
    batch_size : int
        For data given as arrays.

    Returns
    -------
    dict of str to float
        ``loss``, if there is one, and the metrics.

    Raises
    ------
    ValueError
        If there is a loss, and a metric is called so too.
    TypeError
        If the data are neither a loader nor inputs and targets, or the loss or a metric is no number.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> model = tg.nn.ReLU()
    >>> evaluate(model, (np.array([[1.0, 3.0], [2.0, -1.0]]), np.array([1, 1])), metrics={"accuracy": accuracy})
    {'accuracy': 0.5}
    """
    loader = _as_loader("evaluate", "data", data, batch_size)
    metrics = _checked_metrics("evaluate", metrics)
    means = _Means(metrics if loss is None else _besides_the_loss("evaluate", metrics))
    with no_grad(), _evaluating(model):
        for x, y in loader:
            prediction = model(x)
            value = None if loss is None else _number("evaluate: loss(prediction, target)", loss(prediction, y))
            means.add(value, plain(prediction), y)
    return means.values()


@contextmanager
def _evaluating(model: Module) -> Iterator[None]:
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _as_loader(caller: str, name: str, data: Any, batch_size: int, shuffle: bool = False) -> Loader:
    columns = data.columns if isinstance(data, Loader) else data
    if not isinstance(columns, tuple | list) or len(columns) != 2:
        given = f"a {type(data).__name__}" + (f" of {len(columns)}" if isinstance(columns, tuple | list) else "")
        raise TypeError(f"{caller}: {name} must be inputs and targets, as (x, y) or as a Loader(x, y), not {given}")
    return data if isinstance(data, Loader) else Loader(*columns, batch_size=batch_size, shuffle=shuffle)


def _besides_the_loss(caller: str, metrics: Metrics) -> Metrics:
    if "loss" in metrics:
        raise ValueError(f"{caller}: metrics['loss'] would be added to the loss: give it another name")
    return metrics


def _checked_metrics(caller: str, metrics: Any) -> Metrics:
    wanted = f"{caller}: metrics must be functions by name, as {{'accuracy': accuracy}}, not"
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"{wanted} {metrics!r}")
    for name, metric in (metrics or {}).items():
        if not isinstance(name, str) or not callable(metric):
            raise TypeError(f"{wanted} {name!r}: {metric!r}")
    return metrics or {}


def _checked_callbacks(callbacks: Any) -> list[Callable[[Run], Any]]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"fit: callbacks must be a list of them, not {callbacks!r}: write [...] around it")
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type) or not callable(callback):
            why = "is a class: make one, with ()" if isinstance(callback, type) else "cannot be called as callback(run)"
            raise TypeError(f"fit: the callback {callback!r} {why}")
    return found


def _checked_loss(value: Any) -> Tensor:
    """What to go backward from: one number, with a graph behind it."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"fit: loss(prediction, target) must return a tensor to go backward from, not {value!r:.60}: leave out "
            "float(), .item(), .data and the like"
        )
    if value.size != 1:
        raise ValueError(
            f"fit: loss(prediction, target) must return one number, not a tensor of shape {value.shape}: take the mean"
        )
    return value


def _number(what: str, value: Any) -> float:
    array = arrayed(plain(value))
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must return one real number, not {value!r:.60}")
    return float(array.item())


class _Means:
    """Running means over rows, of a loss and of metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.totals: dict[str, float] = defaultdict(float)
        self.rows = 0

    def add(self, loss: float | None, prediction: NDArray[Any], target: NDArray[Any]) -> None:
        self.rows += len(target)
        if loss is not None:
            self.totals["loss"] += loss * len(target)
        for name, metric in self.metrics.items():
            value = _number(f"metrics[{name!r}](prediction, target)", metric(prediction, target))
            self.totals[name] += value * len(target)

    def values(self) -> dict[str, float]:
        return {name: total / self.rows for name, total in self.totals.items()}


def accuracy(prediction: ArrayLike, target: ArrayLike) -> float:
    """How many of the rows have their largest element at the class, from 0 to 1.

    Parameters
    ----------
    prediction : array_like, shape (n, classes)
        Logits or probabilities.
    target : array_like, shape (n,) or (n, classes)
        Class numbers, or one-hot rows.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> accuracy([[0.1, 2.0], [3.0, 0.0]], [1, 1])
    0.5
    """
    prediction, target = np.asarray(plain(prediction)), np.asarray(plain(target))
    if prediction.ndim != 2 or target.shape not in (prediction.shape, prediction.shape[:1]):
        raise ValueError(f"accuracy: a prediction of {prediction.shape} and a target of {target.shape} do not fit")
    classes = target.argmax(axis=1) if target.ndim == 2 else target
    return float(np.mean(prediction.argmax(axis=1) == classes))


def described(measured: Mapping[str, float]) -> str:
    """What was measured, in words: accuracies in percent, others with four digits.

    Examples
    --------
    >>> described({"train_loss": 0.12345, "validation_accuracy": 0.98})
    'train loss 0.1235, validation accuracy 98.00%'
    """
    return ", ".join(
        f"{name.replace('_', ' ')} {value:{'.2%' if name.endswith('accuracy') else '.4g'}}"
        for name, value in measured.items()
    )


def report(run: Run) -> None:
    """A callback of `fit` that prints a line after each epoch.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> model = tg.nn.Dense(2, 2)
    >>> _ = fit(model, (np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])), loss=tg.nn.cross_entropy, epochs=1,
    ...         optimiser=tg.optim.SGD(model.parameters(), lr=0.1), callbacks=[report])
    epoch 1/1: train loss 0.6931
    """
    print(f"epoch {run.epoch}/{run.epochs}: {described(run.history.last())}", flush=True)


def _bar(total: int, title: str, wanted: bool) -> Any:
    try:
        tqdm = need("tqdm", "A progress bar").tqdm if wanted else None
    except ImportError:
        tqdm = None
    # disable=None: no bar where nobody watches.
    return nullcontext() if tqdm is None else tqdm(total=total, desc=title, leave=False, disable=None)


def _blamed(where: str, value: float, x: NDArray[Any], y: NDArray[Any]) -> str:
    for name, array in (("inputs", x), ("targets", y)):
        wrong = 0 if array.dtype.kind not in "fc" else np.count_nonzero(~np.isfinite(array))
        if wrong:
            return f"{where}: the loss is {value}, for {wrong} of the {array.size} {name} are NaN or infinite"
    return f"{where}: the loss is {value}; the data are finite, so try a smaller learning rate"


# ----------------------------------------------------------------------------------------------------------- summary


def summary(model: Module, input_shape: Sequence[int], dtype: DTypeLike = np.float32) -> str:
    """A table of a model's layers: what comes out of each, and how many parameters it has itself.

    Parameters
    ----------
    model : Module
        Called once on zeros, in evaluation mode.
    input_shape : sequence of int
        The shape of one row of the input, without the axis of the batch, which the table calls n.
    dtype : dtype
        Of the input.

    Returns
    -------
    str
        One line a layer, in the order in which they are called; one that is called twice is there twice, but its
        parameters count once.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> print(summary(tg.nn.Sequential(tg.nn.Dense(784, 256), tg.nn.ReLU(), tg.nn.Dense(256, 10)), (784,)))
    layer            output    parameters
    -------------------------------------
    layers.0  Dense  (n, 256)     200,960
    layers.1  ReLU   (n, 256)           0
    layers.2  Dense  (n, 10)        2,570
    -------------------------------------
    total                         203,530
    """
    calls = _calls(model, np.zeros((1, *input_shape), dtype))
    counted: set[int] = set()
    rows = [("layer", "", "output", "parameters")]
    for name, module, shape in calls:
        own = [p for part, p in module.named_parameters() if _owner(module, part) is module and id(p) not in counted]
        counted.update(map(id, own))
        rows.append((name, type(module).__name__, shape, f"{sum(p.size for p in own):,}"))
    rows.append(("total", "", "", f"{sum(p.size for p in model.parameters()):,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}"
        for name, kind, shape, count in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _calls(model: Module, x: NDArray[Any]) -> list[tuple[str, Module, str]]:
    """Each call of a module that has parameters of its own or no modules in it: name, module, shape of the output."""
    found: list[tuple[str, Module, str]] = []
    watched = []

    def watch(name: str, module: Module) -> None:
        forward = module.forward

        def watching(*args: Any, **kwargs: Any) -> Any:
            place = len(found)
            output = forward(*args, **kwargs)
            shape = f"({', '.join(['n', *map(str, np.shape(plain(output))[1:])])})"
            if len(module.named_modules()) == 1 or any(_owner(module, part) is module for part, _ in
                                                      module.named_parameters()):  # fmt: skip
                found.insert(place, (name or "model", module, shape))
            return output

        module.forward = watching
        watched.append(module)

    try:
        for name, module in model.named_modules():
            watch(name, module)
        with no_grad(), _evaluating(model):
            model(x)
    finally:
        for module in watched:
            del module.forward
    return found


def _owner(module: Module, part: str) -> Module:
    """The innermost module that a parameter of this name is in."""
    inside = dict(module.named_modules())
    prefixes = itertools.accumulate(part.split("."), "{}.{}".format)
    return [inside[prefix] for prefix in ["", *prefixes] if prefix in inside][-1]
