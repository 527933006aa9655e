"""O1, O2 and R1: many small operations, where what a framework does beside the arithmetic decides."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

import tinygrad_np as tg
from benchmarks.harness import OURS, THREADS, Workload, need

# ------------------------------------------------------------------------- O1: a chain of elementwise operations

LENGTH = 1000
START = np.linspace(0.1, 1.0, 10)


def chain(x: Any, length: int = LENGTH) -> Any:
    """A multiplication and an addition in turn."""
    for _ in range(length // 2):
        x = x * 1.0003
        x = x + 0.0002
    return x


class ChainByHand:
    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        y = chain(START)
        g = np.ones_like(y)
        for i in range(LENGTH):
            g = g * 1.0003 if i % 2 else g * 1.0
        return float(y.sum()), [g]

    def run(self) -> None:
        self.loss_and_gradients()


class ChainOfOurs:
    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.x = tg.tensor(START, requires_grad=True)

        def both(start: Any) -> Any:
            self.x.grad = None
            loss = np.sum(chain(self.x + start))
            loss.backward()
            return loss

        self.both = wrap(both)
        self.start = np.zeros(10)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss = self.both(self.start)
        return float(loss), [np.asarray(self.x.grad)]

    def run(self) -> None:
        self.both(self.start)


class ChainOfTorch:
    def __init__(self) -> None:
        torch = need("torch")
        torch.set_num_threads(THREADS)
        self.x = torch.tensor(START, requires_grad=True)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        self.x.grad = None
        loss = chain(self.x).sum()
        loss.backward()
        return loss.item(), [self.x.grad.numpy()]

    def run(self) -> None:
        self.x.grad = None
        chain(self.x).sum().backward()


class ChainOfJax:
    def __init__(self) -> None:
        jax = need("jax.jit")
        jax.config.update("jax_enable_x64", True)
        self.both = jax.jit(jax.value_and_grad(lambda x: jax.numpy.sum(chain(x))))

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradient = self.both(START)
        return float(loss), [np.asarray(gradient)]

    def run(self) -> None:
        self.both(START)[1].block_until_ready()


class ChainOfMyGrad:
    def __init__(self) -> None:
        self.mg = need("mygrad")

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        x = self.mg.tensor(START)
        loss = chain(x).sum()
        loss.backward()
        return loss.item(), [np.asarray(x.grad)]

    def run(self) -> None:
        self.loss_and_gradients()


class ChainOfHips:
    def __init__(self) -> None:
        autograd = need("autograd")
        import autograd.numpy as anp

        self.both = autograd.value_and_grad(lambda x: anp.sum(chain(x)))

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradient = self.both(START)
        return float(loss), [gradient]

    def run(self) -> None:
        self.both(START)


O1 = Workload(
    "O1",
    f"chain of {LENGTH} multiplications and additions of 10 float64, forward and backward, each",
    "us",
    {
        "numpy": ChainByHand,
        **{name: partial(ChainOfOurs, wrap) for name, wrap in OURS.items()},
        "torch": ChainOfTorch,
        "jax.jit": ChainOfJax,
        "mygrad": ChainOfMyGrad,
        "autograd": ChainOfHips,
    },
    per=LENGTH,
)

# --------------------------------------------------------------------------------------- O2: a net of single numbers

WIDTHS = (6, 19, 18, 1)
_rng = np.random.default_rng(0)
COUNT = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(WIDTHS))
NUMBERS = [float(n) for n in _rng.normal(scale=0.3, size=COUNT)]
INPUTS = [float(n) for n in _rng.normal(size=WIDTHS[0])]
TARGET = 0.5


def scalar_net(numbers: Any, tanh: Any) -> Any:
    """The squared error of the net, each multiplication and addition on single numbers."""
    supply = iter(numbers)
    layer: list[Any] = list(INPUTS)
    for width in WIDTHS[1:]:
        following = []
        for _ in range(width):
            total = next(supply)
            for x in layer:
                total = next(supply) * x + total
            following.append(tanh(total))
        layer = following
    return (layer[0] - TARGET) ** 2


class ScalarsByHand:
    """The same net by hand, with matrices: what the arithmetic comes to."""

    def __init__(self) -> None:
        supply = iter(NUMBERS)
        self.layers = []
        for fan_in, fan_out in pairwise(WIDTHS):
            rows = np.array([[next(supply) for _ in range(fan_in + 1)] for _ in range(fan_out)])
            self.layers.append((rows[:, 1:], rows[:, 0]))

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        outputs = [np.array(INPUTS)]
        for weight, bias in self.layers:
            outputs.append(np.tanh(weight @ outputs[-1] + bias))
        error = outputs[-1] - TARGET
        g = 2 * error
        gradients: list[np.ndarray] = []
        backwards = zip(self.layers[::-1], outputs[-2::-1], outputs[:0:-1], strict=True)
        for (weight, _), x, y in backwards:
            g = g * (1 - y * y)
            gradients.append(np.column_stack([g, np.outer(g, x)]).ravel())
            g = weight.T @ g
        return float(error[0] ** 2), [np.concatenate(gradients[::-1])]

    def run(self) -> None:
        self.loss_and_gradients()


class ScalarsOfOurs:
    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.leaves = [tg.tensor(n, requires_grad=True) for n in NUMBERS]

        def both() -> Any:
            for leaf in self.leaves:
                leaf.grad = None
            loss = scalar_net(self.leaves, np.tanh)
            loss.backward()
            return loss

        self.both = wrap(both)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss = float(self.both())
        return loss, [np.array([float(leaf.grad) for leaf in self.leaves])]  # type: ignore[arg-type]

    def run(self) -> None:
        self.both()


class ScalarsOfTorch:
    def __init__(self) -> None:
        self.torch = need("torch")
        self.leaves = [self.torch.tensor(n, requires_grad=True, dtype=self.torch.float64) for n in NUMBERS]

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        for leaf in self.leaves:
            leaf.grad = None
        loss = scalar_net(self.leaves, self.torch.tanh)
        loss.backward()
        return loss.item(), [np.array([leaf.grad.item() for leaf in self.leaves])]

    def run(self) -> None:
        for leaf in self.leaves:
            leaf.grad = None
        scalar_net(self.leaves, self.torch.tanh).backward()


class ScalarsOfMicrograd:
    def __init__(self) -> None:
        need("micrograd")
        from micrograd.engine import Value

        class Number(Value):  # type: ignore[misc]
            """Micrograd's Value, with a tanh, which its released version lacks."""

            def tanh(self) -> Any:
                out = Value(float(np.tanh(self.data)), (self,), "tanh")

                def backward() -> None:
                    self.grad += (1 - out.data**2) * out.grad

                out._backward = backward
                return out

        self.number = Number
        self.tanh = Number.tanh

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        leaves = [self.number(n) for n in NUMBERS]
        loss = scalar_net(leaves, self.tanh)
        loss.backward()
        return loss.data, [np.array([leaf.grad for leaf in leaves])]

    def run(self) -> None:
        scalar_net([self.number(n) for n in NUMBERS], self.tanh).backward()


class ScalarsOfJax:
    def __init__(self) -> None:
        jax = need("jax.jit")
        jax.config.update("jax_enable_x64", True)
        self.both = jax.jit(jax.value_and_grad(lambda numbers: scalar_net(list(numbers), jax.numpy.tanh)))
        self.numbers = np.array(NUMBERS)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradient = self.both(self.numbers)
        return float(loss), [np.asarray(gradient)]

    def run(self) -> None:
        self.both(self.numbers)[1].block_until_ready()


O2 = Workload(
    "O2",
    "a 6-19-18-1 tanh net of single numbers (988 nodes), forward and backward",
    "ms",
    {
        "numpy": ScalarsByHand,
        **{name: partial(ScalarsOfOurs, wrap) for name, wrap in OURS.items()},
        "torch": ScalarsOfTorch,
        "micrograd": ScalarsOfMicrograd,
        "jax.jit": ScalarsOfJax,
    },
)

# ---------------------------------------------------------------------------------------- R1: a recurrent net, unrolled

STEPS, HIDDEN, ROWS = 50, 64, 32
SERIES = np.random.default_rng(1).normal(size=(STEPS, ROWS, HIDDEN)).astype(np.float32)
_rng = np.random.default_rng(2)
RECURRENT = [
    (_rng.normal(size=(HIDDEN, HIDDEN)) / HIDDEN**0.5).astype(np.float32),
    (_rng.normal(size=(HIDDEN, HIDDEN)) / HIDDEN**0.5).astype(np.float32),
    np.zeros(HIDDEN, np.float32),
]


def recurrent_net(series: Any, h: Any, weights: Any, tanh: Any) -> Any:
    """The last hidden state of a tanh RNN."""
    by_input, by_state, bias = weights
    for i in range(STEPS):
        h = tanh(series[i] @ by_input + h @ by_state + bias)
    return h


class RecurrentByHand:
    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        by_input, by_state, bias = RECURRENT
        states = [np.zeros((ROWS, HIDDEN), np.float32)]
        for i in range(STEPS):
            states.append(np.tanh(SERIES[i] @ by_input + states[-1] @ by_state + bias))
        loss = float(np.mean(states[-1] ** 2))
        g = states[-1] * np.float32(2 / states[-1].size)
        gradients = [np.zeros_like(w) for w in RECURRENT]
        for i in range(STEPS - 1, -1, -1):
            y = states[i + 1]
            g = g * (1 - y * y)
            gradients[0] += SERIES[i].T @ g
            gradients[1] += states[i].T @ g
            gradients[2] += g.sum(axis=0)
            g = g @ by_state.T
        return loss, gradients

    def run(self) -> None:
        self.loss_and_gradients()


class RecurrentOfOurs:
    def __init__(self, wrap: Callable[[Any], Any]) -> None:
        self.weights = [tg.tensor(w, requires_grad=True) for w in RECURRENT]

        def both(series: Any) -> Any:
            for w in self.weights:
                w.grad = None
            loss = np.mean(recurrent_net(series, np.zeros((ROWS, HIDDEN), np.float32), self.weights, np.tanh) ** 2)
            loss.backward()
            return loss

        self.both = wrap(both)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss = float(self.both(SERIES))
        return loss, [np.array(w.grad) for w in self.weights]

    def run(self) -> None:
        self.both(SERIES)


class RecurrentOfTorch:
    def __init__(self, *, compiled: bool) -> None:
        torch = self.torch = need("torch")
        torch.set_num_threads(THREADS)
        self.weights = [torch.tensor(w, requires_grad=True) for w in RECURRENT]
        self.series, self.zero = torch.tensor(SERIES), torch.zeros(ROWS, HIDDEN)

        def loss_of() -> Any:
            return (recurrent_net(self.series, self.zero, self.weights, torch.tanh) ** 2).mean()

        self.loss_of = torch.compile(loss_of) if compiled else loss_of

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        for w in self.weights:
            w.grad = None
        loss = self.loss_of()
        loss.backward()
        return loss.item(), [w.grad.numpy().copy() for w in self.weights]

    def run(self) -> None:
        for w in self.weights:
            w.grad = None
        self.loss_of().backward()


class RecurrentOfJax:
    def __init__(self) -> None:
        jax = need("jax.jit")
        jnp = jax.numpy
        zero = jnp.zeros((ROWS, HIDDEN), jnp.float32)

        def loss_of(weights: Any, series: Any) -> Any:
            return jnp.mean(recurrent_net(series, zero, weights, jnp.tanh) ** 2)

        self.both = jax.jit(jax.value_and_grad(loss_of))
        self.weights, self.series = [jnp.asarray(w) for w in RECURRENT], jnp.asarray(SERIES)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradients = self.both(self.weights, self.series)
        return float(loss), [np.asarray(g) for g in gradients]

    def run(self) -> None:
        self.both(self.weights, self.series)[1][0].block_until_ready()


class RecurrentOfHips:
    def __init__(self) -> None:
        autograd = need("autograd")
        import autograd.numpy as anp

        zero = np.zeros((ROWS, HIDDEN), np.float32)

        def loss_of(weights: Any) -> Any:
            by_input, by_state, bias = weights
            h = zero
            for i in range(STEPS):
                h = anp.tanh(anp.dot(SERIES[i], by_input) + anp.dot(h, by_state) + bias)
            return anp.mean(h**2)

        self.both = autograd.value_and_grad(loss_of)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradients = self.both(RECURRENT)
        return float(loss), gradients

    def run(self) -> None:
        self.both(RECURRENT)


R1 = Workload(
    "R1",
    f"tanh RNN, {STEPS} steps unrolled, hidden {HIDDEN}, batch {ROWS}, float32, forward and backward",
    "ms",
    {
        "numpy": RecurrentByHand,
        **{name: partial(RecurrentOfOurs, wrap) for name, wrap in OURS.items()},
        "torch": partial(RecurrentOfTorch, compiled=False),
        "torch.compile": partial(RecurrentOfTorch, compiled=True),
        "jax.jit": RecurrentOfJax,
        "autograd": RecurrentOfHips,
    },
)

WORKLOADS = [O1, O2, R1]
