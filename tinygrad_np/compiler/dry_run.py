"""What a function may not do while it is captured, since a replay would not do it: each is an error that says so."""

from __future__ import annotations

import logging
import random
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_np.compiler.program import Program
from tinygrad_np.compiler.watch import Watch
from tinygrad_np.errors import CaptureError
from tinygrad_np.memory import owner
from tinygrad_np.random import TAPED, generator
from tinygrad_np.trees import leaves

__all__ = ["check_no_iterators", "check_own_draws", "no_draws", "no_messages", "read_only"]

_IS_READ_ONLY = re.compile(r"(assignment destination|output array|.*array) is read-only")  # as NumPy says it


@contextmanager
def read_only(arrays: list[np.ndarray[Any, Any]]) -> Iterator[None]:
    """Let nobody write to arrays behind the tape's back."""
    # What lends its memory to an array may not let it be written to again.
    writeable = [array for array in arrays if array.flags.writeable and isinstance(owner(array), np.ndarray)]
    try:
        for array in writeable:
            array.flags.writeable = False
        yield
    except ValueError as error:
        if not _IS_READ_ONLY.fullmatch(str(error)):
            raise
        raise CaptureError(
            f"the function writes into a plain array in place ({error}), which a replay would not do: use a tensor, or "
            "have one operand of the call depend on an argument"
        ) from error
    finally:
        for array in sorted(writeable, key=lambda array: array.base is not None):  # a view may be only if its base is
            array.flags.writeable = True


@contextmanager
def no_messages() -> Iterator[None]:
    """Raise if this thread prints or logs."""
    out, make_record, thread = sys.stdout, logging.getLogRecordFactory(), threading.get_ident()

    def refuse(what: str) -> None:
        if active and threading.get_ident() == thread:
            raise CaptureError(
                f"the function {what}, which a replay would not do: return what you want to see, and do this outside "
                "of the compiled function"
            )

    class Refusing:
        def write(self, text: str) -> Any:
            refuse(f"prints {text!r}")
            return out.write(text)

        def __getattr__(self, name: str) -> Any:
            return getattr(out, name)

    def refusing(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        refuse(f"logs {record.msg!r}")
        return record

    active = True
    sys.stdout = standing = Refusing()
    logging.setLogRecordFactory(refusing)
    try:
        yield
    finally:
        active = False  # somebody may have kept them
        if sys.stdout is standing:  # and not what another thread has put there since
            sys.stdout = out
        if logging.getLogRecordFactory() is refusing:
            logging.setLogRecordFactory(make_record)


@contextmanager
def no_draws(watch: Watch) -> Iterator[None]:
    """Raise if random numbers are drawn elsewhere than from our own generator; leave all generators as they were."""
    found = [(thing, name) for thing, name in watch.generators if thing is not generator()]
    if watch.names("random") and threading.active_count() == 1:  # else other threads may draw from these
        found += [(random, "random"), (np.random, "np.random")]
    before = [_state(thing) for thing, _ in found]
    try:
        yield
        for (thing, name), state in zip(found, before, strict=True):
            if not all(map(np.array_equal, leaves(_state(thing)), leaves(state))):
                raise CaptureError(
                    f"the function draws random numbers from {name}, and a replay would repeat those of today for "
                    "ever: draw them with tg.random, or outside of the compiled function"
                )
    finally:
        for (thing, _), state in zip(found, before, strict=True):
            _set_state(thing, state)


def check_no_iterators(watch: Watch, name: str) -> None:
    """Raise if the function of this name may take the next item of an iterator: every call does that, but no replay."""
    if watch.iterators and watch.names("next"):
        raise CaptureError(
            f"tg.compile: {name} may take the next item of {watch.iterators[0]}, and a replay would go on with that of "
            "today: call next outside of the compiled function, and pass in what it gives"
        )


def check_own_draws(program: Program, before: Any) -> None:
    """Raise if our own generator was used by other ways than those that are on the tape; `before` is its state then."""
    generating = generator().bit_generator
    after, generating.state = generating.state, before
    for call in program.calls:
        if call.function in TAPED:
            call.function(*call.args)
    same = all(map(np.array_equal, leaves(generating.state), leaves(after)))
    generating.state = after
    if not same:
        raise CaptureError(
            "the function draws from tg.random.generator() itself, and a replay would repeat those numbers for ever: "
            "draw with tg.random.uniform, or outside of the compiled function"
        )


def _state(thing: Any) -> Any:
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    return thing.getstate() if hasattr(thing, "getstate") else thing.get_state()


def _set_state(thing: Any, state: Any) -> None:
    if isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    else:
        (thing.setstate if hasattr(thing, "setstate") else thing.set_state)(state)
