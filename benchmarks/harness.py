"""What all workloads share: check every contender against NumPy by hand, then let them take turns at the clock."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

import tinygrad_np as tg

THREADS = os.cpu_count() or 1

# How each framework is called in tables, and the package that it needs.
FRAMEWORKS = {
    "numpy": None,
    "eager": None,
    "compiled": None,
    "inexact": None,
    "torch": "torch",
    "torch.compile": "torch",
    "jax.jit": "jax",
    "mygrad": "mygrad",
    "autograd": "autograd",
    "micrograd": "micrograd",
    "limit": None,
}


# What this library's contenders put around their function.
OURS: dict[str, Callable[[Any], Any]] = {
    "eager": lambda function: function,
    "compiled": tg.compile,
    "inexact": tg.compile(exact=False),
}


class Contender(Protocol):
    """One framework on one workload."""

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        """On the first input, with the first weights, without changing anything."""

    def run(self) -> None:
        """What is timed, once, on the next input; it returns when all work is done."""


class UnavailableError(Exception):
    """A framework cannot take part, for a reason that the table gives."""


@dataclass
class Workload:
    """What is measured.

    Attributes
    ----------
    name, description : str
    unit : str
        What the times are given in: "us" or "ms".
    per : int
        Operations in a run: times are given for each.
    contenders : dict of str to callable
        For each framework, what makes its contender; the limit has no loss.
    """

    name: str
    description: str
    unit: str
    contenders: dict[str, Callable[[], Contender]]
    per: int = 1


@dataclass
class Result:
    """Times of all frameworks on one workload, in the workload's unit, and why some have none."""

    workload: str
    description: str
    unit: str
    times: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def median(self, framework: str) -> float | None:
        """The median over the rounds; None if it did not take part."""
        times = self.times.get(framework)
        return statistics.median(times) if times else None


def need(framework: str) -> Any:
    """Import a framework, or say which extra brings it."""
    package = FRAMEWORKS[framework]
    assert package is not None
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UnavailableError(f'needs {package}: pip install "tinygrad_np[bench]"') from error


def measure(workload: Workload, frameworks: Iterable[str], rounds: int, seconds: float) -> Result:
    """Time the frameworks in turns, round by round, so that what disturbs the machine disturbs all of them.

    Parameters
    ----------
    rounds : int
        How many turns each gets.
    seconds : float
        About how long a turn is.
    """
    result = Result(workload.name, workload.description, workload.unit)
    contenders: dict[str, Contender] = {}
    for framework in frameworks:
        if framework not in workload.contenders:
            result.missing[framework] = "not written for it"
            continue
        try:
            contenders[framework] = workload.contenders[framework]()
        except UnavailableError as reason:
            result.missing[framework] = str(reason)
    _check(workload, contenders)
    scale = {"us": 1e6, "ms": 1e3}[workload.unit] / workload.per
    repeats = {name: _warmed_up(contender, seconds) for name, contender in contenders.items()}
    for name in contenders:
        result.times[name] = []
    for _ in range(rounds):
        for name, contender in contenders.items():
            result.times[name].append(_time(contender.run, repeats[name]) * scale)
    return result


def _check(workload: Workload, contenders: dict[str, Contender]) -> None:
    """Raise unless all have the loss and the gradients of NumPy by hand."""
    reference: Any = workload.contenders["numpy"]()
    loss, gradients = reference.loss_and_gradients()
    for name, contender in contenders.items():
        if name == "limit":
            continue
        its_loss, its_gradients = contender.loss_and_gradients()
        what = f"{workload.name}, {name}"
        np.testing.assert_allclose(its_loss, loss, rtol=1e-4, err_msg=f"{what}: the loss")
        assert len(its_gradients) == len(gradients), f"{what}: {len(its_gradients)} gradients, not {len(gradients)}"
        for mine, theirs in zip(gradients, its_gradients, strict=True):
            tolerance = 1e-4 * float(np.abs(mine).max()) + 1e-12
            np.testing.assert_allclose(theirs, mine, rtol=1e-3, atol=tolerance, err_msg=f"{what}: a gradient")


def _warmed_up(contender: Contender, seconds: float) -> int:
    """How many runs make a turn, after enough of them that nothing is done for the first time any more."""
    for _ in range(3):
        contender.run()
    return max(1, round(seconds / best(contender.run, 3)))


def best(run: Callable[[], Any], times: int) -> float:
    """The shortest of several single runs, in seconds."""
    return min(_time(run, 1) for _ in range(times))


def _time(run: Callable[[], Any], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def machine() -> dict[str, str]:
    """What the times were measured on, and with what."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for package in ("torch", "jax", "mygrad", "autograd", "micrograd"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"machine": f"{platform.machine()}, {THREADS} cores, {platform.system()}", **versions}
