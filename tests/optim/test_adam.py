"""The trajectory of Adam is that of PyTorch's formulae, written out plainly."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import optim

START = np.random.default_rng(0).normal(size=(3, 4))
GRADIENTS = np.random.default_rng(1).normal(size=(30, 3, 4)) * np.logspace(-6, 3, 30)[:, None, None]


def plainly(p, gradients, lr, betas, eps, weight_decay):
    """torch.optim.Adam, line by line."""
    (beta1, beta2), p, m, v = betas, p.copy(), np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(gradients, start=1):
        g = g + weight_decay * p
        m = m + (1 - beta1) * (g - m)
        v = beta2 * v + (1 - beta2) * g * g
        denominator = np.sqrt(v) / np.sqrt(1 - beta2**t) + eps
        p = p - lr(t - 1) / (1 - beta1**t) * m / denominator
        yield p


@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("eps", [1e-8, 1e-2])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0, 0)])
@pytest.mark.parametrize("lr", [lambda _step: 0.1, lambda step: 0.1 / (1 + step)], ids=["constant", "scheduled"])
def test_the_trajectory(lr, betas, eps, weight_decay):
    w = tg.tensor(START, requires_grad=True)
    optimiser = optim.Adam([w], lr(0), betas=betas, eps=eps, weight_decay=weight_decay)
    expected = plainly(START, GRADIENTS, lr, betas, eps, weight_decay)
    for step, (gradient, there) in enumerate(zip(GRADIENTS, expected, strict=True)):
        optimiser.lr = lr(step)
        w.grad = gradient
        optimiser.step()
        np.testing.assert_allclose(w.data, there, rtol=1e-10, atol=1e-12)


def test_a_parameter_that_starts_later_is_corrected_from_its_own_first_step():
    early, late = (tg.tensor(START, requires_grad=True) for _ in range(2))
    optimiser = optim.Adam([early, late], lr=0.1)
    for step, gradient in enumerate(GRADIENTS[:8]):
        early.grad = gradient
        late.grad = None if step < 3 else gradient
        optimiser.step()
    *_, expected = plainly(START, GRADIENTS[3:8], lambda _step: 0.1, (0.9, 0.999), 1e-8, 0)
    np.testing.assert_allclose(late.data, expected, rtol=1e-12)


def test_the_first_step_is_about_as_long_as_the_learning_rate_whatever_the_gradient():
    w = tg.tensor(np.zeros(3), requires_grad=True)
    w.grad = np.array([1e-3, -1.0, 1e6])
    optim.Adam([w], lr=0.1).step()
    np.testing.assert_allclose(w.data, [-0.1, 0.1, -0.1], rtol=1e-4)


def test_the_means_are_corrected_for_all_betas_that_there_have_been():
    w = tg.tensor(np.zeros(3), requires_grad=True)
    optimiser = optim.Adam([w], lr=0.1)
    gradient = np.array([1e-3, -1.0, 1e6])  # always the same: so are the corrected means
    for step, betas in enumerate([(0.9, 0.999), (0.5, 0.9), (0.5, 0.9), (0.99, 0.5), (0.9, 0.999)], start=1):
        optimiser.param_groups[0]["betas"] = betas
        w.grad = gradient
        optimiser.step()
        np.testing.assert_allclose(w.data, -0.1 * step * np.sign(gradient), rtol=1e-4)


def test_a_gradient_of_zero_moves_nothing():
    w = tg.tensor(np.ones(2, np.float32), requires_grad=True)
    w.grad = np.zeros(2, np.float32)
    optim.Adam([w], lr=0.1).step()
    np.testing.assert_array_equal(w.data, [1, 1])
