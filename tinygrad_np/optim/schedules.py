"""Schedules: learning rates that change from step to step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_np.arguments import checked, checked_integer
from tinygrad_np.errors import DtypeError, ShapeError
from tinygrad_np.optim.optimizer import Optimizer
from tinygrad_np.rules.handlers import plain
from tinygrad_np.rules.indexing import arrayed
from tinygrad_np.standins import check
from tinygrad_np.state import fitting, flattened, on_tape

__all__ = ["Constant", "CosineDecay", "ReduceOnPlateau", "Schedule", "StepDecay", "WarmUp"]


class _Stateful:
    """What all schedules share: the optimiser, and arrays that say how far they are.

    What changes is in arrays, so a schedule may be a part of a compiled step.
    """

    def __init__(self, optimiser: Optimizer, **state: Any) -> None:
        if not isinstance(optimiser, Optimizer):
            raise DtypeError(f"{type(self).__name__}: needs an optimiser, not {optimiser!r}")
        self.optimiser = optimiser
        self._state: dict[str, NDArray[Any]] = {name: np.array(value) for name, value in state.items()}

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of what `step` changes, apart from the learning rates: these are in the optimiser's state."""
        return {name: array.copy() for name, array in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on as the schedule did that `state_dict` was called on; nothing changes unless everything fits.

        Raises
        ------
        ShapeError
            If names are missing or unknown, or shapes differ.
        DtypeError
            If dtypes differ.
        """
        for name, array in fitting(type(self).__name__, "schedule", self._state, flattened(state)).items():
            np.copyto(self._state[name], array)


class Schedule(_Stateful, ABC):
    """Base class: the learning rate of each group as a function of how often `step` was called.

    The rates that the groups have when the schedule is made are those that it starts from.

    Parameters
    ----------
    optimiser : Optimizer
        Whose learning rates to set.

    Raises
    ------
    DtypeError
        If it is no Optimizer.
    ShapeError
        From `step`, if `rate` does not return a finite learning rate from 0 on for each group; nothing changes.

    Examples
    --------
    >>> import numpy as np, tinygrad_np as tg
    >>> class Halving(tg.optim.Schedule):
    ...     def rate(self, first, count):
    ...         return first * 0.5**count
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=1.0)
    >>> schedule = Halving(optimiser)
    >>> schedule.step()
    >>> optimiser.lr
    0.5
    """

    def __init__(self, optimiser: Optimizer) -> None:
        super().__init__(optimiser, count=0.0, rates=[group["lr"] for group in getattr(optimiser, "param_groups", [])])

    def step(self) -> None:
        """Go on by one step, or by one epoch: whatever the schedule counts."""
        state = on_tape(self._state)
        count = state["count"] + 1
        self._set(self.rate(state["rates"], count))
        np.copyto(state["count"], count)

    @abstractmethod
    def rate(self, first: Any, count: Any) -> Any:
        """The learning rates, from the first ones and the number of steps since: plain NumPy, without branches.

        Parameters
        ----------
        first : array, shape (groups,)
            The learning rates that the groups had in the beginning.
        count : array, shape ()
            How often `step` was called.

        Returns
        -------
        array, shape (groups,)
            Zero or above, and finite.
        """

    def _set(self, found: Any) -> None:
        owner, groups = type(self).__name__, self.optimiser.param_groups
        rates = np.stack(found) if isinstance(found, list | tuple) and found else arrayed(found)
        if rates.shape != (len(groups),) or rates.dtype.kind not in "biuf":
            raise ShapeError(
                f"{owner}: rate must return a learning rate for each group, in an array of shape ({len(groups)},) as "
                f"`first` is, not {found!r}: compute them from `first`"
            )
        check(_check_rates, owner, plain(rates))
        for i, group in enumerate(groups):
            np.copyto(on_tape(group.rate), rates[i])


def _check_rates(owner: str, rates: NDArray[Any]) -> None:
    for rate in rates.tolist():
        checked(owner, "lr", rate)


class Constant(Schedule):
    """The learning rates as they are: for where a schedule is asked for, and under `WarmUp`.

    Parameters
    ----------
    optimiser : Optimizer
        Whose learning rates to keep.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=0.5)
    >>> schedule = tg.optim.Constant(optimiser)
    >>> schedule.step()
    >>> optimiser.lr
    0.5
    """

    def rate(self, first: Any, count: Any) -> Any:
        return first


class StepDecay(Schedule):
    """Learning rates that fall to a fraction of themselves every so many steps.

    Parameters
    ----------
    optimiser : Optimizer
        Whose learning rates to set.
    every : int
        After how many steps they fall.
    factor : float
        What is left of them then.

    Raises
    ------
    ShapeError, DtypeError
        If a number is out of its range, or is none.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=1.0)
    >>> schedule = tg.optim.StepDecay(optimiser, every=2, factor=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimiser.lr)
    ...     schedule.step()
    >>> rates
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    def __init__(self, optimiser: Optimizer, every: int, factor: float = 0.1) -> None:
        super().__init__(optimiser)
        self.every = checked_integer("StepDecay", "every", every)
        self.factor = checked("StepDecay", "factor", factor)

    def rate(self, first: Any, count: Any) -> Any:
        return first * self.factor ** np.floor_divide(count, self.every)


class CosineDecay(Schedule):
    """Learning rates that fall along half a cosine, and stay at the lowest (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    optimiser : Optimizer
        Whose learning rates to set.
    steps : int
        How many steps it takes to the lowest.
    lowest : float
        The learning rate in the end.

    Raises
    ------
    ShapeError, DtypeError
        If a number is out of its range, or is none.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=1.0)
    >>> schedule = tg.optim.CosineDecay(optimiser, steps=4)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(optimiser.lr, 3))
    ...     schedule.step()
    >>> rates
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(self, optimiser: Optimizer, steps: int, lowest: float = 0.0) -> None:
        super().__init__(optimiser)
        self.steps = checked_integer("CosineDecay", "steps", steps)
        self.lowest = checked("CosineDecay", "lowest", lowest)

    def rate(self, first: Any, count: Any) -> Any:
        share = (1 + np.cos(np.minimum(count, self.steps) * (math.pi / self.steps))) / 2
        return self.lowest + (first - self.lowest) * share


class WarmUp(Schedule):
    """Learning rates that first grow in equal steps, and then follow another schedule from its beginning.

    Parameters
    ----------
    schedule : Schedule
        What follows, such as ``Constant(optimiser)``; only this one is stepped from here on.
    steps : int
        How many steps the growth takes.
    start : float
        Which part of the full learning rate it starts from.

    Raises
    ------
    ShapeError, DtypeError
        If a number is out of its range, or is none, or if the schedule is no Schedule: `ReduceOnPlateau` is not.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=1.0)
    >>> schedule = tg.optim.WarmUp(tg.optim.StepDecay(optimiser, every=2, factor=0.1), steps=2, start=0.5)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(optimiser.lr)
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 1.0, 0.1]
    """

    def __init__(self, schedule: Schedule, steps: int, start: float = 0.1) -> None:
        if not isinstance(schedule, Schedule):
            raise DtypeError(f"WarmUp: needs a schedule that counts steps, like Constant(optimiser), not {schedule!r}")
        super().__init__(schedule.optimiser)
        self.schedule = schedule
        self.steps = checked_integer("WarmUp", "steps", steps)
        self.start = checked("WarmUp", "start", start)
        self._state["rates"] = schedule._state["rates"]
        self._set(self.rate(self._state["rates"], self._state["count"]))

    def rate(self, first: Any, count: Any) -> Any:
        share = self.start + (1 - self.start) * np.minimum(count / self.steps, 1)
        return share * self.schedule.rate(first, np.maximum(count - self.steps, 0))


class ReduceOnPlateau(_Stateful):
    """Learning rates that fall once a measurement has stopped to improve, as in PyTorch.

    Parameters
    ----------
    optimiser : Optimizer
        Whose learning rates to set.
    factor : float
        What is left of them each time.
    patience : int
        How many steps without an improvement are borne with.
    threshold : float
        By which part of the best measurement so far a new one has to be better, to count as an improvement.
    lowest : float
        The learning rates do not fall below.
    maximise : bool
        Whether larger measurements are better ones, as accuracies are; losses are not.

    Raises
    ------
    ShapeError, DtypeError
        If a number is out of its range, or is none.

    Examples
    --------
    >>> import tinygrad_np as tg
    >>> optimiser = tg.optim.SGD(tg.nn.Dense(2, 1).parameters(), lr=1.0)
    >>> schedule = tg.optim.ReduceOnPlateau(optimiser, factor=0.5, patience=1)
    >>> rates = []
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0):
    ...     schedule.step(loss)
    ...     rates.append(optimiser.lr)
    >>> rates
    [1.0, 1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self,
        optimiser: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        *,
        threshold: float = 1e-4,
        lowest: float = 0.0,
        maximise: bool = False,
    ) -> None:
        super().__init__(optimiser, best=-math.inf if maximise else math.inf, waited=0.0)
        self.factor = checked("ReduceOnPlateau", "factor", factor, below=1)
        self.patience = checked_integer("ReduceOnPlateau", "patience", patience, least=0)
        self.threshold = checked("ReduceOnPlateau", "threshold", threshold, below=1)
        self.lowest = checked("ReduceOnPlateau", "lowest", lowest)
        self.maximise = bool(maximise)

    def step(self, measurement: Any) -> None:
        """Take a measurement into account; one that is not a number is no improvement.

        Parameters
        ----------
        measurement : float, or Tensor or array of one
            Such as the loss on validation data.

        Raises
        ------
        ShapeError
            If it is several numbers.
        DtypeError
            If it is none.
        """
        measured = plain(arrayed(measurement))
        if measured.size != 1:
            raise ShapeError(f"ReduceOnPlateau: a measurement is one number, not of shape {measured.shape}")
        if measured.dtype.kind not in "biuf":
            raise DtypeError(f"ReduceOnPlateau: a measurement must be a real number, not {measurement!r}")
        measured = np.reshape(measured, ())
        state = on_tape(self._state)
        best, waited = state["best"], state["waited"]
        margin = self.threshold * np.sign(best)
        better = measured > best * (1 + margin) if self.maximise else measured < best * (1 - margin)
        np.copyto(best, np.where(better, measured, best))
        np.copyto(waited, np.where(better, 0, waited + 1))
        falls = waited > self.patience
        np.copyto(waited, np.where(falls, 0, waited))
        for group in self.optimiser.param_groups:
            rate = on_tape(group.rate)
            np.copyto(rate, np.where(falls, np.minimum(rate, np.maximum(rate * self.factor, self.lowest)), rate))
