"""Each activation layer is the function of its name, whose tests say what it computes."""

import numpy as np
import pytest

import tinygrad_np as tg
from tinygrad_np import functions, fused, nn

X = np.random.default_rng(0).normal(size=(3, 4))


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), fused.relu),
        (nn.LeakyReLU(), functions.leaky_relu),
        (nn.LeakyReLU(0.3), lambda x: functions.leaky_relu(x, 0.3)),
        (nn.ELU(), functions.elu),
        (nn.ELU(2.0), lambda x: functions.elu(x, 2.0)),
        (nn.GELU(), functions.gelu),
        (nn.SiLU(), functions.silu),
        (nn.Sigmoid(), functions.sigmoid),
        (nn.Tanh(), functions.tanh),
        (nn.Softplus(), functions.softplus),
        (nn.Softmax(), functions.softmax),
        (nn.Softmax(axis=0), lambda x: functions.softmax(x, axis=0)),
        (nn.LogSoftmax(), functions.log_softmax),
        (nn.LogSoftmax(axis=0), lambda x: functions.log_softmax(x, axis=0)),
    ],
)
def test_a_layer_is_its_function(layer, function):
    np.testing.assert_array_equal(layer(X), function(X))
    t = tg.tensor(X, requires_grad=True)
    assert layer(t).requires_grad
    assert layer.parameters() == []


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("LeakyReLU", nn.LeakyReLU()),
        ("ELU", nn.ELU()),
        ("GELU", nn.GELU()),
        ("SiLU", nn.SiLU()),
        ("Sigmoid", nn.Sigmoid()),
        ("Tanh", nn.Tanh()),
        ("Softplus", nn.Softplus()),
    ],
)
def test_values_and_gradients_are_pytorchs(name, ours):
    torch = pytest.importorskip("torch")
    mine, theirs = tg.tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    y, expected = ours(mine), getattr(torch.nn, name)()(theirs)
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-12)
    np.sum(y).backward()
    expected.sum().backward()
    np.testing.assert_allclose(mine.grad, theirs.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_the_tail_of_elu_has_a_gradient(dtype, rtol):
    x = tg.tensor(np.array([-80, -50, -10, -1, 0, 3], dtype), requires_grad=True)
    np.sum(nn.ELU(2.0)(x)).backward()
    np.testing.assert_allclose(x.grad, np.where(x.data > 0, 1, 2 * np.exp(x.data)), rtol=rtol)
