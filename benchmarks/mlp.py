"""M1 to M5: a training step of a multilayer perceptron, from choosing the rows of the batch to the updated weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import cycle, pairwise
from typing import Any

import numpy as np

from benchmarks.harness import OURS, THREADS, Contender, Workload, kept, need
from tinygrad_np import nn, optim
from tinygrad_np.memory import aligned

RATE = 1e-3
BETAS, EPSILON = (0.9, 0.999), 1e-8


class Problem:
    """Data and first weights, the same for all frameworks."""

    def __init__(self, sizes: tuple[int, ...], batch: int, optimiser: str, rows: int) -> None:
        rng = np.random.default_rng(0)
        self.sizes, self.batch, self.optimiser = sizes, batch, optimiser
        # Of both signs: random images that are all positive switch most hidden units off for good, and what Adam keeps
        # of their gradients then decays into subnormal numbers, with which a processor is many times slower.
        self.images = rng.random((rows, sizes[0]), np.float32) - np.float32(0.5)
        self.labels = rng.integers(0, sizes[-1], rows)
        pairs = list(pairwise(sizes))
        self.weights = [(rng.normal(size=pair) * np.sqrt(2 / pair[0])).astype(np.float32) for pair in pairs]
        self.biases = [np.zeros(width, np.float32) for width in sizes[1:]]
        self.batches = [rng.integers(0, rows, batch) for _ in range(64)]

    def parameters(self) -> list[np.ndarray]:
        """New copies: weight, bias, weight, bias, ..."""
        return [np.array(p) for pair in zip(self.weights, self.biases, strict=True) for p in pair]


class Hand:
    """Plain NumPy as one writes it by hand."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.parameters = problem, problem.parameters()
        self.rows = cycle(problem.batches)
        self.means = [np.zeros_like(p) for p in self.parameters]
        self.squares = [np.zeros_like(p) for p in self.parameters]
        self.steps = 0

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        return self._backward(self.problem.batches[0])

    def _backward(self, rows: np.ndarray) -> tuple[float, list[np.ndarray]]:
        problem, parameters = self.problem, self.parameters
        x, labels, n = problem.images.take(rows, axis=0), problem.labels.take(rows), len(rows)
        inputs = [x]
        for i in range(0, len(parameters), 2):
            z = inputs[-1] @ parameters[i] + parameters[i + 1]
            inputs.append(np.maximum(z, 0) if i + 2 < len(parameters) else z)
        z = inputs.pop()
        z = z - z.max(axis=1, keepdims=True)
        exponentials = np.exp(z)
        total = exponentials.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - z[np.arange(n), labels]).mean())
        d = exponentials / total
        d[np.arange(n), labels] -= 1
        d /= n
        gradients: list[np.ndarray] = []
        for i in range(len(parameters) - 2, -1, -2):
            x = inputs.pop()
            gradients += [d.sum(axis=0), x.T @ d]
            if i:
                d = (d @ parameters[i].T) * (x > 0)
        return loss, gradients[::-1]

    def run(self) -> None:
        _, gradients = self._backward(next(self.rows))
        if self.problem.optimiser == "sgd":
            for p, g in zip(self.parameters, gradients, strict=True):
                p -= np.float32(RATE) * g
            return
        self.steps += 1
        (b1, b2), t = BETAS, self.steps
        rate, scale = np.float32(RATE / (1 - b1**t)), np.float32(1 / np.sqrt(1 - b2**t))
        for p, g, m, v in zip(self.parameters, gradients, self.means, self.squares, strict=True):
            m += np.float32(1 - b1) * (g - m)
            v += np.float32(1 - b2) * (g * g - v)
            p -= rate * m / (np.sqrt(v) * scale + np.float32(EPSILON))


class Ours:
    """This library."""

    def __init__(self, problem: Problem, wrap: Callable[[Any], Any]) -> None:
        self.problem, self.rows = problem, cycle(problem.batches)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(problem.sizes):
            layers += [nn.Dense(fan_in, fan_out), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])
        for parameter, value in zip(self.model.parameters(), problem.parameters(), strict=True):
            parameter.data[...] = value
        kind = optim.SGD if problem.optimiser == "sgd" else optim.Adam
        optimiser = kind(self.model.parameters(), lr=RATE)
        images, labels, model = problem.images, problem.labels, self.model

        def loss_of(rows: Any) -> Any:
            return nn.cross_entropy(model(np.take(images, rows, axis=0)), np.take(labels, rows))

        def step(rows: Any) -> Any:
            loss = loss_of(rows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss

        def gradients(rows: Any) -> Any:
            loss = loss_of(rows)
            optimiser.zero_grad()
            loss.backward()
            return loss

        self.step, self.gradients = wrap(step), wrap(gradients)

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss = float(self.gradients(self.problem.batches[0]))
        return loss, [np.array(p.grad) for p in self.model.parameters()]

    def run(self) -> None:
        self.step(next(self.rows))


class Torch:
    """PyTorch, eager or compiled."""

    def __init__(self, problem: Problem, *, compiled: bool) -> None:
        torch = need("torch")
        torch.set_num_threads(THREADS)
        batches = [torch.from_numpy(rows) for rows in problem.batches]
        self.first, self.rows = batches[0], cycle(batches)
        layers: list[Any] = []
        for fan_in, fan_out in pairwise(problem.sizes):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), problem.parameters(), strict=True):
                parameter.copy_(torch.from_numpy(value.T))
        kind = torch.optim.SGD if problem.optimiser == "sgd" else torch.optim.Adam
        self.optimiser = kind(self.model.parameters(), lr=RATE)
        images, labels = torch.from_numpy(problem.images), torch.from_numpy(problem.labels)
        cross_entropy, model = torch.nn.functional.cross_entropy, self.model

        def loss_of(rows: Any) -> Any:
            return cross_entropy(model(images[rows]), labels[rows])

        self.loss_of = torch.compile(loss_of) if compiled else loss_of

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss = self.loss_of(self.first)
        self.optimiser.zero_grad()
        loss.backward()
        return loss.item(), [p.grad.numpy().T.copy() for p in self.model.parameters()]

    def run(self) -> None:
        loss = self.loss_of(next(self.rows))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class Jax:
    """JAX, the whole step under ``jax.jit`` with donated weights."""

    def __init__(self, problem: Problem) -> None:
        jax = need("jax.jit")
        jnp = jax.numpy
        self.problem, self.rows = problem, cycle(problem.batches)
        images, labels = jnp.asarray(problem.images), jnp.asarray(problem.labels)

        def loss_of(parameters: Any, rows: Any) -> Any:
            x = images[rows]
            for i in range(0, len(parameters), 2):
                x = x @ parameters[i] + parameters[i + 1]
                x = jax.nn.relu(x) if i + 2 < len(parameters) else x
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(x), labels[rows][:, None], axis=1))

        def sgd(parameters: Any, state: Any, rows: Any) -> Any:
            gradients = jax.grad(loss_of)(parameters, rows)
            return [p - RATE * g for p, g in zip(parameters, gradients, strict=True)], state

        def adam(parameters: Any, state: Any, rows: Any) -> Any:
            gradients = jax.grad(loss_of)(parameters, rows)
            means, squares, t = state
            (b1, b2), t = BETAS, t + 1
            means = [b1 * m + (1 - b1) * g for m, g in zip(means, gradients, strict=True)]
            squares = [b2 * v + (1 - b2) * g * g for v, g in zip(squares, gradients, strict=True)]
            new = [
                p - RATE / (1 - b1**t) * m / (jnp.sqrt(v / (1 - b2**t)) + EPSILON)
                for p, m, v in zip(parameters, means, squares, strict=True)
            ]
            return new, (means, squares, t)

        self.both = jax.jit(jax.value_and_grad(loss_of))
        self.step = jax.jit(sgd if problem.optimiser == "sgd" else adam, donate_argnums=(0, 1))
        self.parameters = [jnp.asarray(p) for p in problem.parameters()]
        zeros = [jnp.zeros_like(p) for p in self.parameters]
        self.state = (zeros, [z + 0 for z in zeros], jnp.zeros(()))

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        loss, gradients = self.both(self.parameters, self.problem.batches[0])
        return float(loss), [np.asarray(g) for g in gradients]

    def run(self) -> None:
        self.parameters, self.state = self.step(self.parameters, self.state, next(self.rows))
        self.parameters[0].block_until_ready()


class MyGrad(Hand):
    """MyGrad's tensors and its own losses, with the update by hand."""

    def __init__(self, problem: Problem) -> None:
        self.mg = need("mygrad")
        import mygrad.nnet

        self.nnet = mygrad.nnet
        super().__init__(problem)

    def _backward(self, rows: np.ndarray) -> tuple[float, list[np.ndarray]]:
        problem = self.problem
        tensors = [self.mg.tensor(p, copy=False) for p in self.parameters]
        x: Any = problem.images[rows]
        for i in range(0, len(tensors), 2):
            x = self.mg.matmul(x, tensors[i]) + tensors[i + 1]
            x = self.nnet.activations.relu(x) if i + 2 < len(tensors) else x
        loss = self.nnet.losses.softmax_crossentropy(x, problem.labels[rows])
        loss.backward()
        return loss.item(), [np.asarray(t.grad) for t in tensors]


class Hips(Hand):
    """HIPS autograd, with the update by hand."""

    def __init__(self, problem: Problem) -> None:
        autograd = need("autograd")
        import autograd.numpy as anp

        def loss_of(parameters: Any, x: Any, labels: Any) -> Any:
            for i in range(0, len(parameters), 2):
                x = anp.dot(x, parameters[i]) + parameters[i + 1]
                x = anp.maximum(x, 0) if i + 2 < len(parameters) else x
            x = x - anp.max(x, axis=1, keepdims=True)
            return anp.mean(anp.log(anp.sum(anp.exp(x), axis=1)) - x[np.arange(len(labels)), labels])

        self.both = autograd.value_and_grad(loss_of)
        super().__init__(problem)

    def _backward(self, rows: np.ndarray) -> tuple[float, list[np.ndarray]]:
        loss, gradients = self.both(self.parameters, self.problem.images[rows], self.problem.labels[rows])
        return float(loss), gradients


class Limit:
    """Only what cannot be avoided: gathering the rows, and the matrix products, into arrays made beforehand.

    The product that is a weight's gradient is written into the weight itself, as BLAS could accumulate it there: so
    the weights change, and are not in every core's cache. The slopes are small, so that nothing overflows. All arrays
    start at a cache line.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.rows = problem, cycle(problem.batches)
        shapes = [(problem.batch, width) for width in problem.sizes]
        self.weights = [aligned(np.array(w)) for w in problem.weights]
        self.inputs = [aligned(np.empty(shape, np.float32)) for shape in shapes]
        self.slopes = [aligned(np.full(shape, 1e-6, np.float32)) for shape in shapes]

    def loss_and_gradients(self) -> tuple[float, list[np.ndarray]]:
        raise AssertionError("the limit computes no loss")

    def run(self) -> None:
        inputs, slopes, weights = self.inputs, self.slopes, self.weights
        np.take(self.problem.images, next(self.rows), axis=0, out=inputs[0], mode="clip")
        for i, weight in enumerate(weights):
            np.matmul(inputs[i], weight, out=inputs[i + 1])
        for i in range(len(weights) - 1, -1, -1):
            if i:
                np.matmul(slopes[i + 1], weights[i].T, out=slopes[i])
            np.matmul(inputs[i].T, slopes[i + 1], out=weights[i])


# Only the last one: the images are large.
problem = lru_cache(maxsize=1)(Problem)


def contender(kind: Callable[..., Contender], task: tuple[Any, ...], **options: Any) -> Contender:
    """One framework on the problem that a task's sizes, batch, optimiser and rows make."""
    return kind(problem(*task), **options)


def workload(
    name: str, description: str, sizes: tuple[int, ...], batch: int, optimiser: str, rows: int = 60_000
) -> Workload:
    """One of M1 to M5."""

    def made(kind: Callable[..., Contender], **options: Any) -> Callable[[], Contender]:
        return partial(contender, kind, (sizes, batch, optimiser, rows), **options)

    return Workload(
        name,
        description,
        "us",
        {
            "numpy": made(Hand),
            "numpy-kept": partial(kept, made(Hand)),
            **{name: made(Ours, wrap=wrap) for name, wrap in OURS.items()},
            "eager-kept": partial(kept, made(Ours, wrap=OURS["eager"])),
            "torch": made(Torch, compiled=False),
            "torch.compile": made(Torch, compiled=True),
            "jax.jit": made(Jax),
            "mygrad": made(MyGrad),
            "autograd": made(Hips),
            "limit": made(Limit),
        },
    )


TASKS: list[tuple[Any, ...]] = [
    ("M1", "784-256-10, batch 128, SGD step", (784, 256, 10), 128, "sgd"),
    ("M2", "784-256-10, batch 32, SGD step", (784, 256, 10), 32, "sgd"),
    ("M3", "784-512-512-10, batch 128, SGD step", (784, 512, 512, 10), 128, "sgd"),
    ("M4", "784-10-10, batch 128, SGD step", (784, 10, 10), 128, "sgd"),
    ("M5", "784-256-10, batch 128, Adam step", (784, 256, 10), 128, "adam"),
]
WORKLOADS = [workload(*task) for task in TASKS]
