"""The trajectory of SGD is that of PyTorch's formulae, written out plainly."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import optim

START = np.random.default_rng(0).normal(size=(3, 4))
GRADIENTS = np.random.default_rng(1).normal(size=(30, 3, 4))


def plainly(p, gradients, lr, momentum, weight_decay, nesterov):
    """torch.optim.SGD, line by line."""
    p, velocity = p.copy(), None
    for step, g in enumerate(gradients):
        g = g + weight_decay * p
        if momentum:
            velocity = g.copy() if velocity is None else momentum * velocity + g
            g = g + momentum * velocity if nesterov else velocity
        p = p - lr(step) * g
        yield p


@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize(("momentum", "nesterov"), [(0, False), (0.5, False), (0.9, True)])
@pytest.mark.parametrize("lr", [lambda _step: 0.1, lambda step: 0.1 / (1 + step)], ids=["constant", "scheduled"])
def test_the_trajectory(lr, momentum, nesterov, weight_decay):
    w = tg.tensor(START, requires_grad=True)
    optimiser = optim.SGD([w], lr(0), momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
    expected = plainly(START, GRADIENTS, lr, momentum, weight_decay, nesterov)
    for step, (gradient, there) in enumerate(zip(GRADIENTS, expected, strict=True)):
        optimiser.lr = lr(step)
        w.grad = gradient
        optimiser.step()
        np.testing.assert_allclose(w.data, there, rtol=1e-12, atol=1e-14)


def test_complex_parameters_descend_too():
    target = np.array([1 + 2j, -3j])
    w = tg.tensor(np.zeros(2, complex), requires_grad=True)
    optimiser = optim.SGD([w], lr=0.1, momentum=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        np.sum(np.abs(w - target) ** 2).backward()
        optimiser.step()
    np.testing.assert_allclose(w.data, target, rtol=1e-12)
