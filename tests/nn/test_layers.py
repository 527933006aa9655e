"""What each layer computes, what it starts from, and what it says about input that does not fit."""

import numpy as np
import pytest
from kit import check_gradient

import tinygrad_np as tg
from tinygrad_np import nn


def test_dense_computes_a_product_and_a_sum():
    layer = nn.Dense(3, 2)
    layer.bias.data[...] = [1, -1]
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data + [1, -1], rtol=1e-6)
    np.testing.assert_allclose(layer(tg.tensor(x)).data, layer(x).data)
    assert layer(x[0]).shape == (2,)
    assert layer(x.reshape(2, 2, 3)).shape == (2, 2, 2)
    assert layer(x[:0]).shape == (0, 2)


def test_dense_without_bias():
    layer = nn.Dense(3, 2, bias=False)
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    np.testing.assert_array_equal(layer(np.eye(3, dtype=np.float32)).data, layer.weight.data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_are_leaves_of_the_dtype_asked_for(dtype):
    layer = nn.Dense(3, 2, dtype=dtype)
    for parameter in layer.parameters():
        assert parameter.dtype == dtype
        assert parameter.is_leaf
        assert parameter.requires_grad
    assert layer(np.ones((4, 3), dtype)).dtype == dtype


def test_parameters_are_float32_by_default_as_are_results_and_gradients():
    model = nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 2))
    loss = nn.cross_entropy(model(np.ones((5, 3), np.float32)), np.zeros(5, np.uint8))
    loss.backward()
    assert {loss.dtype, *(p.dtype for p in model.parameters()), *(p.grad.dtype for p in model.parameters())} == {
        np.dtype(np.float32)
    }


def test_weights_start_with_he_and_biases_at_0():
    layer = nn.Dense(400, 300)
    assert abs(float(layer.weight.data.std()) - np.sqrt(2 / 400)) < 1e-3
    assert not layer.bias.data.any()


def test_relu_and_sequential_in_order():
    first, second = nn.Dense(2, 2, dtype=np.float64), nn.Dense(2, 1, dtype=np.float64)
    model = nn.Sequential(first, nn.ReLU(), second)
    x = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_array_equal(model(x).data, second(np.maximum(first(x).data, 0)).data)
    assert nn.Sequential()(x) is x


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_a_network_are_the_numerical_ones(order):
    model = nn.Sequential(nn.Dense(3, 4, dtype=np.float64), nn.ReLU(), nn.Dense(4, 2, dtype=np.float64))
    first, _, last = model.layers
    x, labels = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])

    def loss(*parameters):
        first.weight, first.bias, last.weight, last.bias = parameters
        return nn.cross_entropy(model(x), labels)

    check_gradient(loss, [p.data for p in model.parameters()], order)


# ------------------------------------------------------------------------------------------------------------- errors


def test_a_mismatch_names_the_layer_and_both_shapes():
    model = nn.Sequential(nn.Dense(4, 3), nn.ReLU(), nn.Sequential(nn.Dense(3, 3), nn.Dense(5, 2)))
    with pytest.raises(tg.errors.ShapeError) as caught:
        model(np.ones((7, 4), np.float32))
    assert str(caught.value) == (
        "layers.2: layers.1: Dense(5, 2): dense: x of shape (7, 3) does not fit a weight of shape (5, 2): "
        "they must be (..., inputs) and (inputs, outputs)"
    )


@pytest.mark.parametrize("wrap", [np.asarray, tg.tensor, lambda x: tg.tensor(x, requires_grad=True)])
@pytest.mark.parametrize("shape", [(7, 3), (), (4, 7)])
def test_dense_refuses_input_of_another_width(wrap, shape):
    with pytest.raises(ValueError, match=r"^Dense\(4, 2\): .*shape \(.*\) does not fit a weight of shape \(4, 2\)"):
        nn.Dense(4, 2)(wrap(np.ones(shape)))


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ((0, 2), ValueError, "Dense: in_features must be at least 1, not 0"),
        ((2, -1), ValueError, "Dense: out_features must be at least 1, not -1"),
        ((2.0, 1), TypeError, "Dense: in_features must be an integer, not 2.0"),
        ((2, (1,)), TypeError, r"Dense: out_features must be an integer, not \(1,\)"),
    ],
)
def test_dense_refuses_what_is_no_number_of_features(arguments, error, complaint):
    with pytest.raises(error, match=complaint):
        nn.Dense(*arguments)


def test_integer_parameters_are_refused():
    with pytest.raises(tg.errors.DtypeError, match=r"int64 .* cannot require a gradient"):
        nn.Dense(2, 2, dtype=np.int64)


def test_sequential_takes_modules_only():
    with pytest.raises(tg.errors.DtypeError, match="Sequential: layer 1 must be a Module, not <function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(tg.errors.DtypeError, match=r"layer 0 must be a Module, not \[ReLU\(\)\]"):
        nn.Sequential([nn.ReLU()])
