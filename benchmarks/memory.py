"""Peak memory of a deep net, forward and backward, each framework in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, WIDTH, BATCH = 200, 512, 256


def net(x: Any, weights: Any, tanh: Any) -> Any:
    """A tanh net of `LAYERS` layers."""
    for w in weights:
        x = tanh(x @ w)
    return x


def _numpy(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    def run() -> None:
        outputs = [x]
        for w in weights:
            outputs.append(np.tanh(outputs[-1] @ w))
        g = np.ones_like(outputs[-1])
        gradients = []
        for w in reversed(weights):
            y = outputs.pop()
            g = g * (1 - y * y)
            gradients.append(outputs[-1].T @ g)
            g = g @ w.T

    return run


def _ours(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import tinygrad_np as tg

    leaves = [tg.tensor(w, requires_grad=True) for w in weights]
    return lambda: np.sum(net(x, leaves, np.tanh)).backward()


def _compiled(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import tinygrad_np as tg

    leaves = [tg.tensor(w, requires_grad=True) for w in weights]

    def both(x: Any) -> None:
        for leaf in leaves:
            leaf.grad = None
        np.sum(net(x, leaves, np.tanh)).backward()

    step = tg.compile(both)
    return lambda: step(x)


def _torch(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import torch

    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    rows = torch.tensor(x)
    torch.tanh(rows[:2] @ leaves[0]).sum().backward()  # starts the threads
    leaves[0].grad = None
    return lambda: net(rows, leaves, torch.tanh).sum().backward()


def _jax(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import jax
    import jax.numpy as jnp

    gradient = jax.jit(jax.grad(lambda ws, rows: jnp.sum(net(rows, ws, jnp.tanh))))
    leaves, rows = [jnp.asarray(w) for w in weights], jnp.asarray(x)
    compiled = gradient.lower(leaves, rows).compile()
    return lambda: compiled(leaves, rows)[0].block_until_ready()


def _autograd(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import autograd
    import autograd.numpy as anp

    def loss(ws: Any) -> Any:
        rows: Any = x
        for w in ws:
            rows = anp.tanh(anp.dot(rows, w))
        return anp.sum(rows)

    gradient = autograd.grad(loss)
    return lambda: gradient(weights)


def _mygrad(weights: list[np.ndarray], x: np.ndarray) -> Callable[[], None]:
    import mygrad as mg

    leaves = [mg.tensor(w) for w in weights]

    def run() -> None:
        rows: Any = x
        for w in leaves:
            rows = mg.tanh(mg.matmul(rows, w))
        rows.sum().backward()

    return run


NETS: dict[str, Callable[[list[np.ndarray], np.ndarray], Callable[[], None]]] = {
    "numpy": _numpy,
    "eager": _ours,
    "compiled": _compiled,
    "torch": _torch,
    "jax.jit": _jax,
    "mygrad": _mygrad,
    "autograd": _autograd,
}


def peak_growth(framework: str) -> float | str:
    """By how many MB a process grows at its peak, or why it cannot be told."""
    command = [sys.executable, "-m", "benchmarks.memory", framework]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return float(done.stdout)


def _main(framework: str) -> None:
    rng = np.random.default_rng(0)
    weights = [(rng.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32) for _ in range(LAYERS)]
    x = rng.normal(size=(BATCH, WIDTH)).astype(np.float32)
    np.tanh(x[:2] @ weights[0])
    run = NETS[framework](weights, x)
    before = _peak()
    run()
    print(_peak() - before)


def _peak() -> float:
    """The largest size that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would start at the size of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main(sys.argv[1])
