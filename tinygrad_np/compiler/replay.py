"""Replay: a captured Program, ready to be run again and again."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, cast

import numpy as np

from tinygrad_np.compiler import blas
from tinygrad_np.compiler.code import Step
from tinygrad_np.compiler.program import Program, Value
from tinygrad_np.compiler.writing import Writer
from tinygrad_np.graph import Lost
from tinygrad_np.memory import owner

__all__ = ["Replay"]

_OVERWRITTEN = (
    "a compiled step has overwritten this gradient of an earlier step before it raised an error: call zero_grad, and "
    "compute it again"
)


class Replay:
    """Makes a program's calls.

    Parameters
    ----------
    program : Program
        What is to be called.
    one_thread : bool
        Let BLAS use one thread.
    careful : bool
        Any arithmetic may raise, as under ``np.errstate(all="raise")``: leave outside arrays as eager would then.

    Attributes
    ----------
    source : str
        The Python function that it runs.
    steps : list of Step
        The calls that this goes through in loops, since they are the same on every run.
    buffers : list of ndarray
        All memory that it allocates.
    """

    def __init__(self, program: Program, *, one_thread: bool = False, careful: bool = False) -> None:
        writer = Writer(program, careful=careful)
        inputs = [value for value in program.values if value.kind == "input"]
        self.program = program
        self.source, self._run = writer.function([f"x{value.number}" for value in inputs])
        self.steps = [line for line in writer.lines if isinstance(line, Step)]
        self.buffers = writer.buffers.memory
        self._buffer_of = writer.buffers.number_of
        self._pending = writer.pending
        self._positions = [value.source for value in inputs]
        # In careful programs the calls say for themselves.
        self._errors = np.geterr() if careful else program.ignored
        self._written = {id(memory): memory for memory in (owner(target.source) for target in program.stores)}
        self._one_thread = one_thread

    def __call__(self, inputs: list[Any]) -> Any:
        """Run it on the leaves of the arguments."""
        given = [inputs[position] for position in self._positions]
        try:
            with blas.one_thread() if self._one_thread else nullcontext():
                if not self._errors:
                    return self._run(*given)
                with np.errstate(**cast(Any, self._errors)):
                    return self._run(*given)
        except BaseException:
            self._lose_gradients()
            raise

    def writes_to(self, inputs: list[Any]) -> bool:
        """Whether an argument lies in memory that the program writes to, so that when it is read makes a difference."""
        written = self._written
        return bool(written) and any(id(owner(x)) in written for x in inputs if isinstance(x, np.ndarray))

    def _lose_gradients(self) -> None:
        leaf: Any
        for leaf, pending in self._pending.items():
            if leaf.grad is pending:
                leaf.grad = Lost(_OVERWRITTEN)

    def __str__(self) -> str:
        def place(value: Value) -> str:
            buffer = self._buffer_of.get(value.root)
            return "" if buffer is None else f"  # buffer {buffer}"

        program = self.program
        head = [f"{v}: {v.dtype}{list(v.shape)} = {v.kind}" for v in program.values]
        calls = [f"{call}{place(call.results[0]) if call.results else ''}" for call in program.calls]
        tail = str(Program(outputs=program.outputs, stores=program.stores, grads=program.grads))
        return "\n".join([*head, *calls, tail])
