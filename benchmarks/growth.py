"""How cost grows: of an operation with the number of operations, and of a capture beside an eager step."""

from __future__ import annotations

import gc

import numpy as np

import tinygrad_np as tg
from benchmarks import graphs, mlp
from benchmarks.harness import Workload, best

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
OPERATIONS = 300_000  # about how many are timed of each length


def report() -> str:
    """Both, as Markdown."""
    lines = ["Eager chains, forward and backward, on 10 float64: microseconds an operation, the best of several.", ""]
    lines += [f"| | {' | '.join(f'{n:,} operations' for n in LENGTHS)} |", "| --- " * (1 + len(LENGTHS)) + "|"]
    lines += [_row("as it is", cost_of_operations())]
    gc.disable()
    try:
        lines += [_row("after gc.disable()", cost_of_operations()), ""]
    finally:
        gc.enable()
    captures = {w.name: capture_in_steps(w) for w in (*mlp.WORKLOADS, *graphs.WORKLOADS)}
    lines += ["The first call of a compiled step, which captures it: in eager steps.", ""]
    lines += [f"| {' | '.join(captures)} |", "| --- " * len(captures) + "|"]
    lines += [f"| {' | '.join(f'{steps:.1f}' for steps in captures.values())} |"]
    return "\n".join(lines)


def _row(title: str, times: dict[int, float]) -> str:
    first = times[LENGTHS[0]]
    return f"| {title} | {' | '.join(f'{t:.2f} ({t / first:.2f})' for t in times.values())} |"


def cost_of_operations() -> dict[int, float]:
    """Microseconds an operation, for each length."""
    x = tg.tensor(graphs.START, requires_grad=True)

    def both(length: int) -> None:
        graphs.chain(x, length).backward(np.ones(x.shape))

    return {n: best(lambda n=n: both(n), max(3, OPERATIONS // n)) / n * 1e6 for n in LENGTHS}


def capture_in_steps(workload: Workload) -> float:
    """How many eager steps the first call of the compiled step takes."""
    steps, captures = [], []
    for _ in range(3):
        eager, compiled = workload.contenders["eager"](), workload.contenders["compiled"]()
        eager.run()
        steps.append(best(eager.run, 5))
        captures.append(best(compiled.run, 1))
    return min(captures) / min(steps)
