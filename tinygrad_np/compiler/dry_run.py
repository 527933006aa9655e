"""What a function may not do while it is captured, since a replay would not do it: each is an error that says so."""

from __future__ import annotations

import logging
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_np.compiler.guards import Watch
from tinygrad_np.errors import CaptureError
from tinygrad_np.memory import owner
from tinygrad_np.random import generator
from tinygrad_np.trees import leaves

__all__ = ["no_draws", "no_messages", "read_only"]


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
        if "read-only" not in str(error):
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
        if threading.get_ident() == thread:
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

    sys.stdout = Refusing()
    logging.setLogRecordFactory(refusing)
    try:
        yield
    finally:
        sys.stdout = out
        logging.setLogRecordFactory(make_record)


@contextmanager
def no_draws(watch: Watch) -> Iterator[None]:
    """Raise if random numbers are drawn elsewhere than from our own generator; leave all generators as they were."""
    found = [(thing, name) for thing, name in watch.generators if thing is not generator()]
    if watch.draws_at_large():
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


def _state(thing: Any) -> Any:
    if isinstance(thing, np.random.Generator):
        return thing.bit_generator.state
    return thing.getstate() if hasattr(thing, "getstate") else thing.get_state()


def _set_state(thing: Any, state: Any) -> None:
    if isinstance(thing, np.random.Generator):
        thing.bit_generator.state = state
    else:
        (thing.setstate if hasattr(thing, "setstate") else thing.set_state)(state)
