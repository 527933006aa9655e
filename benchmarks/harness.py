"""What all workloads share: check every contender against NumPy by hand, then let them take turns at the clock."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

import tinygrad_np as tg

THREADS = os.cpu_count() or 1

Outcome = tuple[float, list[np.ndarray]]  # loss and gradients

# How each framework is called in tables, and the package that it needs.
FRAMEWORKS = {
    "numpy": None,
    "numpy-kept": None,
    "eager": None,
    "eager-kept": None,
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


def as_it_is(function: Any) -> Any:
    """What eager puts around a function: nothing."""
    return function


# What this library's contenders put around their function.
OURS: dict[str, Callable[[Any], Any]] = {
    "eager": as_it_is,
    "compiled": tg.compile,
    "inexact": partial(tg.compile, exact=False),
}


def kept(make: Callable[[], Contender]) -> Contender:
    """Make a contender whose process keeps the memory that it frees."""
    tg.keep_freed_memory()
    return make()


class Contender(Protocol):
    """One framework on one workload."""

    def loss_and_gradients(self) -> Outcome:
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
        For each framework, what makes its contender, and can be sent to another process; the limit has no loss.
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
        raise _unavailable(package) from error


def look_for(framework: str) -> None:
    """Raise if a framework is not installed, without importing it."""
    package = FRAMEWORKS[framework]
    if package is not None and package not in sys.modules and importlib.util.find_spec(package) is None:
        raise _unavailable(package)


def _unavailable(package: str) -> UnavailableError:
    return UnavailableError(f'needs {package}: pip install -e ".[bench]"')


class Here:
    """A contender in this process."""

    contender: Contender

    def __init__(self, make: Callable[[], Contender]) -> None:
        self.make = make

    def wait(self) -> None:
        """Until it is made."""
        self.contender = self.make()

    def loss_and_gradients(self) -> Outcome:
        return self.contender.loss_and_gradients()

    def warm_up(self, seconds: float) -> int:
        """How many runs make a turn, after enough of them that nothing is done for the first time any more."""
        for _ in range(3):
            self.contender.run()
        return max(1, round(seconds / best(self.contender.run, 3)))

    def turn(self, repeats: int) -> float:
        """Seconds a run. Some runs before are not timed: caches and cores were another's."""
        for _ in range(repeats // 2):
            self.contender.run()
        return _time(self.contender.run, repeats)

    def leave(self) -> None:
        """There is nothing to give back."""


class Apart:
    """A contender in a process of its own, where neither memory nor threads of another are in its way.

    While others have their turns it is stopped altogether: threads of BLAS go on spinning for some 30 ms after a
    product, and a thread that the next contender wakes meanwhile shares a core with its own main thread, and stays
    there. Where processes cannot be stopped there is a pause instead.
    """

    def __init__(self, make: Callable[[], Contender]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        self.process.start()
        theirs.close()

    def _ask(self, question: str, *arguments: Any) -> Any:
        self.pipe.send((question, arguments))
        return self.wait()

    def wait(self) -> Any:
        """For its answer; the first says that it is made."""
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def loss_and_gradients(self) -> Outcome:
        outcome: Outcome = self._ask("loss_and_gradients")
        return outcome

    def warm_up(self, seconds: float) -> int:
        return int(self._ask("warm_up", seconds))

    def turn(self, repeats: int) -> float:
        self._signal("SIGCONT")
        seconds = float(self._ask("turn", repeats))
        self._signal("SIGSTOP")
        return seconds

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):
            assert self.process.pid is not None
            os.kill(self.process.pid, getattr(signal, name))
        else:
            time.sleep(0.1)

    def leave(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Any, make: Callable[[], Contender]) -> None:
    """Answer `Apart` until it is gone."""
    try:
        here = Here(make)
        here.wait()
        pipe.send(None)
        while True:
            question, arguments = pipe.recv()
            pipe.send(getattr(here, question)(*arguments))
    except EOFError:
        return
    except UnavailableError as reason:
        pipe.send(reason)
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def measure(
    workload: Workload,
    frameworks: Iterable[str],
    rounds: int,
    seconds: float,
    seat: type[Here | Apart] = Apart,
    times: int = 1,
) -> Result:
    """Time the frameworks in turns, round by round, so that what disturbs the machine disturbs all of them.

    Parameters
    ----------
    rounds : int
        How many turns each gets.
    seconds : float
        About how long a turn is.
    seat : type
        Where each runs: by default in a process of its own.
    times : int
        How often all of it is done with new seats: where in memory a process lies decides a tenth or two of its speed.
    """
    result = Result(workload.name, workload.description, workload.unit)
    named = []
    for framework in frameworks:
        if framework not in workload.contenders:
            result.missing[framework] = "not written for it"
            continue
        try:
            look_for(framework)
            named.append(framework)
        except UnavailableError as reason:
            result.missing[framework] = str(reason)
    for _ in range(times):
        _take_turns(result, workload, named, rounds, seconds, seat)
    return result


def _take_turns(
    result: Result, workload: Workload, frameworks: list[str], rounds: int, seconds: float, seat: type[Here | Apart]
) -> None:
    """Add the times of some rounds in new seats."""
    seats = {framework: seat(workload.contenders[framework]) for framework in frameworks}
    try:
        for framework in frameworks:
            try:
                seats[framework].wait()
            except UnavailableError as reason:
                result.missing[framework] = str(reason)
                seats.pop(framework).leave()
        reference = workload.contenders["numpy"]().loss_and_gradients()
        for name, taken in seats.items():
            if name != "limit":
                check(f"{workload.name}, {name}", taken.loss_and_gradients(), reference)
        scale = {"us": 1e6, "ms": 1e3}[workload.unit] / workload.per
        repeats = {name: taken.warm_up(seconds) for name, taken in seats.items()}
        for _ in range(rounds):
            for name, taken in seats.items():
                result.times.setdefault(name, []).append(taken.turn(repeats[name]) * scale)
    finally:
        for taken in seats.values():
            taken.leave()


def check(what: str, found: Outcome, reference: Outcome) -> None:
    """Raise unless a contender has the loss and the gradients of NumPy by hand."""
    (its_loss, its_gradients), (loss, gradients) = found, reference
    np.testing.assert_allclose(its_loss, loss, rtol=1e-4, err_msg=f"{what}: the loss")
    assert len(its_gradients) == len(gradients), f"{what}: {len(its_gradients)} gradients, not {len(gradients)}"
    for mine, theirs in zip(gradients, its_gradients, strict=True):
        tolerance = 1e-4 * float(np.abs(mine).max()) + 1e-12
        np.testing.assert_allclose(theirs, mine, rtol=1e-3, atol=tolerance, err_msg=f"{what}: a gradient")


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
    where = f"{platform.machine()}, {THREADS} cores, {platform.system()}"
    return {"machine": where, "numpy's BLAS": _blas(), **versions}


def _blas() -> str:
    """The library that NumPy multiplies matrices with, and the kind of processor that it takes this one for."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown, as threadpoolctl is not installed"
    for library in threadpool_info():
        if library["user_api"] == "blas":
            return f"{library['internal_api']} {library['version']}, kernels for {library.get('architecture')}"
    return "unknown"
